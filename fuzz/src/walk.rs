//! Walks of a guest's stage 1 by any registers and descriptors, against `AArch64.S1Walk` and its
//! helpers of Arm DDI 0487's pseudocode.

use crate::input::Input;
use mezzanine::memory::walk::{End, Stage1, Step, Walk};

/// Takes the bytes for registers, an address, and what stands in the tables on the way.
pub fn run(data: &[u8]) {
    with(data, |stage1, va, descriptors| {
        let mut next = descriptors.iter().copied();
        stage1.walk(va, |_| next.next().flatten())
    });
}

fn with(data: &[u8], walk: impl Fn(&Stage1, u64, &[Option<u64>]) -> Walk) {
    let mut input = Input::new(data);
    while !input.is_empty() {
        let (tg0, tg1) = (input.below(4) as u64, input.below(4) as u64);
        // What every CPU has: 16 to 39, and for 64 KiB granule from 12 on.
        let mut size = |wide: bool| if wide { 12 } else { 16 } + input.below(24) as u64;
        let (t0sz, t1sz) = (size(tg0 == 1), size(tg1 == 3));
        let flags = input.u8();
        let flag = |n: u32| u64::from(flags >> n & 1);
        // TBI0 and TBI1, EPD0 and EPD1 now and then.
        let rest =
            flag(0) << 37 | flag(1) << 38 | (flag(2) & flag(3)) << 7 | (flag(4) & flag(5)) << 23;
        let tcr = t0sz | tg0 << 14 | t1sz << 16 | tg1 << 30 | rest;
        let ttbr = [input.u64(), input.u64()];
        let stage1 = Stage1 { sctlr: u64::from(flags >> 6 != 0), tcr, ttbr };
        // Sign-extended from about as many bits as there are, with any top byte.
        let bits = input.below(5) + 9;
        let va = (input.u64() << bits) as i64 >> bits;
        let va = va as u64 ^ if input.flag() { u64::from(input.u8()) << 56 } else { 0 };
        let descriptors = [0; 4].map(|_| {
            // Mostly tables.
            let kind = input.pick(&[3, 3, 3, 3, 1, 0, 2, 4]);
            (kind < 4).then(|| input.u64() & !3 | kind)
        });
        let found = walk(&stage1, va, &descriptors);
        assert_eq!(found, book(&stage1, va, &descriptors), "{stage1:x?}, VA {va:#x}");
    }
}

/// The same by the book, field by field.
fn book(stage1: &Stage1, va: u64, descriptors: &[Option<u64>]) -> Walk {
    let mut walk = Walk { steps: Default::default(), end: End::Flat };
    if stage1.sctlr & 1 == 0 {
        return walk;
    }
    walk.end = End::NotCovered;
    let field = |high: u32, low: u32| stage1.tcr >> low & ((1 << (high - low + 1)) - 1);
    let high = va >> 55 & 1 == 1;
    let (txsz, epd, tbi, granule) = if high {
        (field(21, 16), field(23, 23), field(38, 38), [12, 14, 12, 16][field(31, 30) as usize])
    } else {
        (field(5, 0), field(7, 7), field(37, 37), [12, 16, 14, 12][field(15, 14) as usize])
    };
    let iasize = 64 - txsz as u32;
    // AArch64.VAIsOutOfRange: bits top:iasize are all as bit 55.
    let top = if tbi == 1 { 55 } else { 63 };
    let is_out = (iasize..=top).any(|bit| (va >> bit & 1 == 1) != high);
    if epd == 1 || is_out {
        return walk;
    }
    // AArch64.S1StartLevel.
    let stride = granule - 3;
    let mut level = 3 - (iasize - 1 - granule) as i32 / stride as i32;
    let mut table = stage1.ttbr[usize::from(high)] & 0x0000_ffff_ffff_fffe;
    let mut top = iasize - 1;
    for descriptor in descriptors {
        // AArch64.TTEntryAddress.
        let lsb = (3 - level) as u32 * stride + granule;
        let at = table + (va >> lsb & ((1 << (top - lsb + 1)) - 1)) * 8;
        let Some(descriptor) = *descriptor else {
            walk.end = End::NoTable(table);
            break;
        };
        walk.steps.push(Step { level: level as u8, at, descriptor });
        let address = |low: u32| {
            let upper = if granule == 16 { (descriptor >> 12 & 0xf) << 48 } else { 0 };
            upper | (descriptor & 0xffff_ffff_ffff) >> low << low
        };
        // AArch64.DecodeDescriptorType.
        let is_leaf = match descriptor & 3 {
            3 if level == 3 => true,
            1 => level == 2 || level == 1 && granule == 12,
            _ => false,
        };
        if is_leaf {
            walk.end = End::Leaf(address(lsb) | va & ((1 << lsb) - 1), lsb as u8);
            break;
        }
        walk.end = End::Fault(level as u8);
        if descriptor & 3 != 3 || level == 3 {
            break;
        }
        (table, top, level) = (address(granule), lsb - 1, level + 1);
    }
    walk
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bite::assert_bites;

    #[test]
    fn granules_with_one_code_for_both_halves_are_found() {
        assert_bites("walk", run, |data| {
            with(data, |stage1, va, descriptors| {
                let tg0 = stage1.tcr >> 14 & 3;
                let tcr = stage1.tcr & !(3 << 30) | tg0 << 30;
                let mut next = descriptors.iter().copied();
                Stage1 { tcr, ..*stage1 }.walk(va, |_| next.next().flatten())
            });
        });
    }

    #[test]
    fn an_address_that_is_cut_to_its_half_is_found() {
        assert_bites("walk", run, |data| {
            with(data, |stage1, va, descriptors| {
                let va = (va << 16) as i64 >> 16;
                let mut next = descriptors.iter().copied();
                stage1.walk(va as u64, |_| next.next().flatten())
            });
        });
    }
}
