use std::collections::{BTreeMap, BTreeSet};
use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const M2: u64 = BLOCK_SIZE;
/// That take frames at most.
const VMS: usize = 30;

fn allocator(ranges: &[(u64, u64)]) -> FrameAllocator {
    let mut frames = FrameAllocator::new(ranges.iter().map(|&(pa, len)| (Pa::new(pa), len)));
    (0..VMS).for_each(|_| frames.make_room());
    frames
}

fn runs<State>(frames: &Frames<State>) -> Vec<(u64, u64)> {
    frames.runs().iter().map(|run| (run.pa.get(), run.frames)).collect()
}

fn take(allocator: &mut FrameAllocator, count: u64) -> Frames<Dirty> {
    allocator.allocate(count).expect("enough frames")
}

#[test]
fn ranges_are_trimmed_sorted_and_joined() {
    let frames = allocator(&[
        (0x8000_0000, 4 * M2),
        (0x4010_0000, 4 * M2),          // 3 whole frames within
        (0x8000_0000 + 2 * M2, 4 * M2), // overlaps the first by two frames
        (0x9000_0000, M2 - 1),          // not one frame
        (u64::MAX - 100, 1000),         // past the end of the world
    ]);
    assert_eq!(frames.available(), 3 + 6);
    let mut frames = frames;
    assert_eq!(runs(&take(&mut frames, 6)), [(0x8000_0000, 6)]);
    assert_eq!(runs(&take(&mut frames, 3)), [(0x4020_0000, 3)]);
    assert_eq!(allocator(&[]).available(), 0);
}

#[test]
fn whole_gigabytes_come_first() {
    // 0x4200_0000 up to 3.5 GiB: most of a gigabyte, a whole one, half a one.
    let new = || allocator(&[(0x4200_0000, 0xe000_0000 - 0x4200_0000)]);
    assert_eq!(runs(&take(&mut new(), 512 + 10)), [(0x8000_0000, 522)]);
    // A small VM leaves the gigabyte alone: the smallest hole that holds it.
    let mut frames = new();
    assert_eq!(runs(&take(&mut frames, 8)), [(0xc000_0000, 8)]);
    assert_eq!(runs(&take(&mut frames, 512)), [(0x8000_0000, 512)]);
    // One that fits nowhere else breaks it.
    let mut frames = new();
    let _others = take(&mut frames, 490);
    assert_eq!(runs(&take(&mut frames, 300)), [(0x8000_0000, 300)]);
}

#[test]
fn a_gigabyte_is_seen_across_the_border_of_two_ranges() {
    let mut frames = allocator(&[(0x8000_0000, 0x1000_0000), (0x9000_0000, GIB)]);
    assert_eq!(runs(&take(&mut frames, 512)), [(0x8000_0000, 512)]);
}

#[test]
fn two_gigabytes_in_a_row_are_one_run() {
    let mut frames = allocator(&[(0x4000_0000, 3 * GIB)]);
    assert_eq!(runs(&take(&mut frames, 1024 + 3)), [(0x4000_0000, 1027)]);
}

#[test]
fn fragments_are_used_when_nothing_else_is_left() {
    let mut frames = allocator(&[(0x4000_0000, M2), (0x5000_0000, 2 * M2), (0x6000_0000, M2)]);
    assert_eq!(runs(&take(&mut frames, 3)), [(0x5000_0000, 2), (0x4000_0000, 1)]);
    let error = frames.allocate(2).expect_err("one is left");
    assert_eq!(error.to_string(), "frames: 4 MiB asked for, 2 MiB free");
    assert_eq!(runs(&take(&mut frames, 1)), [(0x6000_0000, 1)]);
    assert_eq!(frames.allocate(1).err(), Some(Error::Exhausted(1, 0)));
}

#[test]
fn what_is_too_scattered_is_refused_and_takes_nothing() {
    let holes: Vec<_> = (0..MAX_RUNS as u64 + 1).map(|n| (0x4000_0000 + 2 * n * M2, M2)).collect();
    let mut frames = allocator(&holes);
    let error = frames.allocate(MAX_RUNS as u64 + 1).expect_err("33 pieces");
    assert_eq!(error.to_string(), "frames: 66 MiB free, in pieces of which 32 are too small");
    assert_eq!(frames.available(), MAX_RUNS as u64 + 1);
    assert_eq!(take(&mut frames, MAX_RUNS as u64).runs().len(), MAX_RUNS);
}

#[test]
fn too_much_is_refused_and_takes_nothing() {
    let mut frames = allocator(&[(0x4000_0000, 4 * M2)]);
    assert_eq!(frames.allocate(5).err(), Some(Error::Exhausted(5, 4)));
    assert!(frames.allocate(u64::MAX).expect_err("too many").to_string().contains("8 MiB free"));
    assert_eq!(frames.available(), 4);
}

#[test]
fn frames_are_clean_only_when_every_byte_was_zeroed() {
    let mut allocator = allocator(&[(0x4000_0000, 2 * M2), (0x8000_0000, M2)]);
    let mut frames = take(&mut allocator, 3);
    let slice = 0x30_0000; // more than a frame: cut to it
    let mut zeroed = BTreeMap::new();
    let mut steps = 0;
    frames = frames.clean().expect_err("nothing zeroed yet");
    // Every second step does only half of its piece.
    while !frames.zero_step(slice, |pa, len| {
        assert!(len <= M2 && pa.offset_in(M2) + len <= M2);
        let done = if steps % 2 == 0 { len / 2 } else { len };
        zeroed.insert(pa.get(), done);
        done
    }) {
        steps += 1;
        assert!(steps < 100);
        frames = frames.clean().expect_err("not all zeroed yet");
    }
    let total: u64 = zeroed.values().sum();
    assert_eq!(total, 3 * M2);
    let mut expected: Vec<_> =
        frames.runs().iter().flat_map(|r| [r.pa.get(), r.pa.get() + r.bytes()]).collect();
    expected.sort_unstable();
    assert_eq!(zeroed.keys().next(), expected.first());
    let clean = frames.clean().expect("all zeroed");
    assert_eq!(clean.bytes(), 3 * M2);
    let mut dirty = clean.soil();
    assert!(!dirty.zero_step(1, |_, _| 1), "after a reset all is to do again");
    // A liar gains nothing: no more counts than the piece.
    assert!(!dirty.zero_step(1, |_, _| u64::MAX));
}

/// Frames that are asked for at once, at most: more than are in a gigabyte.
const MOST: u64 = if cfg!(miri) { 30 } else { 900 };

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 1 } else { 60 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_frame_is_given_twice(
        counts in prop::collection::vec(1..MOST, 1..30),
        mut ranges in prop::collection::vec((0u64..2000, 1..2 * MOST), 1..4),
    ) {
        ranges.push((33, 2 * 512 + 30));
        let ranges: Vec<_> =
            ranges.into_iter().map(|(pa, len)| (0x4000_0000 + pa * M2, len * M2)).collect();
        let mut frames = allocator(&ranges);
        let ours: BTreeSet<u64> = ranges
            .iter()
            .flat_map(|&(pa, len)| (pa..pa + len).step_by(M2 as usize))
            .collect();
        prop_assert_eq!(frames.available(), ours.len() as u64);
        let mut given = BTreeSet::new();
        for count in counts {
            match frames.allocate(count) {
                Ok(got) => {
                    prop_assert_eq!(got.bytes(), count * M2);
                    for run in got.runs() {
                        let pas = (0..run.frames).map(|i| run.pa.get() + i * M2);
                        for pa in pas {
                            prop_assert!(ours.contains(&pa), "{:#x} is not ours", pa);
                            prop_assert!(given.insert(pa), "{:#x} twice", pa);
                        }
                    }
                }
                Err(error) => {
                    let available = frames.available();
                    prop_assert_eq!(error, Error::Exhausted(count, available));
                    prop_assert!(count > available);
                }
            }
            prop_assert_eq!(frames.available() + given.len() as u64, ours.len() as u64);
        }
    }

    #[test]
    fn what_comes_back_is_as_it_was(
        counts in prop::collection::vec(1..MOST, 1..10),
        order in any::<u64>(),
    ) {
        let fresh = || allocator(&[(0x4000_0000, 3 * GIB), (0x2_0000_0000, 100 * M2)]);
        let mut frames = fresh();
        let mut given: Vec<_> = counts.iter().filter_map(|n| frames.allocate(*n).ok()).collect();
        while !given.is_empty() {
            frames.release(given.swap_remove(order as usize % given.len()));
        }
        prop_assert_eq!(frames.available(), fresh().available());
        prop_assert_eq!(&frames.holes, &fresh().holes);
    }
}
