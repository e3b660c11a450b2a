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

use alloc::collections::{BinaryHeap, TryReserveError};
use alloc::vec::Vec;
use core::marker::PhantomData;

use thiserror::Error;

use super::{BLOCK_SIZE, GIB, Pa, align_up};

/// Frames in a gigabyte.
const GIB_FRAMES: u64 = GIB / BLOCK_SIZE;

/// Frames next to each other.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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
    runs: Vec<Run>,
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
    /// The books of them have no room in EL2's heap.
    #[error("frames: EL2's heap is full")]
    NoHeap,
}

impl From<TryReserveError> for Error {
    fn from(_: TryReserveError) -> Self {
        Self::NoHeap
    }
}

fn mib(frames: &u64) -> u64 {
    frames.saturating_mul(BLOCK_SIZE >> 20)
}

/// All RAM that is for VMs and has not been given to one.
#[derive(Debug)]
pub struct FrameAllocator {
    /// Free frames by address. A whole gigabyte, aligned to one, is a hole of its own.
    holes: Vec<Run>,
    /// What came back and hasn't been joined to the holes yet: that may allocate, and whoever gives
    /// frames back may not. It has room for all that were given.
    returned: Vec<Frames<Dirty>>,
    given: usize,
}

impl FrameAllocator {
    /// Takes the RAM of `ranges` (address and length in bytes) that no one else uses. What does
    /// not fill a frame at either end is left out, and so is what two ranges have in common.
    pub fn new(ranges: impl IntoIterator<Item = (Pa, u64)>) -> Result<Self, Error> {
        let ranges = ranges.into_iter().filter_map(|(pa, len)| {
            let end = pa.get().saturating_add(len) & !(BLOCK_SIZE - 1);
            Some((align_up(pa.get(), BLOCK_SIZE)?, end))
        });
        Ok(Self { holes: holes(ranges.collect())?, returned: Vec::new(), given: 0 })
    }

    /// Takes frames back, without allocating. They join what is free beside them when the next
    /// ones are asked for.
    pub fn release(&mut self, frames: Frames<Dirty>) {
        push(&mut self.returned, frames);
    }

    fn join_returned(&mut self) -> Result<(), Error> {
        let runs = self.returned.iter().flat_map(|frames| &frames.runs);
        let mut ranges = Vec::new();
        ranges.try_reserve_exact(self.holes.len().saturating_add(runs.clone().count()))?;
        for run in self.holes.iter().chain(runs) {
            push(&mut ranges, (run.pa.get(), run.pa.wrapping_add(run.bytes()).get()));
        }
        self.holes = holes(ranges)?;
        self.given = self.given.saturating_sub(self.returned.len());
        self.returned.clear();
        Ok(())
    }

    /// Frames that are free.
    pub fn available(&self) -> u64 {
        let runs = self.returned.iter().flat_map(|frames| &frames.runs);
        self.holes.iter().chain(runs).map(|hole| hole.frames).sum()
    }

    /// Gives out `count` frames, all or none.
    ///
    /// Whole gigabytes first, so that stage 2 can use 1 GiB blocks; the rest from the smallest
    /// hole that holds all of it, breaking a free gigabyte only if there is no other; and from
    /// several holes, the largest first, if it must be. A search through the books: not for
    /// the exit path. It takes none where it fails.
    pub fn allocate(&mut self, count: u64) -> Result<Frames<Dirty>, Error> {
        if !self.returned.is_empty() {
            self.join_returned()?;
        }
        let available = self.available();
        if count > available {
            return Err(Error::Exhausted(count, available));
        }
        let given = self.given.saturating_add(1);
        self.returned.try_reserve(given)?;
        let mut runs: Vec<Run> = Vec::new();
        runs.try_reserve_exact(self.holes.len())?;
        let mut left = count;
        while left > 0 {
            // Among equals the lowest address. There is a hole as long as anything is free.
            let best = self.holes.iter_mut().min_by_key(|hole| {
                let frames = hole.frames;
                match frames == GIB_FRAMES && hole.pa.is_aligned(GIB) {
                    true if left >= GIB_FRAMES => (0, 0),
                    false if frames >= left => (1, frames),
                    true => (2, 0),
                    false => (3, u64::MAX - frames),
                }
            });
            let Some(hole) = best else { break };
            let run = Run { pa: hole.pa, frames: hole.frames.min(left) };
            *hole = Run { pa: hole.pa.wrapping_add(run.bytes()), frames: hole.frames - run.frames };
            self.holes.retain(|hole| hole.frames > 0);
            left -= run.frames;
            match runs.last_mut() {
                Some(last) if last.pa.wrapping_add(last.bytes()) == run.pa => {
                    last.frames += run.frames;
                }
                _ => push(&mut runs, run),
            }
        }
        self.given = given;
        Ok(Frames { runs, zeroed: 0, state: PhantomData })
    }
}

/// Adds `value`, for which the caller has reserved room: so no panic can be reached by a full heap.
fn push<T>(values: &mut Vec<T>, value: T) {
    if values.len() < values.capacity() {
        values.push(value);
    }
}

/// What is free where `ranges` (first address and end, in whole frames) are, by address.
fn holes(ranges: Vec<(u64, u64)>) -> Result<Vec<Run>, Error> {
    // A heap sort, the one of the standard library's that can't panic.
    let mut ranges = BinaryHeap::from(ranges).into_sorted_vec();
    // Ranges that touch or overlap become one, or a gigabyte across their border would not be seen
    // as one.
    ranges.dedup_by(|next, last| {
        let joined = next.0 <= last.1;
        if joined {
            last.1 = last.1.max(next.1);
        }
        joined
    });
    // Each may have its gigabytes, and something before and after.
    let most = ranges.iter().map(|(start, end)| end.saturating_sub(*start) / GIB + 2).sum::<u64>();
    let mut holes = Vec::new();
    holes.try_reserve_exact(most as usize)?;
    for (mut start, end) in ranges {
        while start < end {
            let run = |end: u64| Run { pa: Pa::new(start), frames: (end - start) / BLOCK_SIZE };
            let gib = align_up(start, GIB).filter(|gib| end.saturating_sub(*gib) >= GIB);
            let hole = match gib {
                Some(gib) if gib == start => run(start + GIB),
                Some(gib) => run(gib),
                None => run(end),
            };
            push(&mut holes, hole);
            start += hole.bytes();
        }
    }
    Ok(holes)
}

#[cfg(test)]
mod tests;
