//! The machine's RAM for VMs, in frames of 2 MiB.
//!
//! The books are kept in EL2's heap, never in the frames: a free frame holds whatever was there
//! before, and EL2 does not even map it. A VM has its [`Frames`] from its start until it is off, and
//! what somebody left in them must not be seen by it. So each is zeroed before it is mapped, slice by
//! slice, and that is told by types:
//!
//! ```text
//!   FrameAllocator ──allocate──▶ Frames ──claim──▶ Claim ──zero──▶ Zeroed ──finish──▶ Clean ─▶ stage 2
//!         ▲                        │ ▲                                │
//!         └────release (off)───────┘ └── another slice is missing ────┘
//! ```
//!
//! [`Clean`] comes from nowhere else than from zeroing every slice of a frame, and at most once until
//! the frames are soiled again. None of the four can be copied.

mod slices;

use alloc::boxed::Box;
use alloc::collections::BinaryHeap;
use alloc::vec;
use alloc::vec::Vec;

use arrayvec::ArrayVec;
use thiserror::Error;

use super::{BLOCK_SIZE, Pa, align_up};

use slices::Slices;
pub use slices::{Claim, Clean, SLICE, Zeroed};

/// The most runs that a VM's frames come in.
const MAX_RUNS: usize = 32;

/// Frames next to each other.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Run {
    /// The first byte, a multiple of 2 MiB.
    pub pa: Pa,
    /// How many frames.
    pub frames: u64,
}

impl Run {
    /// Length in bytes.
    pub const fn bytes(self) -> u64 {
        self.frames.wrapping_mul(BLOCK_SIZE)
    }

    /// The address behind it.
    const fn end(self) -> u64 {
        self.pa.get().wrapping_add(self.bytes())
    }
}

/// The frames of a VM, and what of them is zero. Its room is for a number of frames, all or none of
/// which it has: so a VM that starts later can't meet a full heap.
#[derive(Debug)]
pub struct Frames {
    runs: ArrayVec<Run, MAX_RUNS>,
    /// Of each frame, in the order of the runs.
    slices: Box<[Slices]>,
}

impl Frames {
    /// Room for `count` frames.
    pub fn new(count: u64) -> Self {
        let slices = vec![Slices::default(); count as usize];
        Self { runs: ArrayVec::new(), slices: slices.into() }
    }

    /// Where they are; nothing, while it has none.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Where the frame of number `index` is.
    fn pa(&self, index: u64) -> Option<Pa> {
        let mut before = index;
        for run in &self.runs {
            if before < run.frames {
                return Some(run.pa.wrapping_add(before.wrapping_mul(BLOCK_SIZE)));
            }
            before -= run.frames;
        }
        None
    }
}

/// Why there are no frames.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Error {
    /// Too few: how many were asked for, and how many are free.
    #[error("frames: {} MiB asked for, {} MiB free", mib(.0), mib(.1))]
    Exhausted(u64, u64),
    /// As many as this are free, in too many places.
    #[error("frames: {} MiB free, in pieces of which {MAX_RUNS} are too small", mib(.0))]
    Scattered(u64),
}

fn mib(frames: &u64) -> u64 {
    frames.saturating_mul(BLOCK_SIZE >> 20)
}

/// All RAM that is for VMs and has not been given to one.
///
/// What boot has reserved is all the room that its books have, so that a VM that starts later can't
/// meet a full heap.
#[derive(Debug)]
pub struct FrameAllocator {
    /// Free frames by address; no two touch.
    holes: Vec<Run>,
}

impl FrameAllocator {
    /// Takes the RAM of `ranges` (address and length in bytes) that no one else uses. What does
    /// not fill a frame at either end is left out, and so is what two ranges have in common.
    pub fn new(ranges: impl IntoIterator<Item = (Pa, u64)>) -> Self {
        let runs = ranges.into_iter().filter_map(|(pa, len)| {
            let end = pa.get().saturating_add(len) & !(BLOCK_SIZE - 1);
            let pa = align_up(pa.get(), BLOCK_SIZE)?;
            Some(Run { pa: Pa::new(pa), frames: end.saturating_sub(pa) / BLOCK_SIZE })
        });
        let mut frames = Self { holes: runs.collect() };
        frames.join();
        frames
    }

    /// Reserves room for the frames of one more VM: between as many runs there are as many holes
    /// more, and when they come back they are holes themselves for a moment. For boot.
    pub fn make_room(&mut self) {
        self.holes.reserve_exact(self.holes.capacity() - self.holes.len() + 2 * MAX_RUNS);
    }

    /// Takes frames back.
    pub fn release(&mut self, frames: &mut Frames) {
        frames.runs.drain(..).for_each(|run| self.add(run));
        self.join();
    }

    fn add(&mut self, hole: Run) {
        let has_room = self.holes.len() < self.holes.capacity();
        debug_assert!(has_room, "frames of a VM for which no room was made");
        if has_room {
            self.holes.push(hole);
        }
    }

    /// Orders the holes, and makes one of those that touch or overlap.
    fn join(&mut self) {
        self.holes.retain(|hole| hole.frames > 0);
        // A heap sort, the one of the library's that neither allocates nor can panic.
        self.holes = BinaryHeap::from(core::mem::take(&mut self.holes)).into_sorted_vec();
        self.holes.dedup_by(|next, last| {
            let joined = next.pa.get() <= last.end();
            if joined {
                let end = last.end().max(next.end());
                last.frames = end.saturating_sub(last.pa.get()) / BLOCK_SIZE;
            }
            joined
        });
    }

    /// Frames that are free.
    pub fn available(&self) -> u64 {
        self.holes.iter().map(|hole| hole.frames).sum()
    }

    /// Gives `frames`, which has none, as many as it has room for.
    ///
    /// From the smallest hole that holds all of them, or from several, the largest first. A search
    /// through the books: not for the exit path.
    pub fn allocate(&mut self, frames: &mut Frames) -> Result<(), Error> {
        let (available, count) = (self.available(), frames.slices.len() as u64);
        if count > available {
            return Err(Error::Exhausted(count, available));
        }
        frames.soil();
        let mut left = count;
        while left > 0 {
            // Among equals the lowest address. There is a hole as long as anything is free.
            let best = self.holes.iter().min_by_key(|hole| match hole.frames {
                frames if frames >= left => (0, frames),
                frames => (1, u64::MAX - frames),
            });
            let Some(best) = best else { break };
            let run = Run { pa: best.pa, frames: best.frames.min(left) };
            if frames.runs.try_push(run).is_err() {
                self.release(frames);
                return Err(Error::Scattered(available));
            }
            self.remove(run);
            left -= run.frames;
        }
        Ok(())
    }

    /// Takes `run` out of the hole that it lies in.
    fn remove(&mut self, run: Run) {
        let around =
            self.holes.iter_mut().find(|hole| hole.pa <= run.pa && run.end() <= hole.end());
        let Some(hole) = around else { return };
        let rest = Run { pa: Pa::new(run.end()), frames: (hole.end() - run.end()) / BLOCK_SIZE };
        hole.frames = (run.pa.get() - hole.pa.get()) / BLOCK_SIZE;
        self.add(rest);
        self.join();
    }
}

#[cfg(test)]
mod tests;
