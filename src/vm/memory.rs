//! A VM's memory: frames that it takes from the machine's when it starts and gives back when it is
//! off, and the stage-2 tables that let its vCPUs see them, each from its first touch on.

use log::{debug, error};
use spin::Once;

use super::Vm;
use super::image::Piece;
use crate::device::STOLEN_TIME_BASE;
use crate::el2::lock::{Lock, rank};
use crate::memory::frames::{self, FrameAllocator, Frames, Zeroed};
use crate::memory::stage2::Stage2;
use crate::memory::tables::Tables;
use crate::memory::{BLOCK_SIZE, Ipa, PAGE_SIZE, Pa, guest};

/// The machine's memory that no VM has.
static FREE: Once<Lock<FrameAllocator, { rank::FRAMES }>> = Once::new();

/// Sets aside the machine's memory for VMs.
pub fn set_aside(frames: FrameAllocator) {
    FREE.call_once(|| Lock::new(frames));
}

/// One more VM will take some of it.
pub(super) fn make_room() {
    FREE.get().into_iter().for_each(|free| free.lock().make_room());
}

/// What a VM has, and what its vCPUs see of it.
pub struct Memory {
    pub(super) stage2: Stage2<Tables>,
    pub(super) frames: Frames,
}

impl Memory {
    /// Whether it has any: from the VM's start until it is off.
    pub(super) fn has_frames(&self) -> bool {
        !self.frames.runs().is_empty()
    }
}

impl Vm {
    /// Takes from the machine what the VM needs; or, if it has that from its former life, lets its
    /// vCPUs see none of it any more.
    pub(super) fn take_memory(&self) -> Result<(), frames::Error> {
        let mut memory = self.memory.lock();
        if memory.has_frames() {
            self.hide(&mut memory);
            memory.frames.soil();
            return Ok(());
        }
        let free = FREE.get().ok_or(frames::Error::Exhausted(self.config.frames(), 0))?;
        free.lock().allocate(&mut memory.frames)?;
        for run in memory.frames.runs() {
            debug!("{}: {} MiB at {}", self.name, run.bytes() >> 20, run.pa);
        }
        Ok(())
    }

    /// Gives its memory back, now that none of its vCPUs will run.
    pub(super) fn give_back(&self) {
        let Some(free) = FREE.get() else { return };
        let mut memory = self.memory.lock();
        self.hide(&mut memory);
        let mut free = free.lock();
        free.release(&mut memory.frames);
        let now = free.available();
        drop(free);
        drop(memory);
        debug!(
            "{}: its memory is given back, {} MiB are free",
            self.name,
            now * (BLOCK_SIZE >> 20)
        );
    }

    fn hide(&self, memory: &mut Memory) {
        for (ipa, bytes, _) in &self.plan.memory {
            if let Err(error) = memory.stage2.unmap(*ipa, *bytes) {
                error!("{}: {error}", self.name);
            }
        }
    }

    /// Whether the VM has memory at `ipa`: then whoever faulted there is to try again. What no vCPU
    /// has seen yet comes nearer by that: one slice of the frame is zeroed here, on the account of
    /// who touches it, and with the last slice the frame is mapped.
    ///
    /// The lock is held for the books alone, so that a sibling on another pCPU zeroes the next slice
    /// meanwhile. One that finds no slice left comes again and again, until the last one is done: for
    /// no longer than a slice, since nothing keeps a pCPU at EL2 from ending its own. No claim
    /// outlives the VM's life: a vCPU that holds one has not been put away.
    pub fn touch(&self, ipa: Ipa) -> bool {
        let Some(piece) = self.plan.piece(ipa) else { return false };
        let mut memory = self.memory.lock();
        // Those that it can't have are claimed by others, or all is mapped by now.
        let Some(claim) = memory.frames.claim(piece.frame) else { return true };
        drop(memory);
        let zeroed = claim.zero(guest::zero);
        self.touched(&mut self.memory.lock(), &piece, zeroed)
    }

    /// The same for those who look on, and are no vCPU for which the VM's end waits: the lock is held
    /// throughout, so that no frame goes back to the machine meanwhile. False, too, where the VM has
    /// no frames any more.
    pub(super) fn touch_locked(&self, memory: &mut Memory, ipa: Ipa) -> bool {
        let piece = self.plan.piece(ipa).filter(|_| memory.has_frames());
        let Some(piece) = piece else { return false };
        let Some(claim) = memory.frames.claim(piece.frame) else { return true };
        let zeroed = claim.zero(guest::zero);
        self.touched(memory, &piece, zeroed)
    }

    /// The slice is zero: with the last one its frame is mapped.
    #[inline(always)]
    fn touched(&self, memory: &mut Memory, piece: &Piece, zeroed: Zeroed) -> bool {
        let Memory { stage2, frames } = memory;
        let Some(clean) = frames.finish(zeroed) else { return true };
        let mapped = stage2.map(piece.ipa, clean.pa(), piece.bytes, piece.attributes);
        mapped.inspect_err(|error| error!("{}: {error}", self.name)).is_ok()
    }

    /// Whether the VM has memory at `ipa`, that which nobody has touched yet included.
    pub fn has_memory(&self, ipa: Ipa) -> bool {
        ipa.align_down(PAGE_SIZE).get() == STOLEN_TIME_BASE || self.plan.piece(ipa).is_some()
    }

    /// The word of its memory at `ipa`, a multiple of 4, as its vCPUs see it.
    pub fn read_word(&self, ipa: Ipa) -> Option<u32> {
        // The lock, so that it is still there while it is read.
        let memory = self.memory.lock();
        guest::read_word(memory.stage2.translate(ipa)?.pa)
    }

    /// Where `ipa` leads; `None` if no vCPU sees anything there.
    pub(super) fn pa(&self, ipa: Ipa) -> Option<Pa> {
        self.memory.lock().stage2.translate(ipa).map(|found| found.pa)
    }
}
