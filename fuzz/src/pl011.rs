//! The PL011 against a plain model of Arm DDI 0183 as QEMU has it: sent at once, a receive FIFO of
//! 16 bytes or 1, and an interrupt with the first byte.

use crate::input::Input;
use mezzanine::device::pl011::Pl011;
use std::collections::VecDeque;

const OE: u32 = 1 << 11;
const RX: u32 = 1 << 4;
const TX: u32 = 1 << 5;
const OVERRUN: u32 = 1 << 10;

/// Registers that keep what is written: offset, bits, value at reset.
const KEPT: [(u64, u32, u32); 7] = [
    (0x20, 0xff, 0),
    (0x24, 0xffff, 0),
    (0x28, 0x3f, 0),
    (0x2c, 0xff, 0),
    (0x30, 0xffff, 0x300),
    (0x34, 0x3f, 0x12),
    (0x48, 7, 0),
];

struct Model {
    kept: [u32; 7],
    fifo: VecDeque<u8>,
    overrun: bool,
    rsr: u32,
    ris: u32,
    imsc: u32,
}

impl Model {
    fn new() -> Self {
        let kept = KEPT.map(|(.., reset)| reset);
        Self { kept, fifo: VecDeque::new(), overrun: false, rsr: 0, ris: 0, imsc: 0 }
    }

    fn depth(&self) -> usize {
        if self.kept[3] & 0x10 != 0 { 16 } else { 1 }
    }

    fn line(&self) -> bool {
        self.ris & self.imsc != 0
    }

    fn receive(&mut self, byte: u8) {
        if self.fifo.len() == self.depth() {
            (self.overrun, self.rsr, self.ris) = (true, self.rsr | 8, self.ris | OVERRUN);
        } else {
            self.fifo.push_back(byte);
            (self.overrun, self.ris) = (false, self.ris | RX);
        }
    }

    /// The value, and which of its bits are known.
    fn read(&mut self, offset: u64) -> (u32, u32) {
        let value = match offset {
            0x00 => {
                let error = if self.overrun { OE } else { 0 };
                let byte = self.fifo.pop_front();
                if self.fifo.is_empty() {
                    self.ris &= !RX;
                }
                self.rsr = error >> 8;
                // From an empty FIFO comes any byte.
                let known = if byte.is_some() { u32::MAX } else { !0xff };
                return (error | u32::from(byte.unwrap_or(0)), known);
            }
            0x04 => self.rsr,
            0x18 => {
                let empty = u32::from(self.fifo.is_empty()) << 4;
                0x80 | empty | u32::from(self.fifo.len() == self.depth()) << 6
            }
            0x38 => self.imsc,
            0x3c => self.ris,
            0x40 => self.ris & self.imsc,
            0xfe0..0x1000 if offset.is_multiple_of(4) => {
                let id = [0x11, 0x10, 0x14, 0, 0x0d, 0xf0, 0x05, 0xb1];
                id[(offset as usize - 0xfe0) / 4]
            }
            _ => {
                let found = KEPT.iter().position(|(at, ..)| *at == offset);
                found.map_or(0, |index| self.kept[index])
            }
        };
        (value, u32::MAX)
    }

    fn write(&mut self, offset: u64, value: u32) -> Option<u8> {
        match offset {
            0x00 => {
                self.ris |= TX;
                return Some(value as u8);
            }
            0x04 => self.rsr = 0,
            0x38 => self.imsc = value & 0x7ff,
            0x44 => self.ris &= !value,
            _ => {}
        }
        if let Some(index) = KEPT.iter().position(|(at, ..)| *at == offset) {
            // Switching the FIFO on or off empties it.
            if index == 3 && (self.kept[3] ^ value) & 0x10 != 0 {
                self.fifo.clear();
            }
            self.kept[index] = value & KEPT[index].1;
        }
        None
    }
}

/// Takes the bytes for accesses and for what comes over the wire.
pub fn run(data: &[u8]) {
    with(data, |_, value| value);
}

/// The same, for a device whose answers (offset, value) `spoil` changes.
fn with(data: &[u8], spoil: impl Fn(u64, u32) -> u32) {
    let mut input = Input::new(data);
    let (mut uart, mut model, mut line) = (Pl011::new(), Model::new(), false);
    while !input.is_empty() {
        let kind = input.below(4);
        let near = u64::from(input.u8());
        // Registers, the identification, and anything.
        let offset = match near {
            0..0x60 => near & 0x7c,
            0x60..0x80 => 0xf80 + near,
            0x80..0xf0 => near & 0x3c,
            _ => input.u64(),
        };
        let size = input.pick(&[4, 4, 1, 2, 4, 8, 0]);
        let is_access = matches!(size, 1 | 2 | 4);
        let mask = if size == 4 { u32::MAX } else { (1 << (8 * (size & 3))) - 1 };
        let change = match kind {
            0 => {
                let (value, change) = uart.read(offset, size);
                let (wanted, known) = if is_access { model.read(offset) } else { (0, u32::MAX) };
                let value = spoil(offset, value);
                assert_eq!(value & known, wanted & known & mask, "read of {offset:#x}");
                assert_eq!(value & !mask, 0);
                change
            }
            1 | 2 => {
                let value = input.u32();
                let (sent, change) = uart.write(offset, size, value);
                let wanted = if is_access { model.write(offset, value) } else { None };
                assert_eq!(sent, wanted, "write of {offset:#x}");
                change
            }
            _ => {
                model.receive(near as u8);
                uart.receive(near as u8)
            }
        };
        assert_ne!(change, Some(line), "a change to what it was");
        line = change.unwrap_or(line);
        assert_eq!((line, uart.line()), (model.line(), model.line()));
        assert_eq!(uart.room(), model.depth() - model.fifo.len().min(model.depth()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bite::assert_bites;

    #[test]
    fn an_overrun_that_is_not_told_is_found() {
        assert_bites("pl011", run, |data| {
            with(data, |offset, value| if offset == 0 { value & !OE } else { value });
        });
    }

    #[test]
    fn a_masked_interrupt_that_is_shown_is_found() {
        assert_bites("pl011", run, |data| {
            with(data, |offset, value| if offset == 0x40 { value | 0x20 } else { value });
        });
    }
}
