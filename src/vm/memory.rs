//! A VM's memory: frames that it takes from the machine's when it starts and gives back when it is
//! off, and the stage-2 tables that let its vCPUs see them.

use log::{debug, error};
use spin::Once;

use super::Vm;
use super::description::VmConfig;
use crate::el2::lock::{Lock, rank};
use crate::memory::frames::{self, Clean, Dirty, FrameAllocator, Frames, Run};
use crate::memory::{BLOCK_SIZE, Ipa, Pa, guest, stage2};

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

/// Takes what a VM needs.
pub(super) fn take(config: &VmConfig<'_>) -> Result<Frames<Dirty>, frames::Error> {
    let frames = match FREE.get() {
        Some(free) => free.lock().allocate(config.frames())?,
        None => return Err(frames::Error::Exhausted(config.frames(), 0)),
    };
    for run in frames.runs() {
        debug!("{}: {} MiB at {}", config.name, run.bytes() >> 20, run.pa);
    }
    Ok(frames)
}

impl Vm {
    /// Lets its vCPUs see its memory, now that all of it is zero.
    pub(super) fn map(&self, frames: &Frames<Clean>) -> Result<(), stage2::Error> {
        let mut stage2 = self.stage2.lock();
        let mut runs = frames.runs().iter();
        let mut run = Run { pa: Pa::new(0), frames: 0 };
        for (ipa, bytes, attributes) in &self.plan.memory {
            let (mut ipa, mut left) = (*ipa, *bytes);
            // As it was before a reset.
            if stage2.translate(ipa).is_some() {
                continue;
            }
            while left > 0 {
                if run.frames == 0 {
                    let Some(next) = runs.next() else { return Ok(()) };
                    run = *next;
                }
                let piece = left.min(run.bytes());
                stage2.map(ipa, run.pa, piece, *attributes)?;
                let used = piece.div_ceil(BLOCK_SIZE);
                run.pa = run.pa.wrapping_add(used.wrapping_mul(BLOCK_SIZE));
                run.frames = run.frames.saturating_sub(used);
                ipa = ipa.wrapping_add(piece);
                left -= piece;
            }
        }
        Ok(())
    }

    /// Gives its memory back, now that none of its vCPUs will run.
    pub(super) fn give_back(&self) {
        let Some(frames) = self.preparation.lock().take() else { return };
        for (ipa, bytes, _) in &self.plan.memory {
            // Whole mappings, so that nothing is split and nothing can fail.
            if let Err(error) = self.stage2.lock().unmap(*ipa, *bytes) {
                error!("{}: {error}", self.name);
            }
        }
        let Some(free) = FREE.get() else { return };
        let mut free = free.lock();
        free.release(frames);
        let now = free.available();
        drop(free);
        debug!(
            "{}: its memory is given back, {} MiB are free",
            self.name,
            now * (BLOCK_SIZE >> 20)
        );
    }

    /// The word of its memory at `ipa`, a multiple of 4, as its vCPUs see it.
    pub fn read_word(&self, ipa: Ipa) -> Option<u32> {
        // The lock, so that it is still there while it is read.
        let stage2 = self.stage2.lock();
        guest::read_word(stage2.translate(ipa)?.pa)
    }

    /// Where `ipa` leads, and how many bytes from there on lie together.
    pub(super) fn pa(&self, ipa: Ipa) -> Option<(Pa, u64)> {
        self.stage2.lock().translate(ipa).map(|found| (found.pa, found.len))
    }
}
