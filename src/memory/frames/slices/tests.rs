use std::collections::BTreeSet;
use std::vec::Vec;

use super::super::FrameAllocator;
use super::*;

const PCPUS: usize = 3;

/// What the books say of the one frame, and at which slice each pCPU is.
type State = ((u8, u8), [Option<u8>; PCPUS]);

/// Every order in which three pCPUs can claim and finish the slices of a frame, one after the other
/// as under the lock, some of them in vain; and the VM's reset at every moment at which it may come.
#[test]
#[cfg_attr(miri, ignore = "thousands of states, and no unsafe code in them")]
fn in_every_order_each_slice_is_zeroed_once_before_the_frame_is_seen() {
    let mut frames = Frames::new(1);
    let mut free = FrameAllocator::new([(Pa::new(BLOCK_SIZE), BLOCK_SIZE)]);
    free.make_room();
    free.allocate(&mut frames).expect("one frame");
    let mut seen: BTreeSet<State> = BTreeSet::new();
    let mut queue = Vec::from([((0, 0), [None; PCPUS])]);
    let mut whole = 0;
    while let Some(state) = queue.pop() {
        if !seen.insert(state) {
            continue;
        }
        let (before @ (claimed, done), at) = state;
        let at_work = at.iter().flatten().fold(0, |bits, bit| bits | bit);
        assert_eq!((claimed, done & at_work), (done | at_work, 0), "{state:?}");
        if at_work == 0 {
            frames.slices[0] = Slices { claimed, done };
            frames.soil();
            queue.push(((0, 0), at));
            assert_eq!(frames.slices[0], Slices::default());
        }
        for (pcpu, good) in (0..PCPUS).flat_map(|pcpu| [(pcpu, true), (pcpu, false)]) {
            frames.slices[0] = Slices { claimed, done };
            let mut after = at;
            match at[pcpu] {
                None => {
                    let claim = frames.claim(0);
                    assert_eq!(claim.is_some(), claimed != u8::MAX, "passed over in {state:?}");
                    after[pcpu] = claim.map(|claim| claim.bit);
                    assert!(after[pcpu].is_none_or(|bit| at_work & bit == 0), "two at one slice");
                }
                Some(bit) => {
                    after[pcpu] = None;
                    let claim = Claim { frame: 0, bit, pa: Pa::new(BLOCK_SIZE) };
                    let clean = frames.finish(claim.zero(|_, length| u64::from(good) * length));
                    assert_eq!(clean.is_some(), good && done | bit == u8::MAX, "{state:?}");
                    whole += u32::from(clean.is_some());
                }
            }
            let Slices { claimed, done } = frames.slices[0];
            assert!(before.1 & !done == 0, "what is zero stays so");
            queue.push(((claimed, done), after));
        }
    }
    assert!(whole >= 24 && seen.len() > 1000, "{whole} ends, {} states", seen.len());
}
