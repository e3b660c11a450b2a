//! The machine's RAM for VMs, in frames of 2 MiB, and who owns which.
//!
//! The books are kept in EL2's heap, never in the frames: a free frame holds whatever its last
//! owner left, and EL2 does not even map it. What a VM left must not be seen by the next one, so
//! frames have two states, told apart by their type:
//!
//! ```text
//!   FrameAllocator ──allocate──▶ Frames<Dirty> ──zero_step… clean──▶ Frames<Clean> ─▶ stage 2
//!         ▲                          │   ▲                               │   │
//!         └──────────free────────────┘   └─────────soil (reset)──────────┘   │
//!         └────────────────────────────free──────────────────────────────────┘
//! ```
//!
//! [`Frames<Clean>`](Frames) comes from nowhere else than from zeroing every byte. Neither type
//! can be copied: whoever holds it holds the memory.

use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;

use super::{BLOCK_SIZE, GIB, Pa, align_up};

/// Frames in a gigabyte.
const GIB_FRAMES: usize = (GIB / BLOCK_SIZE) as usize;

/// The number of a VM.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct VmId(pub u16);

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
    vm: VmId,
    runs: Vec<Run>,
    /// Bytes zeroed so far, counted through the runs.
    zeroed: u64,
    state: PhantomData<State>,
}

impl<State> Frames<State> {
    /// The owner.
    pub fn vm(&self) -> VmId {
        self.vm
    }

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
        Frames { vm: self.vm, runs: self.runs, zeroed: 0, state: PhantomData }
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

/// Why frames were not given or not taken back.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Error {
    /// Nothing was asked for.
    Nothing,
    /// There are too few.
    Exhausted {
        /// Frames asked for.
        wanted: u64,
        /// Frames that are free.
        available: u64,
    },
    /// This frame isn't the VM's: freed twice, or another's.
    NotOwned {
        /// The frame.
        pa: Pa,
        /// Who wanted to free it.
        vm: VmId,
        /// Whose it is, if it is anybody's.
        owner: Option<VmId>,
    },
    /// This address isn't a frame of the allocator.
    NoFrame(Pa),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Nothing => f.write_str("frames: 0 asked for, want at least 1"),
            Self::Exhausted { wanted, available } => write!(
                f,
                "frames: {} MiB asked for, {} MiB free",
                wanted.saturating_mul(BLOCK_SIZE >> 20),
                available.saturating_mul(BLOCK_SIZE >> 20)
            ),
            Self::NotOwned { pa, vm, owner: Some(owner) } => {
                write!(f, "frames: VM {} frees {pa}, which is VM {}'s", vm.0, owner.0)
            }
            Self::NotOwned { pa, vm, owner: None } => {
                write!(f, "frames: VM {} frees {pa}, which is free", vm.0)
            }
            Self::NoFrame(pa) => write!(f, "frames: {pa} is no frame for VMs"),
        }
    }
}

/// A stretch of RAM, and the owner of each of its frames.
#[derive(Debug)]
struct Region {
    base: Pa,
    owners: Vec<Option<VmId>>,
}

/// A candidate for allocation: free frames of one region, from `first` on.
#[derive(Clone, Copy)]
struct Hole {
    region: usize,
    first: usize,
    frames: usize,
    /// A whole free gigabyte, which is worth keeping whole.
    gigabyte: bool,
}

/// Owner of all RAM that is for VMs.
#[derive(Debug)]
pub struct FrameAllocator {
    regions: Vec<Region>,
    available: u64,
}

impl FrameAllocator {
    /// Takes the RAM of `ranges` (address and length in bytes) that no one else uses. What does
    /// not fill a frame at either end is left out, and so is what two ranges have in common.
    pub fn new(ranges: impl IntoIterator<Item = (Pa, u64)>) -> Self {
        let mut ranges: Vec<_> = ranges
            .into_iter()
            .filter_map(|(pa, len)| {
                let end = pa.get().saturating_add(len) & !(BLOCK_SIZE - 1);
                Some((align_up(pa.get(), BLOCK_SIZE)?, end))
            })
            .collect();
        ranges.sort_unstable();
        let mut regions: Vec<Region> = Vec::new();
        let (mut taken, mut available) = (0, 0);
        for (start, end) in ranges {
            let start = start.max(taken);
            let Some(bytes) = end.checked_sub(start).filter(|bytes| *bytes > 0) else {
                continue;
            };
            let frames = bytes / BLOCK_SIZE;
            available += frames;
            match regions.last_mut() {
                Some(last) if start == taken => {
                    last.owners.resize(last.owners.len() + frames as usize, None);
                }
                _ => regions.push(Region {
                    base: Pa::new(start),
                    owners: alloc::vec![None; frames as usize],
                }),
            }
            taken = end;
        }
        Self { regions, available }
    }

    /// Frames that are free.
    pub fn available(&self) -> u64 {
        self.available
    }

    /// Frames that `vm` owns.
    pub fn owned_by(&self, vm: VmId) -> u64 {
        let owners = self.regions.iter().flat_map(|region| &region.owners);
        owners.filter(|owner| **owner == Some(vm)).count() as u64
    }

    /// Gives `count` frames to `vm`, all or none.
    ///
    /// Whole gigabytes first, so that stage 2 can use 1 GiB blocks; the rest from the smallest
    /// hole that holds all of it, breaking a free gigabyte only if there is no other; and from
    /// several holes, the largest first, if it must be. A search through the books: not for
    /// the exit path.
    pub fn allocate(&mut self, vm: VmId, count: u64) -> Result<Frames<Dirty>, Error> {
        if count == 0 {
            return Err(Error::Nothing);
        }
        if count > self.available {
            return Err(Error::Exhausted { wanted: count, available: self.available });
        }
        let mut runs: Vec<Run> = Vec::new();
        let mut left = count as usize;
        while left > 0 {
            // There is one as long as `available` counts rightly.
            let Some(hole) = self.choose(left) else { break };
            let taken = hole.frames.min(left);
            let run = self.take(hole, taken, vm);
            match runs.last_mut() {
                Some(last) if last.pa.wrapping_add(last.bytes()) == run.pa => {
                    last.frames += run.frames;
                }
                _ => runs.push(run),
            }
            left -= taken;
        }
        Ok(Frames { vm, runs, zeroed: 0, state: PhantomData })
    }

    /// Takes frames back. They have to be the VM's, every one, or none is taken.
    pub fn free<State>(&mut self, frames: Frames<State>) -> Result<(), Error> {
        self.release(frames.vm, &frames.runs)
    }

    fn release(&mut self, vm: VmId, runs: &[Run]) -> Result<(), Error> {
        let frames = || {
            runs.iter().flat_map(|run| {
                (0..run.frames).map(|i| run.pa.wrapping_add(i.wrapping_mul(BLOCK_SIZE)))
            })
        };
        for pa in frames() {
            let owner = *self.owner(pa)?;
            if owner != Some(vm) {
                return Err(Error::NotOwned { pa, vm, owner });
            }
        }
        for pa in frames() {
            // Looked up again each time: a frame listed twice in `runs` is counted once.
            let owner = self.owner(pa)?;
            if owner.take().is_some() {
                self.available += 1;
            }
        }
        Ok(())
    }

    /// The books' line for the frame at `pa`.
    fn owner(&mut self, pa: Pa) -> Result<&mut Option<VmId>, Error> {
        if pa.is_aligned(BLOCK_SIZE) {
            for region in &mut self.regions {
                if let Some(offset) = pa.get().checked_sub(region.base.get())
                    && let Some(owner) = region.owners.get_mut((offset / BLOCK_SIZE) as usize)
                {
                    return Ok(owner);
                }
            }
        }
        Err(Error::NoFrame(pa))
    }

    /// The best hole for `left` frames; it may hold fewer.
    fn choose(&self, left: usize) -> Option<Hole> {
        let mut best: Option<((u8, usize), Hole)> = None;
        for hole in self.holes() {
            let key = match hole {
                Hole { gigabyte: true, .. } if left >= GIB_FRAMES => (0, 0),
                Hole { gigabyte: false, frames, .. } if frames >= left => (1, frames),
                Hole { gigabyte: true, .. } => (2, 0),
                Hole { frames, .. } => (3, usize::MAX - frames),
            };
            // Strictly less: among equals the lowest address.
            if best.is_none_or(|(other, _)| key < other) {
                best = Some((key, hole));
            }
        }
        best.map(|(_, hole)| hole)
    }

    /// All holes by address. A free gigabyte, aligned to one, is a hole of its own.
    fn holes(&self) -> impl Iterator<Item = Hole> {
        self.regions.iter().enumerate().flat_map(|(region, books)| {
            let mut first = 0;
            core::iter::from_fn(move || {
                let owners = &books.owners;
                first += owners.iter().skip(first).position(Option::is_none)?;
                let gigabyte = books.is_free_gigabyte(first);
                let mut frames = if gigabyte { GIB_FRAMES } else { 1 };
                while !gigabyte
                    && owners.get(first + frames).is_some_and(Option::is_none)
                    && !books.is_free_gigabyte(first + frames)
                {
                    frames += 1;
                }
                let hole = Hole { region, first, frames, gigabyte };
                first += frames;
                Some(hole)
            })
        })
    }

    fn take(&mut self, hole: Hole, frames: usize, vm: VmId) -> Run {
        let mut run = Run { pa: Pa::new(0), frames: 0 };
        if let Some(region) = self.regions.get_mut(hole.region) {
            run.pa = region.frame(hole.first);
            for owner in region.owners.iter_mut().skip(hole.first).take(frames) {
                *owner = Some(vm);
                run.frames += 1;
            }
        }
        self.available = self.available.saturating_sub(run.frames);
        run
    }
}

impl Region {
    fn frame(&self, index: usize) -> Pa {
        self.base.wrapping_add((index as u64).wrapping_mul(BLOCK_SIZE))
    }

    /// Whether a free gigabyte, aligned to one, begins at frame `first`.
    fn is_free_gigabyte(&self, first: usize) -> bool {
        self.frame(first).is_aligned(GIB)
            && self
                .owners
                .get(first..first.saturating_add(GIB_FRAMES))
                .is_some_and(|gigabyte| gigabyte.iter().all(Option::is_none))
    }
}

#[cfg(test)]
mod tests;
