use std::collections::BTreeMap;
use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use super::*;

const A: VmId = VmId(1);
const B: VmId = VmId(2);
const M2: u64 = BLOCK_SIZE;

fn allocator(ranges: &[(u64, u64)]) -> FrameAllocator {
    FrameAllocator::new(ranges.iter().map(|&(pa, len)| (Pa::new(pa), len)))
}

fn runs<State>(frames: &Frames<State>) -> Vec<(u64, u64)> {
    frames.runs().iter().map(|run| (run.pa.get(), run.frames)).collect()
}

fn take(allocator: &mut FrameAllocator, vm: VmId, count: u64) -> Frames<Dirty> {
    allocator.allocate(vm, count).expect("enough frames")
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
    assert_eq!(runs(&take(&mut frames, A, 6)), [(0x8000_0000, 6)]);
    assert_eq!(runs(&take(&mut frames, A, 3)), [(0x4020_0000, 3)]);
    assert_eq!(allocator(&[]).available(), 0);
}

#[test]
fn whole_gigabytes_come_first() {
    // 0x4200_0000 up to 4 GiB: most of a gigabyte, a whole one, half a one.
    let mut frames = allocator(&[(0x4200_0000, 0xe000_0000 - 0x4200_0000)]);
    let big = take(&mut frames, A, 512 + 10);
    assert_eq!(runs(&big), [(0x8000_0000, 522)]);
    frames.free(big).expect("free");
    // A small VM leaves the gigabyte alone: the smallest hole that holds it.
    let small = take(&mut frames, A, 8);
    assert_eq!(runs(&small), [(0xc000_0000, 8)]);
    let big = take(&mut frames, B, 512);
    assert_eq!(runs(&big), [(0x8000_0000, 512)]);
}

#[test]
fn two_gigabytes_in_a_row_are_one_run() {
    let mut frames = allocator(&[(0x4000_0000, 3 * GIB)]);
    assert_eq!(runs(&take(&mut frames, A, 1024 + 3)), [(0x4000_0000, 1027)]);
}

#[test]
fn fragments_are_used_when_nothing_else_is_left() {
    let mut frames = allocator(&[(0x4000_0000, 4 * M2)]);
    let parts: Vec<_> = (0..4).map(|_| take(&mut frames, A, 1)).collect();
    for (i, part) in parts.into_iter().enumerate() {
        if i % 2 == 0 {
            frames.free(part).expect("free");
        }
    }
    assert_eq!(runs(&take(&mut frames, B, 2)), [(0x4000_0000, 1), (0x4000_0000 + 2 * M2, 1)]);
    assert_eq!(
        frames.allocate(B, 1).expect_err("none left").to_string(),
        "frames: 2 MiB asked for, 0 MiB free"
    );
    assert_eq!(frames.allocate(B, 0).err(), Some(Error::Nothing));
    assert_eq!((frames.owned_by(A), frames.owned_by(B)), (2, 2));
}

#[test]
fn too_much_is_refused_and_takes_nothing() {
    let mut frames = allocator(&[(0x4000_0000, 4 * M2)]);
    assert_eq!(frames.allocate(A, 5).err(), Some(Error::Exhausted { wanted: 5, available: 4 }));
    assert!(frames.allocate(A, u64::MAX).expect_err("too many").to_string().contains("8 MiB free"));
    assert_eq!(frames.available(), 4);
}

#[test]
fn double_and_foreign_frees_are_errors() {
    let mut frames = allocator(&[(0x4000_0000, 4 * M2)]);
    let mine = take(&mut frames, A, 2);
    let runs = mine.runs().to_vec();
    let error = |r: Result<(), Error>| r.expect_err("refused").to_string();
    assert_eq!(error(frames.release(B, &runs)), "frames: VM 2 frees 0x40000000, which is VM 1's");
    frames.free(mine).expect("free");
    assert_eq!(error(frames.release(A, &runs)), "frames: VM 1 frees 0x40000000, which is free");
    for pa in [0x3fe0_0000, 0x4080_0000, 0x4000_1000, 0] {
        let runs = [Run { pa: Pa::new(pa), frames: 1 }];
        assert_eq!(frames.release(A, &runs), Err(Error::NoFrame(Pa::new(pa))));
    }
    // One frame too many: not even the first is taken back.
    let mine = take(&mut frames, A, 2);
    let runs = [Run { frames: 3, ..mine.runs()[0] }];
    assert!(frames.release(A, &runs).is_err());
    assert_eq!(frames.owned_by(A), 2);
    // The same frame twice counts once.
    let twice = [mine.runs()[0], mine.runs()[0]];
    frames.release(A, &twice).expect("free");
    assert_eq!(frames.available(), 4);
    drop(mine);
}

#[test]
fn frames_are_clean_only_when_every_byte_was_zeroed() {
    let mut allocator = allocator(&[(0x4000_0000, 2 * M2), (0x8000_0000, M2)]);
    let mut frames = take(&mut allocator, A, 3);
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
    assert_eq!((clean.vm(), clean.bytes()), (A, 3 * M2));
    let mut dirty = clean.soil();
    assert!(!dirty.zero_step(1, |_, _| 1), "after a reset all is to do again");
    // A liar gains nothing: no more counts than the piece.
    assert!(!dirty.zero_step(1, |_, _| u64::MAX));
    allocator.free(dirty).expect("free");
    assert_eq!(allocator.available(), 3);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 60 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_frame_has_two_owners(ops in prop::collection::vec((0u16..4, 1u64..600, any::<bool>()), 1..30)) {
        let mut frames = allocator(&[(0x4240_0000, 2 * GIB + 30 * M2), (0x2_0000_0000, GIB + 5 * M2)]);
        let total = frames.available();
        let mut held: Vec<Frames<Dirty>> = Vec::new();
        for (vm, count, free) in ops {
            if free && !held.is_empty() {
                let index = count as usize % held.len();
                frames.free(held.swap_remove(index)).expect("it was ours");
            } else {
                match frames.allocate(VmId(vm), count) {
                    Ok(got) => {
                        prop_assert_eq!(got.bytes(), count * M2);
                        held.push(got);
                    }
                    Err(Error::Exhausted { wanted, available }) => {
                        prop_assert!(wanted > available && available == frames.available());
                    }
                    Err(other) => prop_assert!(false, "{}", other),
                }
            }
            let mut owners = BTreeMap::new();
            for part in &held {
                for run in part.runs() {
                    for i in 0..run.frames {
                        let pa = run.pa.get() + i * M2;
                        prop_assert_eq!(pa % M2, 0);
                        prop_assert!(owners.insert(pa, part.vm()).is_none(), "{:#x} twice", pa);
                    }
                }
            }
            prop_assert_eq!(frames.available() + owners.len() as u64, total);
            for vm in 0..4 {
                let count = owners.values().filter(|owner| owner.0 == vm).count() as u64;
                prop_assert_eq!(frames.owned_by(VmId(vm)), count);
            }
        }
    }
}
