mod machine;

use std::collections::BTreeMap;
use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use self::machine::{Simulation, book_walk};
use super::*;
use crate::memory::{BLOCK_SIZE, GIB};

const K4: u64 = PAGE_SIZE;
const M2: u64 = BLOCK_SIZE;

fn stage2(ipa_bits: u8) -> Stage2<Simulation> {
    Stage2::new(Simulation::new(ipa_bits), ipa_bits).expect("tables")
}

/// Maps and says whether it worked.
fn map(s2: &mut Stage2<Simulation>, ipa: u64, pa: u64, len: u64) -> Result<(), Error> {
    s2.map(Ipa::new(ipa), Pa::new(pa), len, Attributes::RAM)
}

/// (PA, bytes to the end of the leaf) of `ipa`.
fn lookup(s2: &Stage2<Simulation>, ipa: u64) -> Option<(u64, u64)> {
    s2.translate(Ipa::new(ipa)).map(|t| (t.pa.get(), t.len))
}

#[test]
fn descriptors_are_the_manuals() {
    let leaf = |pa, attributes| Entry::Leaf(Pa::new(pa), attributes);
    // Block: AF, SH inner, S2AP RW, MemAttr 0b1111, valid.
    assert_eq!(leaf(0x8000_0000, Attributes::RAM).encode(1), 0x8000_07fd);
    assert_eq!(leaf(0x8000_0000, Attributes::RAM).encode(3), 0x8000_07ff);
    assert_eq!(leaf(0x8020_0000, Attributes::RAM).encode(2), 0x8020_07fd);
    assert_eq!(leaf(0x0901_0000, Attributes::ROM).encode(3), 0x0901_077f);
    assert_eq!(Entry::Table(Pa::new(0x4000_3000)).encode(1), 0x4000_3003);
    assert_eq!(Entry::Invalid.encode(2), 0);
    for level in 1..=3 {
        for entry in [leaf(0x40_0000_0000, Attributes::ROM), leaf(0, Attributes::RAM)] {
            assert_eq!(Entry::decode(level, entry.encode(level)), entry);
        }
    }
    // Reserved: a "block" at level 3. And bits of an invalid descriptor mean nothing.
    assert_eq!(Entry::decode(3, 0x8000_07fd), Entry::Invalid);
    assert_eq!(Entry::decode(1, 0x8000_07fe), Entry::Invalid);
}

#[test]
fn control_registers() {
    // Cortex-A72: IPAs of 40 bits, PAs of 44.
    assert_eq!(vtcr(40, 4, false), 0x8004_3558);
    assert_eq!(vtcr(39, 5, true), 0x800d_3559);
    assert_eq!(vtcr(32, 0, false), 0x8000_3560);
    for range in 0..=5 {
        assert_eq!(vtcr(40, range, false) >> 16 & 7, range);
    }
    assert_eq!(vttbr(0x12, Pa::new(0x4000_2000)), 0x0012_0000_4000_2000);
}

#[test]
#[cfg_attr(miri, ignore = "thousands of descriptors, and no unsafe code in them")]
fn the_largest_blocks_that_fit() {
    let mut s2 = stage2(40);
    map(&mut s2, GIB, 2 * GIB, 2 * GIB + M2 + K4).expect("map");
    assert_eq!(lookup(&s2, GIB + 5), Some((2 * GIB + 5, GIB - 5)));
    assert_eq!(lookup(&s2, 3 * GIB), Some((4 * GIB, M2)));
    assert_eq!(lookup(&s2, 3 * GIB + M2), Some((4 * GIB + M2, K4)));
    assert_eq!(lookup(&s2, 3 * GIB + M2 + K4), None);
    // PA aligned to 2 MiB only: no 1 GiB block.
    map(&mut s2, 8 * GIB, 16 * GIB + M2, GIB).expect("map");
    assert_eq!(lookup(&s2, 8 * GIB), Some((16 * GIB + M2, M2)));
    // The last gigabyte, in the second of the concatenated root tables.
    let last = (1 << 40) - GIB;
    map(&mut s2, last, 0, GIB).expect("map");
    assert_eq!(lookup(&s2, last + 1), Some((1, GIB - 1)));
    assert_eq!(lookup(&s2, 1 << 40), None);
}

#[test]
fn refusals_change_nothing() {
    let mut s2 = stage2(36);
    map(&mut s2, M2, GIB, 4 * K4).expect("map");
    let tables = s2.machine.tables();
    let error = |r: Result<(), Error>| r.expect_err("refused").to_string();
    assert_eq!(error(map(&mut s2, 0, GIB, M2 + K4)), "stage 2: IPA 0x200000 is mapped already");
    assert_eq!(
        error(map(&mut s2, M2 + 3 * K4, GIB, K4)),
        "stage 2: IPA 0x203000 is mapped already"
    );
    assert_eq!(
        error(map(&mut s2, 0x10, GIB, K4)),
        "stage 2: IPA 0x10, PA 0x40000000, length 0x1000: want multiples of 0x1000"
    );
    for (ipa, pa, len) in [(0, 8, K4), (0, 0, 12), (0, 0, 0)] {
        assert!(matches!(map(&mut s2, ipa, pa, len), Err(Error::Unaligned(..))));
    }
    assert_eq!(
        error(map(&mut s2, 1 << 36, GIB, K4)),
        "stage 2: IPA 0x1000000000, length 0x1000: want an end up to 0x1000000000"
    );
    assert!(matches!(map(&mut s2, !0xfff, 0, 2 * K4), Err(Error::IpaRange(..))));
    assert!(matches!(map(&mut s2, 0, !0xfff, 2 * K4), Err(Error::PaRange(..))));
    assert!(matches!(map(&mut s2, 0, 1 << 48, K4), Err(Error::PaRange(..))));
    assert!(matches!(s2.unmap(Ipa::new(1), K4), Err(Error::Unaligned(..))));
    assert_eq!(Stage2::new(Simulation::new(41), 41).err(), Some(Error::IpaBits(41)));
    assert_eq!(Stage2::new(Simulation::new(31), 31).err(), Some(Error::IpaBits(31)));
    assert_eq!(s2.machine.tables(), tables);
    assert_eq!(lookup(&s2, M2), Some((GIB, K4)));
}

#[test]
fn a_table_goes_with_its_last_page() {
    let mut s2 = stage2(39);
    map(&mut s2, 0, GIB, 2 * K4).expect("map");
    assert_eq!(s2.machine.tables(), 3);
    s2.unmap(Ipa::new(0), K4).expect("unmap");
    assert_eq!(s2.machine.tables(), 3);
    s2.unmap(Ipa::new(K4), K4).expect("unmap");
    assert_eq!(s2.machine.tables(), 1);
    // Unmapping nothing costs no maintenance.
    let before = s2.machine.invalidations();
    s2.unmap(Ipa::new(0), GIB).expect("unmap");
    assert_eq!(s2.machine.invalidations(), before);
}

#[test]
fn a_block_goes_as_a_whole_or_not_at_all() {
    let mut s2 = stage2(40);
    map(&mut s2, M2, 0, 3 * M2).expect("map");
    for (ipa, len, block) in [
        (M2 - K4, 2 * K4, M2),
        (2 * M2 - K4, M2 + K4, M2),
        (M2, M2 + K4, 2 * M2),
        (M2 + K4, K4, M2),
    ] {
        assert_eq!(s2.unmap(Ipa::new(ipa), len), Err(Error::Part(Ipa::new(block))), "{ipa:#x}");
    }
    assert_eq!((lookup(&s2, M2), lookup(&s2, 3 * M2)), (Some((0, M2)), Some((2 * M2, M2))));
    s2.unmap(Ipa::new(0), 3 * M2).expect("unmap");
    assert_eq!((lookup(&s2, M2), lookup(&s2, 3 * M2)), (None, Some((2 * M2, M2))));
}

#[test]
fn frame_by_frame_is_as_at_once() {
    // As a VM's frames come: in any order, a part of one at the end, and gone together.
    let mut s2 = stage2(40);
    for (ipa, len) in [(GIB + M2, M2), (GIB + 3 * M2, 5 * K4), (GIB - M2, M2), (GIB, M2)] {
        map(&mut s2, ipa, ipa + GIB, len).expect("map");
    }
    assert_eq!(
        (lookup(&s2, GIB + M2), lookup(&s2, GIB + 2 * M2)),
        (Some((2 * GIB + M2, M2)), None)
    );
    assert_eq!(lookup(&s2, GIB + 3 * M2 + 4 * K4), Some((2 * GIB + 3 * M2 + 4 * K4, K4)));
    let before = s2.machine.invalidations();
    s2.unmap(Ipa::new(GIB - M2), 4 * M2 + 5 * K4).expect("unmap");
    assert_eq!((s2.machine.tables(), s2.machine.invalidations()), (2, before + 1));
}

#[test]
#[cfg_attr(miri, ignore = "thousands of descriptors, and no unsafe code in them")]
fn running_out_of_tables_leaves_all_as_it_was() {
    // Two page-wise ends: four tables are needed.
    for budget in 0..4 {
        let mut s2 = stage2(40);
        s2.machine.set_budget(budget);
        let result = map(&mut s2, M2 - K4, GIB - K4, GIB + 2 * K4);
        assert_eq!(result, Err(Error::NoTables), "{budget}");
        assert_eq!(s2.machine.tables(), 2, "only the root");
        assert_eq!(lookup(&s2, M2 - K4), None);
    }
}

// Against models.

/// Every page of a small address range, flat.
#[test]
#[cfg_attr(miri, ignore = "thousands of walks, and no unsafe code in them")]
fn pages_one_by_one() {
    let mut s2 = stage2(32);
    let mut model = BTreeMap::new();
    let base = GIB - 4 * M2;
    let steps = [
        (0, 3 * M2, 0x8000_0000),
        (3 * M2 + K4, M2, 0x9000_1000),
        (5 * M2, 2 * M2 + 3 * K4, 0xa000_1000),
    ];
    for (at, len, pa) in steps {
        map(&mut s2, base + at, pa, len).expect("map");
        model.extend((0..len / K4).map(|i| (base + at + i * K4, pa + i * K4)));
    }
    for (at, len) in [(M2, M2), (5 * M2 + K4, M2), (4 * M2, 9 * K4), (6 * M2 + 5 * K4, K4)] {
        s2.unmap(Ipa::new(base + at), len).expect("unmap");
        model.retain(|&ipa, _| ipa < base + at || ipa >= base + at + len);
    }
    let root = s2.machine.root();
    for ipa in (base..base + 8 * M2).step_by(4096) {
        let found = book_walk(&s2.machine, root, ipa).map(|leaf| leaf.pa);
        assert_eq!(found, model.get(&ipa).copied(), "{ipa:#x}");
        assert_eq!(s2.translate(Ipa::new(ipa)).map(|t| t.pa.get()), found);
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Map { from: usize, to: usize, offset: usize, attributes: usize },
    Unmap { from: usize, to: usize },
}

const OFFSETS: [u64; 4] = [0, 4 * GIB, 0x8020_0000, 0x1_0000_3000];
const KINDS: [Attributes; 2] = [Attributes::RAM, Attributes::ROM];

/// Addresses on both sides of every kind of boundary: all operations start and end at one, so
/// that what lies between two neighbours is mapped as a whole or not at all.
fn points() -> Vec<u64> {
    let mut points = Vec::new();
    for gib in 0..3 {
        for block in [0, 1, 511] {
            points.extend([0, 1, 2, 511].map(|page| gib * GIB + block * M2 + page * K4));
        }
    }
    points.push(3 * GIB);
    points
}

fn op() -> impl Strategy<Value = Op> {
    let point = 0..points().len();
    let range = (point.clone(), point).prop_map(|(a, b)| (a.min(b), a.max(b)));
    prop_oneof![
        4 => (range.clone(), 0..4usize, 0..2usize).prop_map(|((from, to), offset, attributes)| {
            Op::Map { from, to, offset, attributes }
        }),
        3 => range.prop_map(|(from, to)| Op::Unmap { from, to }),
    ]
}

/// For each interval between two points: the PA of its start and its attributes.
type Model = Vec<Option<(u64, Attributes)>>;

fn apply(s2: &mut Stage2<Simulation>, points: &[u64], model: &mut Model, op: Op, budget: usize) {
    s2.machine.set_budget(budget);
    let (result, next) = match op {
        Op::Map { from, to, offset, attributes } => {
            let (start, end) = (points[from], points[to]);
            // An offset that fits no block over gigabytes means 2^18 pages: skip those.
            let offset = if end - start > 8 * M2 { OFFSETS[offset & 1] } else { OFFSETS[offset] };
            let attributes = KINDS[attributes];
            let mut next = model.clone();
            let free = next[from..to].iter().all(Option::is_none);
            for i in from..to {
                next[i] = Some((points[i] + offset, attributes));
            }
            let pa = Pa::new(start + offset);
            let result = s2.map(Ipa::new(start), pa, end - start, attributes);
            assert_eq!(matches!(result, Err(Error::Overlap(_))), from != to && !free);
            (result, next)
        }
        Op::Unmap { from, to } => {
            let mut next = model.clone();
            next[from..to].fill(None);
            let len = points[to] - points[from];
            let result = s2.unmap(Ipa::new(points[from]), len);
            // A block can be cut only where both sides of an end are mapped.
            let is_inside = |at: usize| {
                at > 0 && model[at - 1].is_some() && model.get(at).is_some_and(Option::is_some)
            };
            let part = matches!(result, Err(Error::Part(_)));
            assert!(!part || is_inside(from) || is_inside(to));
            (result, next)
        }
    };
    if result.is_ok() {
        *model = next;
    } else if budget == usize::MAX {
        assert_ne!(result, Err(Error::NoTables));
    }
}

/// The book's walk, ours and the model agree; nothing is pending; no table is lost or empty.
fn check(s2: &Stage2<Simulation>, points: &[u64], model: &Model) {
    let root = s2.machine.root();
    for (i, expected) in model.iter().enumerate() {
        let (start, end) = (points[i], points[i + 1]);
        let middle = (start + (end - start) / 2) & !(K4 - 1);
        for ipa in [start, middle, end - K4] {
            let expected = expected.map(|(pa, attributes)| (pa + ipa - start, attributes));
            let found = s2.translate(Ipa::new(ipa)).map(|t| (t.pa.get(), t.attributes));
            assert_eq!(found, expected, "{ipa:#x}");
            let book = book_walk(&s2.machine, root, ipa);
            assert_eq!(book.map(|leaf| (leaf.pa, leaf.attributes())), expected, "{ipa:#x}");
        }
    }
    s2.machine.assert_quiet(root);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 24,
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    #[cfg_attr(miri, ignore = "a slow machine, and no unsafe code in it")]
    fn any_sequence_agrees_with_the_model(ops in prop::collection::vec((op(), 0usize..12), 1..20)) {
        let points = points();
        let mut s2 = stage2(40);
        s2.machine.watch(&points);
        let mut model: Model = [None].repeat(points.len() - 1);
        for (op, budget) in ops {
            // Now and then too few tables.
            let budget = if budget < 6 { budget } else { usize::MAX };
            apply(&mut s2, &points, &mut model, op, budget);
            check(&s2, &points, &model);
        }
    }
}
