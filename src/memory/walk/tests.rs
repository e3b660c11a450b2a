use std::collections::HashMap;
use std::vec::Vec;

use super::{End, Regime, Stage1};
use crate::memory::Pa;
use crate::memory::stage2::{vtcr, vttbr};

/// TCR_EL1 with both halves of `size` bits, granules by TG0 and TG1.
fn tcr(size: u64, tg0: u64, tg1: u64) -> u64 {
    (64 - size) | tg0 << 14 | (64 - size) << 16 | tg1 << 30
}

fn stage1(tcr: u64) -> Stage1 {
    Stage1 { sctlr: 1, tcr, ttbr: [0x5a_0000_4000_0000, 0x5a_0000_4010_0001] }
}

fn walk(stage1: &Stage1, va: u64, tables: &[(u64, u64)]) -> super::Walk {
    let tables: HashMap<u64, u64> = tables.iter().copied().collect();
    stage1.walk(va, |at| tables.get(&at).copied())
}

#[test]
fn four_levels_of_4_kib() {
    let stage1 = stage1(tcr(48, 0, 2));
    // Index 1 at each level, and an offset of 0x123.
    let va = 1 << 39 | 1 << 30 | 1 << 21 | 1 << 12 | 0x123;
    let tables = [
        (0x4000_0008, 0x4000_1003),
        (0x4000_1008, 0x4000_2003),
        (0x4000_2008, 0x4000_3003),
        (0x4000_3008, 0x60_0000_4567_8703),
    ];
    let walk = walk(&stage1, va, &tables);
    assert_eq!(walk.end, End::Leaf(0x4567_8123, 12));
    let levels: Vec<_> = walk.steps.iter().map(|step| (step.level, step.at)).collect();
    let expected: Vec<_> = (0..4).zip(tables.iter().map(|(at, _)| *at)).collect();
    assert_eq!(levels, expected);
}

#[test]
fn blocks_by_granule_and_level() {
    for (granule, level, leaf) in [
        (12, 0, None),
        (12, 1, Some(30)),
        (12, 2, Some(21)),
        (14, 1, None),
        (14, 2, Some(25)),
        (16, 1, None),
        (16, 2, Some(29)),
    ] {
        let regime = Regime { root: 0, granule, bits: 48, start: level, tagged: false };
        let end = regime.walk(0x1234, |_| Some(1)).end;
        assert_eq!(end, leaf.map_or(End::Fault(level), |bits| End::Leaf(0x1234, bits)));
    }
}

#[test]
fn linux_has_its_kernel_in_the_high_half_with_39_bits() {
    let stage1 = stage1(tcr(39, 0, 2));
    let walk = walk(&stage1, 0xffff_ffc0_0800_0abc, &[(0x4010_0800, 0x4000_0401)]);
    assert_eq!(walk.end, End::Leaf(0x4800_0abc, 30));
    assert_eq!(walk.steps[0].level, 1);
}

#[test]
fn granules_have_other_codes_in_each_half() {
    let low = |tg0| stage1(tcr(48, tg0, 2)).regime(0).unwrap().granule;
    let high = |tg1| stage1(tcr(48, 0, tg1)).regime(u64::MAX).unwrap().granule;
    assert_eq!([low(0), low(1), low(2)], [12, 16, 14]);
    assert_eq!([high(2), high(3), high(1)], [12, 16, 14]);
}

#[test]
fn start_levels_follow_the_size() {
    let start = |bits, tg0| stage1(tcr(bits, tg0, 2)).regime(0).unwrap().start;
    assert_eq!([start(48, 0), start(39, 0), start(30, 0), start(25, 0)], [0, 1, 2, 2]);
    assert_eq!([start(48, 2), start(47, 2), start(36, 2)], [0, 1, 2]);
    assert_eq!([start(48, 1), start(42, 1)], [1, 2]);
}

#[test]
fn with_64_kib_the_output_has_52_bits() {
    let regime = Regime { root: 0, granule: 16, bits: 42, start: 2, tagged: false };
    let end = regime.walk(0, |at| Some(if at == 0 { 0x1_0003 } else { 0x8765_f003 })).end;
    assert_eq!(end, End::Leaf(0xf_0000_8765_0000, 16));
}

#[test]
fn addresses_between_the_halves_are_nobodys() {
    let plain = stage1(tcr(48, 0, 2));
    assert_eq!(walk(&plain, 1 << 48, &[]).end, End::NotCovered);
    assert_eq!(walk(&plain, 0x5a00_0000_0000_0000, &[]).end, End::NotCovered);
    let tagged = stage1(tcr(48, 0, 2) | 1 << 37);
    assert_eq!(walk(&tagged, 0x5a00_0000_0000_0000, &[]).end, End::NoTable(0x4000_0000));
    assert_eq!(walk(&tagged, 0x5a01_0000_0000_0000, &[]).end, End::NotCovered);
    assert_eq!(walk(&tagged, 0x5aff_ffff_ffff_fff8, &[]).end, End::NotCovered);
    let high = stage1(tcr(48, 0, 2) | 1 << 38);
    assert_eq!(walk(&high, 0x5aff_ffff_ffff_fff8, &[]).end, End::NoTable(0x4010_0000));
}

#[test]
fn walks_that_are_off() {
    assert_eq!(walk(&stage1(tcr(48, 0, 2) | 1 << 7), 0, &[]).end, End::NotCovered);
    assert_eq!(walk(&stage1(tcr(48, 0, 2) | 1 << 23), u64::MAX, &[]).end, End::NotCovered);
    let off = Stage1::default();
    assert_eq!(walk(&off, 0x1234, &[]).end, End::Flat);
    assert_eq!(off.translate(0x1234, |_| None), Some(0x1234));
}

#[test]
fn stage_2_begins_where_vtcr_says() {
    let regime = Regime::stage2(vttbr(7, Pa::new(0x4041_e000)), vtcr(40, 4, false));
    assert_eq!((regime.root, regime.bits, regime.start), (0x4041_e000, 40, 1));
    // The second of the two concatenated tables.
    let walk = regime.walk(1 << 39, |at| (at == 0x4041_f000).then_some(0));
    assert_eq!(walk.end, End::Fault(1));
}

#[test]
fn whatever_tables_say_a_walk_ends() {
    // A table that leads to itself at each level, and any word.
    for word in [u64::MAX, 3, 0x4000_0003, 1, 2, 0xffff_ffff_ffff_fffe] {
        for granule in [12, 14, 16] {
            for start in 0..4 {
                let regime = Regime { root: 0x4000_0000, granule, bits: 52, start, tagged: true };
                let walk = regime.walk((1 << 52) - 1, |_| Some(word));
                assert!(walk.steps.len() <= 4 && !walk.steps.is_empty());
            }
        }
    }
    for register in [0, u64::MAX, 0x3f | 0x3f << 16, 0x5555_5555_5555_5555] {
        let stage1 = Stage1 { sctlr: 1, tcr: register, ttbr: [register; 2] };
        for va in [0, u64::MAX, 1 << 55, (1 << 55) - 1] {
            stage1.walk(va, |_| Some(u64::MAX));
        }
    }
}
