//! A VM's job: the preparation of its memory (zero it, load its images and its tree), and the
//! cleaning of its caches. Both are done in slices, so that no pCPU is at EL2 for long, and
//! charged to the VM by the run queue.

use core::ops::Range;

use log::error;

use super::{Vm, memory};
use crate::el2::cache;
use crate::memory::frames::{Clean, Dirty, Frames};
use crate::memory::guest::{self, SLICE};

/// Where the job is, and whose the frames are meanwhile: only frames that are all zero can be
/// loaded, and only those are ever mapped for a guest.
#[derive(Default)]
pub enum Preparation {
    /// The VM has no memory; or it is between two steps.
    #[default]
    Nothing,
    /// It is to get memory.
    Take,
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
}

impl Preparation {
    /// The frames out of it, as whoever used them left them.
    pub fn take(&mut self) -> Option<Frames<Dirty>> {
        match core::mem::take(self) {
            Self::Nothing | Self::Take => None,
            Self::Zero(frames) => Some(frames),
            Self::Load { frames, .. } | Self::Done(frames) => Some(frames.soil()),
        }
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
        *preparation = match core::mem::take(&mut *preparation) {
            Preparation::Take => match memory::take(&self.config) {
                Ok(frames) => Preparation::Zero(frames),
                Err(why) => {
                    drop(preparation);
                    self.unprepared(&why);
                    return true;
                }
            },
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
            self.fill_in_seeds();
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
                if let Err(error) = self.map(&frames) {
                    error!("{}: {error}", self.name);
                }
                Preparation::Load { frames, part: 0, done: 0 }
            }
            Err(frames) => Preparation::Zero(frames),
        }
    }

    fn load_slice(&self, frames: Frames<Clean>, part: usize, done: usize) -> Preparation {
        let Some((ipa, bytes)) = self.part(part) else { return Preparation::Done(frames) };
        let rest = bytes.get(done..).unwrap_or(&[]);
        let pa = self.pa(ipa.wrapping_add(done as u64));
        let step = pa.map_or(rest.len() as u64, |(pa, _)| guest::write(pa, rest));
        let done = done.wrapping_add(step as usize);
        let (part, done) =
            if done >= bytes.len() { (part.wrapping_add(1), 0) } else { (part, done) };
        Preparation::Load { frames, part, done }
    }

    /// The `part`th thing to load: segments of the kernel and regions, the initrd, the tree.
    fn part(&self, part: usize) -> Option<(crate::memory::Ipa, &[u8])> {
        let segments = self.plan.loads.iter().chain(self.plan.initrd.as_ref());
        let segments = segments.map(|one| (one.ipa, one.bytes));
        segments.chain([(self.plan.tree, self.tree.as_slice())]).nth(part)
    }

    /// Writes seeds into the guest's tree, others at each start.
    fn fill_in_seeds(&self) {
        let Some(random) = &self.random else { return };
        for Range { mut start, end } in self.seeds.iter().cloned() {
            while start < end {
                let mut seed = [0; 32];
                random.lock().fill(&mut seed);
                let seed = seed.get(..end.wrapping_sub(start)).unwrap_or(&seed);
                let Some((pa, _)) = self.pa(self.plan.tree.wrapping_add(start as u64)) else {
                    return;
                };
                start = start.wrapping_add(guest::write(pa, seed).max(1) as usize);
            }
        }
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
