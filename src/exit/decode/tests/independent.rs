//! What an independent decoder says of an instruction: the lines of the crate disarm64, whose tables
//! come from binutils', read as the manual's pseudocode has them.

use super::{Access, Frame, LoadStore};
use std::string::{String, ToString};
use std::vec::Vec;

/// The stack pointer.
pub const SP: u64 = 0xffff_ff80_4000_0ff0;

/// Registers whose values tell which is which, with both halves and signs of every kind.
pub fn frame() -> Frame {
    let mut frame = Frame::reset(0, 0);
    for (n, x) in frame.x.iter_mut().enumerate() {
        *x = (n as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    frame
}

/// Mnemonics of one register, without the suffix of size and sign, and whether they are in the
/// decoder's list.
const SINGLE: [&str; 13] = [
    "ldr", "ldur", "ldtr", "ldar", "ldlar", "ldapr", "ldapur", "str", "stur", "sttr", "stlr",
    "stllr", "stlur",
];
const PAIRS: [&str; 5] = ["ldp", "ldnp", "ldpsw", "stp", "stnp"];
/// Suffix, log2 of the size, sign.
const SUFFIXES: [(&str, u32, bool); 5] =
    [("sb", 0, true), ("sh", 1, true), ("sw", 2, true), ("b", 0, false), ("h", 1, false)];

/// A general register: its number (31 for SP and ZR), and whether it is an X register or SP.
fn register(name: &str) -> Option<(u8, bool)> {
    match name {
        "sp" | "xzr" => return Some((31, true)),
        "wzr" => return Some((31, false)),
        _ => {}
    }
    let sixty_four = match name.as_bytes().first()? {
        b'x' => true,
        b'w' => false,
        _ => return None,
    };
    Some((name[1..].parse().ok()?, sixty_four))
}

fn number(text: &str) -> Option<u64> {
    let text = text.trim_start_matches('#');
    match text.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => text.parse::<i64>().ok().map(|value| value as u64),
    }
}

/// What a disassembler's line says. `None` if it is not a load or store of the decoder's list.
pub fn read(line: &str) -> Option<LoadStore> {
    let (mnemonic, operands) = line.split_once(char::is_whitespace)?;
    let operands: String = operands.chars().filter(|c| !c.is_whitespace()).collect();
    let pair = PAIRS.contains(&mnemonic);
    let suffix = if mnemonic == "ldpsw" {
        Some((2, true))
    } else if pair || SINGLE.contains(&mnemonic) {
        None
    } else {
        let found = SUFFIXES.iter().find_map(|&(suffix, size, sign)| {
            let stem = mnemonic.strip_suffix(suffix)?;
            SINGLE.contains(&stem).then_some((size, sign))
        });
        Some(found?)
    };
    // Registers up to the address: "w0,w1,[x2,#8]!", "x0,[x1],#8", "x0,0x1000".
    let mut parts = operands.splitn(if pair { 3 } else { 2 }, ',');
    let (rt, sixty_four) = register(parts.next()?)?;
    let rt2 = if pair { Some(register(parts.next()?)?) } else { None };
    if let Some((_, width)) = rt2 {
        assert_eq!(width, sixty_four, "{line}");
    }
    let address = parts.next()?;
    let (size, sign) = suffix.unwrap_or((if sixty_four { 3 } else { 2 }, false));
    let access = Access::new(size, sign, rt.into(), sixty_four, mnemonic.starts_with("st"));
    let access = rt2.map_or(access, |(rt2, _)| access.pair(rt2.into()));
    let Some(inside) = address.strip_prefix('[') else {
        return Some(LoadStore { access, address: number(address)?, writeback: None });
    };
    let (inside, behind) = inside.split_once(']')?;
    let mut inside = inside.split(',');
    let frame = frame();
    let (n, _) = register(inside.next()?)?;
    let base = if n == 31 { SP } else { frame.gpr(n) };
    let rest: Vec<&str> = inside.collect();
    let offset = match (rest.as_slice(), behind.strip_prefix(',')) {
        ([], None) => 0,
        ([], Some(post)) => number(post)?,
        ([immediate], None) if immediate.starts_with('#') => number(immediate)?,
        ([rm, extend @ ..], None) => {
            let (m, sixty_four) = register(rm)?;
            let (extend, shift) = match extend.first() {
                None => ("lsl", 0),
                Some(text) => match text.split_once('#') {
                    Some((extend, shift)) => (extend, shift.parse().ok()?),
                    None => (*text, 0),
                },
            };
            // ExtendReg() of the pseudocode.
            let value = match (extend, sixty_four) {
                ("uxtw", false) => i128::from(frame.gpr(m) as u32),
                ("sxtw", false) => i128::from(frame.gpr(m) as i32),
                ("lsl" | "sxtx", true) => i128::from(frame.gpr(m)),
                _ => return None,
            };
            (value << shift) as u64
        }
        _ => return None,
    };
    let sum = base.wrapping_add(offset);
    let (address, writeback) = match behind {
        "" => (sum, None),
        "!" => (sum, Some((n, sum))),
        _ => (base, Some((n, sum))),
    };
    Some(LoadStore { access, address, writeback })
}

/// The independent decoder's line for `word`.
pub fn disassembled(word: u32) -> String {
    disarm64::decoder_load_store::decode(word).map_or(String::new(), |insn| insn.to_string())
}

/// Fields that should be ones: Rs and Rt2 of LDAR and the like, Rs of LDAPR. The independent
/// decoder insists on them.
pub fn with_ones(word: u32) -> u32 {
    if word & 0x3fa0_0000 == 0x0880_0000 {
        word | 0x001f_7c00
    } else if word & 0x3fe0_fc00 == 0x38a0_c000 {
        word | 0x001f_0000
    } else {
        word
    }
}
