//! Which slices of a VM's frames are zero, and who is at work on one.
//!
//! Several pCPUs may come to one frame at once: each claims a slice of its own. The books are looked
//! at under a lock, and the work is done without it.

use super::Frames;
use crate::memory::{BLOCK_SIZE, Pa};

/// The most that is done between two looks at what else is due: EL2 runs with interrupts masked.
pub const SLICE: u64 = 256 << 10;

/// The slices of one frame, a bit each.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Slices {
    /// Somebody has claimed it, and may be at work on it still.
    claimed: u8,
    /// It is zero.
    done: u8,
}

const _: () = assert!(BLOCK_SIZE / SLICE == u8::BITS as u64);

/// A slice that its holder, and nobody else, is to zero.
#[derive(Debug)]
#[must_use = "a slice that is claimed and dropped is never zeroed"]
pub struct Claim {
    frame: u64,
    bit: u8,
    pa: Pa,
}

/// What became of a claim.
#[derive(Debug)]
#[must_use = "its frame is never whole without it"]
pub struct Zeroed {
    claim: Claim,
    done: bool,
}

/// A frame of which each byte is zero, and which nobody has seen yet: who has it may map it.
#[derive(Debug)]
#[must_use = "a frame that is all zero, and not mapped, never will be"]
pub struct Clean(Pa);

impl Clean {
    /// Where it is.
    pub fn pa(&self) -> Pa {
        self.0
    }
}

impl Claim {
    /// Does it: `zero` gets an address and a length, and returns how many bytes from there on are
    /// zero now.
    pub fn zero(self, zero: impl FnOnce(Pa, u64) -> u64) -> Zeroed {
        let done = zero(self.pa, SLICE) >= SLICE;
        Zeroed { claim: self, done }
    }
}

impl Frames {
    /// The next slice of frame `index` that nobody has claimed. `None` if there is none: others are
    /// at work on what is left, or all of it is done.
    pub fn claim(&mut self, index: u64) -> Option<Claim> {
        let pa = self.pa(index)?;
        let slices = self.slices.get_mut(index as usize)?;
        let slice = slices.claimed.trailing_ones();
        let bit = 1u8.checked_shl(slice)?;
        slices.claimed |= bit;
        let pa = pa.wrapping_add(u64::from(slice).wrapping_mul(SLICE));
        Some(Claim { frame: index, bit, pa })
    }

    /// Takes a claim back. Returns the frame, if this was the last slice of it; one that was not
    /// zeroed can be claimed anew.
    pub fn finish(&mut self, zeroed: Zeroed) -> Option<Clean> {
        let Zeroed { claim: Claim { frame, bit, .. }, done } = zeroed;
        let slices = self.slices.get_mut(frame as usize)?;
        if !done {
            slices.claimed &= !bit;
            return None;
        }
        slices.done |= bit;
        if slices.done == u8::MAX { self.pa(frame).map(Clean) } else { None }
    }

    /// What was zero is no more: the VM has used it and starts anew. Nobody may see any of it, nor be
    /// at work on it.
    pub fn soil(&mut self) {
        debug_assert!(self.slices.iter().all(|slices| slices.claimed == slices.done));
        self.slices.fill(Slices::default());
    }
}

#[cfg(test)]
mod tests;
