//! Loads and stores, decoded, against an independent decoder.

use crate::input::Input;
use independent::{SP, disassembled, frame, read, with_ones};
use mezzanine::exit::decode::{LoadStore, accesses_memory};
use mezzanine::exit::esr::Access;
use mezzanine::vm::Frame;

#[path = "../../src/exit/decode/tests/independent.rs"]
mod independent;

/// Takes the bytes for instructions.
pub fn run(data: &[u8]) {
    with(data, mezzanine::exit::decode::decode);
}

fn with(data: &[u8], decode: impl Fn(u32, &Frame, u64) -> Option<LoadStore>) {
    let mut input = Input::new(data);
    let frame = frame();
    while !input.is_empty() {
        let word = input.u32();
        // As it is, and made a load or store of general registers.
        for word in [word, word & !0x0600_0000 | 0x0800_0000].map(with_ones) {
            let line = disassembled(word);
            let ours = decode(word, &frame, SP);
            assert_eq!(ours, read(&line), "{word:#010x} {line:?}");
            assert!(ours.is_none() || accesses_memory(word), "{word:#010x} {line:?}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mezzanine::exit::decode::decode;

    #[test]
    fn a_sign_that_is_lost_is_found() {
        crate::bite::assert_bites("decode", run, |data| {
            with(data, |word, frame, sp| {
                let mut found = decode(word, frame, sp)?;
                let access = found.access;
                if access.sign_extend() && access.second().is_none() {
                    let size = access.bytes().trailing_zeros();
                    let rt = access.rt().into();
                    found.access = Access::new(size, false, rt, access.sixty_four(), false);
                }
                Some(found)
            });
        });
    }

    #[test]
    fn a_base_that_is_not_written_back_is_found() {
        crate::bite::assert_bites("decode", run, |data| {
            with(data, |word, frame, sp| {
                Some(LoadStore { writeback: None, ..decode(word, frame, sp)? })
            });
        });
    }
}
