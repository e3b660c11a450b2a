use std::collections::BTreeSet;
use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::memory::GIB;

const M2: u64 = BLOCK_SIZE;
/// That take frames at most.
const VMS: usize = 30;

fn allocator(ranges: &[(u64, u64)]) -> FrameAllocator {
    let mut frames = FrameAllocator::new(ranges.iter().map(|&(pa, len)| (Pa::new(pa), len)));
    (0..VMS).for_each(|_| frames.make_room());
    frames
}

fn runs(frames: &Frames) -> Vec<(u64, u64)> {
    frames.runs().iter().map(|run| (run.pa.get(), run.frames)).collect()
}

fn try_take(allocator: &mut FrameAllocator, count: u64) -> Result<Frames, Error> {
    let mut frames = Frames::new(count);
    let result = allocator.allocate(&mut frames);
    assert_eq!(frames.runs().is_empty(), result.is_err() || count == 0, "all or none");
    result.map(|()| frames)
}

fn take(allocator: &mut FrameAllocator, count: u64) -> Frames {
    try_take(allocator, count).expect("enough frames")
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
fn the_smallest_hole_that_holds_all_comes_first() {
    let mut frames = allocator(&[(0x4000_0000, 9 * M2), (0x8000_0000, 5 * M2), (0xc000_0000, M2)]);
    assert_eq!(runs(&take(&mut frames, 4)), [(0x8000_0000, 4)]);
    // Of two of a size the lower one.
    assert_eq!(runs(&take(&mut frames, 1)), [(0x8000_0000 + 4 * M2, 1)]);
    assert_eq!(runs(&take(&mut frames, 1)), [(0xc000_0000, 1)]);
    assert_eq!(runs(&take(&mut frames, 9)), [(0x4000_0000, 9)]);
}

#[test]
fn fragments_are_used_when_nothing_else_is_left() {
    let mut frames = allocator(&[(0x4000_0000, M2), (0x5000_0000, 2 * M2), (0x6000_0000, M2)]);
    assert_eq!(runs(&take(&mut frames, 3)), [(0x5000_0000, 2), (0x4000_0000, 1)]);
    let error = try_take(&mut frames, 2).expect_err("one is left");
    assert_eq!(error.to_string(), "frames: 4 MiB asked for, 2 MiB free");
    assert_eq!(runs(&take(&mut frames, 1)), [(0x6000_0000, 1)]);
    assert_eq!(try_take(&mut frames, 1).err(), Some(Error::Exhausted(1, 0)));
}

#[test]
fn what_is_too_scattered_is_refused_and_takes_nothing() {
    let holes: Vec<_> = (0..MAX_RUNS as u64 + 1).map(|n| (0x4000_0000 + 2 * n * M2, M2)).collect();
    let mut frames = allocator(&holes);
    let error = try_take(&mut frames, MAX_RUNS as u64 + 1).expect_err("33 pieces");
    assert_eq!(error.to_string(), "frames: 66 MiB free, in pieces of which 32 are too small");
    assert_eq!(frames.available(), MAX_RUNS as u64 + 1);
    assert_eq!(take(&mut frames, MAX_RUNS as u64).runs().len(), MAX_RUNS);
}

#[test]
fn too_much_is_refused_and_takes_nothing() {
    let mut frames = allocator(&[(0x4000_0000, 4 * M2)]);
    assert_eq!(try_take(&mut frames, 5).err(), Some(Error::Exhausted(5, 4)));
    assert_eq!(frames.available(), 4);
}

/// Does a claim as a pCPU does, and remembers which slice it was.
fn zero(claim: Claim, zeroed: &mut BTreeSet<u64>) -> Zeroed {
    claim.zero(|pa, len| {
        assert!(len == SLICE && pa.is_aligned(SLICE));
        assert!(zeroed.insert(pa.get()), "{pa} twice");
        len
    })
}

#[test]
fn a_frame_is_clean_when_its_last_slice_is_zero_and_once_only() {
    let mut frames = take(&mut allocator(&[(0x4000_0000, 2 * M2), (0x8000_0000, M2)]), 3);
    for (index, pa) in [(2, 0x8000_0000), (0, 0x4000_0000), (1, 0x4000_0000 + M2)] {
        // The smallest run last: the frame's number goes by the order of the runs.
        let index = (index + 3 - u64::from(runs(&frames)[0].1 == 1)) % 3;
        let mut zeroed = BTreeSet::new();
        for slice in 0..M2 / SLICE {
            let claim = frames.claim(index).expect("a slice");
            let clean = frames.finish(zero(claim, &mut zeroed));
            let wanted = (slice == M2 / SLICE - 1).then_some(pa);
            assert_eq!(clean.map(|clean| clean.pa().get()), wanted);
        }
        assert_eq!(zeroed, (pa..pa + M2).step_by(SLICE as usize).collect());
        assert!(frames.claim(index).is_none());
    }
    assert!(frames.claim(3).is_none(), "there are three");
    frames.soil();
    assert!(frames.claim(0).is_some(), "after a reset all is to do again");
}

#[test]
fn what_was_not_zeroed_as_a_whole_is_claimed_anew() {
    let mut frames = take(&mut allocator(&[(0x4000_0000, M2)]), 1);
    for done in [0, 1, SLICE - 1] {
        let claim = frames.claim(0).expect("a slice");
        assert!(frames.finish(claim.zero(|pa, _| pa.get() - 0x4000_0000 + done)).is_none());
    }
    let mut zeroed = BTreeSet::new();
    let clean = (0..8).find_map(|_| {
        let claim = frames.claim(0).expect("a slice");
        frames.finish(zero(claim, &mut zeroed))
    });
    assert_eq!((clean.map(|clean| clean.pa().get()), zeroed.len()), (Some(0x4000_0000), 8));
}

#[test]
fn a_vm_without_frames_has_nothing_to_claim() {
    let mut allocator = allocator(&[(0x4000_0000, M2)]);
    let mut frames = Frames::new(1);
    assert!(frames.claim(0).is_none());
    allocator.allocate(&mut frames).expect("one frame");
    allocator.release(&mut frames);
    assert!(frames.claim(0).is_none());
    assert_eq!(allocator.available(), 1);
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
            match try_take(&mut frames, count) {
                Ok(got) => {
                    prop_assert_eq!(got.runs().iter().map(|run| run.frames).sum::<u64>(), count);
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
        let mut given: Vec<_> = counts.iter().filter_map(|n| try_take(&mut frames, *n).ok()).collect();
        while !given.is_empty() {
            frames.release(&mut given.swap_remove(order as usize % given.len()));
        }
        prop_assert_eq!(frames.available(), fresh().available());
        prop_assert_eq!(&frames.holes, &fresh().holes);
    }
}
