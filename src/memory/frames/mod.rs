//! The machine's RAM for VMs, in frames of 2 MiB.
//!
//! The books are kept in EL2's heap, never in the frames: a free frame holds whatever was there
//! before, and EL2 does not even map it. What a VM left must not be seen by the next life of it,
//! so frames have two states, told apart by their type:
//!
//! ```text
//!   FrameAllocator ──allocate──▶ Frames<Dirty> ──zero_step… clean──▶ Frames<Clean> ─▶ stage 2
//!         ▲                          ▲                               │
//!         └──release (off)───────────┴─────────soil (reset)──────────┘
//! ```
//!
//! [`Frames<Clean>`](Frames) comes from nowhere else than from zeroing every byte. Neither type
//! can be copied: whoever holds it holds the memory, and it is nobody else's.

use alloc::collections::BinaryHeap;
use alloc::vec::Vec;
use core::marker::PhantomData;

use arrayvec::ArrayVec;
use thiserror::Error;

use super::{BLOCK_SIZE, GIB, Pa, align_up};

/// Frames in a gigabyte.
const GIB_FRAMES: u64 = GIB / BLOCK_SIZE;
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

    /// The first whole gigabyte in it, and what lies before the first and behind the last; or all of
    /// it, if there is none.
    fn pieces(self) -> [Self; 3] {
        let gib = align_up(self.pa.get(), GIB).filter(|gib| self.end().saturating_sub(*gib) >= GIB);
        let Some(gib) = gib else { return [self; 3] };
        let part = |start: u64, end: u64| Self {
            pa: Pa::new(start),
            frames: end.saturating_sub(start) / BLOCK_SIZE,
        };
        let last = self.end() & !(GIB - 1);
        [part(gib, gib.wrapping_add(GIB)), part(self.pa.get(), gib), part(last, self.end())]
    }
}

/// State of frames: they hold what somebody left there.
#[derive(Debug)]
pub enum Dirty {}

/// State of frames: every byte was zeroed since they were allocated.
#[derive(Debug)]
pub enum Clean {}

/// All frames that one call of [`FrameAllocator::allocate`] gave to a VM.
#[derive(Debug)]
#[must_use = "frames that are dropped are lost until the machine restarts"]
pub struct Frames<State> {
    runs: ArrayVec<Run, MAX_RUNS>,
    /// Bytes zeroed so far, counted through the runs.
    zeroed: u64,
    state: PhantomData<State>,
}

impl<State> Frames<State> {
    /// Where they are, runs of whole gigabytes first: mapped in this order from an IPA that is a
    /// multiple of 1 GiB, they become 1 GiB blocks.
    pub fn runs(&self) -> &[Run] {
        &self.runs
    }

    /// Length in bytes of all of them.
    pub fn bytes(&self) -> u64 {
        self.runs.iter().map(|run| run.bytes()).sum()
    }

    fn into_state<Other>(self) -> Frames<Other> {
        Frames { runs: self.runs, zeroed: 0, state: PhantomData }
    }
}

impl Frames<Dirty> {
    /// Zeroes the next piece, of at most `slice` bytes and within one frame.
    ///
    /// `zero` gets its address and length and returns how much of it, from its start, is zero
    /// now. Returns whether all is done.
    pub fn zero_step(&mut self, slice: u64, zero: impl FnOnce(Pa, u64) -> u64) -> bool {
        let mut before = self.zeroed;
        for run in &self.runs {
            if let Some(left) = run.bytes().checked_sub(before).filter(|left| *left > 0) {
                let pa = run.pa.wrapping_add(before);
                let len = left.min(slice).min(BLOCK_SIZE - pa.offset_in(BLOCK_SIZE));
                self.zeroed = self.zeroed.saturating_add(zero(pa, len).min(len));
                break;
            }
            before = before.saturating_sub(run.bytes());
        }
        self.zeroed >= self.bytes()
    }

    /// The frames as clean ones, if every byte has been zeroed; otherwise themselves.
    #[expect(
        clippy::result_large_err,
        reason = "nothing is allocated for it, and it is seldom asked"
    )]
    pub fn clean(self) -> Result<Frames<Clean>, Self> {
        if self.zeroed >= self.bytes() { Ok(self.into_state()) } else { Err(self) }
    }
}

impl Frames<Clean> {
    /// The frames as dirty ones: the VM has used them and starts anew.
    pub fn soil(self) -> Frames<Dirty> {
        self.into_state()
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
    pub fn release(&mut self, frames: Frames<Dirty>) {
        frames.runs.iter().for_each(|run| self.add(*run));
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

    /// Gives out `count` frames, all or none.
    ///
    /// Whole gigabytes first, so that stage 2 can use 1 GiB blocks; the rest from the smallest
    /// piece beside these that holds all of it, breaking a free gigabyte only if there is no other;
    /// and from several pieces, the largest first, if it must be. A search through the books: not
    /// for the exit path.
    pub fn allocate(&mut self, count: u64) -> Result<Frames<Dirty>, Error> {
        let available = self.available();
        if count > available {
            return Err(Error::Exhausted(count, available));
        }
        let mut frames = Frames { runs: ArrayVec::new(), zeroed: 0, state: PhantomData };
        let mut left = count;
        while left > 0 {
            let pieces = self.holes.iter().flat_map(|hole| hole.pieces());
            // Among equals the lowest address. There is a piece as long as anything is free.
            let best = pieces.min_by_key(|piece| match piece.frames {
                GIB_FRAMES if piece.pa.is_aligned(GIB) && left >= GIB_FRAMES => (0, 0),
                GIB_FRAMES if piece.pa.is_aligned(GIB) => (2, 0),
                frames if frames >= left => (1, frames),
                frames => (3, u64::MAX - frames),
            });
            let Some(best) = best else { break };
            let run = Run { pa: best.pa, frames: best.frames.min(left) };
            if let Some(last) = frames.runs.last_mut()
                && last.end() == run.pa.get()
            {
                last.frames = last.frames.saturating_add(run.frames);
            } else if frames.runs.try_push(run).is_err() {
                self.release(frames);
                return Err(Error::Scattered(available));
            }
            self.remove(run);
            left -= run.frames;
        }
        Ok(frames)
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
