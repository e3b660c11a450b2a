//! A VM's job: the preparation of its memory (zero it, load its images and its tree), and the
//! cleaning of its caches. Both are done in slices, so that no pCPU is at EL2 for long, and
//! charged to the VM by the run queue.

use log::error;

use super::Vm;
use crate::el2::cache;
use crate::memory::frames::{Clean, Dirty, Frames};
use crate::memory::guest::{self, SLICE};

/// Where the job is, and whose the frames are meanwhile: only frames that are all zero can be
/// loaded, and only those are ever mapped for a guest.
pub enum Preparation {
    /// Being zeroed.
    Zero(Frames<Dirty>),
    /// Zero; part `part` of the images is there up to byte `done`.
    Load {
        /// The VM's frames.
        frames: Frames<Clean>,
        /// Index among the plan's kernel segments, then initrd, then tree.
        part: usize,
        /// Bytes done.
        done: usize,
    },
    /// All is there: nothing to do.
    Done(Frames<Clean>),
    /// Between two steps.
    Moving,
}

impl Preparation {
    /// For frames as the allocator gives them.
    pub fn new(frames: Frames<Dirty>) -> Self {
        Self::Zero(frames)
    }

    /// All over again: the VM has used its memory.
    pub fn again(&mut self) {
        *self = match core::mem::replace(self, Self::Moving) {
            Self::Load { frames, .. } | Self::Done(frames) => Self::Zero(frames.soil()),
            other => other,
        };
    }
}

impl Vm {
    /// Does one slice of the VM's job: its preparation, or the cleaning of its caches. False when
    /// there is nothing to do.
    ///
    /// Only one pCPU at a time runs the job, by the run queue's invariant: nobody waits for these
    /// locks for long.
    ///
    /// Not inlined: what a slice needs has no place in the run loop's registers.
    #[inline(never)]
    pub fn job_slice(&'static self) -> bool {
        let mut preparation = self.preparation.lock();
        *preparation = match core::mem::replace(&mut *preparation, Preparation::Moving) {
            Preparation::Zero(frames) => self.zero_slice(frames),
            Preparation::Load { frames, part, done } => self.load_slice(frames, part, done),
            other => {
                *preparation = other;
                drop(preparation);
                return self.clean_slice();
            }
        };
        let done = matches!(*preparation, Preparation::Done(_));
        drop(preparation);
        if done {
            self.forget_translations();
            self.prepared();
        }
        true
    }

    fn zero_slice(&self, mut frames: Frames<Dirty>) -> Preparation {
        if !frames.zero_step(SLICE, guest::zero) {
            return Preparation::Zero(frames);
        }
        match frames.clean() {
            Ok(frames) => {
                if let Err(error) = self.map_ram(&frames) {
                    error!("{}: {error}", self.name);
                }
                Preparation::Load { frames, part: 0, done: 0 }
            }
            Err(frames) => Preparation::Zero(frames),
        }
    }

    fn load_slice(&self, frames: Frames<Clean>, part: usize, done: usize) -> Preparation {
        let Some((ipa, bytes)) = self.part(part) else {
            return Preparation::Done(frames);
        };
        let rest = bytes.get(done..).unwrap_or(&[]);
        let step = self.ram.write(ipa.wrapping_add(done as u64), rest).unwrap_or(rest.len() as u64);
        let done = done.wrapping_add(step as usize);
        let (part, done) =
            if done >= bytes.len() { (part.wrapping_add(1), 0) } else { (part, done) };
        Preparation::Load { frames, part, done }
    }

    /// The `part`th thing to load: a segment of the kernel, the initrd, the tree.
    fn part(&self, part: usize) -> Option<(crate::memory::Ipa, &[u8])> {
        let kernel = self.plan.kernel.iter();
        let segments = kernel.chain(self.plan.initrd.as_ref()).map(|one| (one.ipa, one.bytes));
        segments.chain([(self.plan.tree, self.tree.as_slice())]).nth(part)
    }

    /// Drops what TLBs and instruction caches hold of the VM's former life: its memory is another.
    fn forget_translations(&self) {
        cache::with_vttbr(self.vttbr, || {
            cache::tlbi_vmalls12e1is();
            cache::ic_ialluis();
            cache::dsb_ish();
            cache::isb();
        });
    }
}
