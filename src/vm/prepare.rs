//! The preparation of a VM's memory: zero it, load its images and its tree. A job of slices, so
//! that no pCPU is at EL2 for long, charged to the VM by the run queue.

use super::Vm;
use crate::el2::cache;
use crate::memory::guest::SLICE;

/// Where the job is.
#[derive(Clone, Copy, Debug)]
pub enum Progress {
    /// So many bytes of RAM are zero.
    Zero(u64),
    /// Part `part` of the images: its bytes up to here are there.
    Load {
        /// Index among the plan's kernel segments, then initrd, then tree.
        part: usize,
        /// Bytes done.
        done: usize,
    },
}

impl Progress {
    /// Nothing is done.
    pub const fn new() -> Self {
        Self::Zero(0)
    }
}

impl Default for Progress {
    fn default() -> Self {
        Self::new()
    }
}

impl Vm {
    /// Does one slice of the preparation; true when it is all done and the VM runs.
    pub fn prepare_slice(&'static self) -> bool {
        // Only one pCPU at a time runs the job: the run queue's invariant.
        let progress = *self.progress.lock();
        let next = match progress {
            Progress::Zero(done) => self.zero_slice(done),
            Progress::Load { part, done } => self.load_slice(part, done),
        };
        match next {
            Some(next) => {
                *self.progress.lock() = next;
                false
            }
            None => {
                self.forget_translations();
                self.prepared();
                true
            }
        }
    }

    fn zero_slice(&self, done: u64) -> Option<Progress> {
        let rest = self.ram.length().saturating_sub(done);
        if rest == 0 {
            return Some(Progress::Load { part: 0, done: 0 });
        }
        let step = self.ram.zero(self.ram.base().wrapping_add(done), rest.min(SLICE));
        // A failure can't be: the RAM is the VM's own. It ends the job rather than the machine.
        step.map(|bytes| Progress::Zero(done.wrapping_add(bytes)))
    }

    fn load_slice(&self, part: usize, done: usize) -> Option<Progress> {
        let kernel = self.plan.kernel.get(part).map(|segment| (segment.ipa, segment.bytes));
        let initrd = || self.plan.initrd.map(|segment| (segment.ipa, segment.bytes));
        let tree = Some((self.plan.tree, self.tree.as_slice()));
        let others = [initrd(), tree];
        let behind = part.wrapping_sub(self.plan.kernel.len());
        let (ipa, bytes) = match kernel {
            Some(segment) => segment,
            None => match others.get(behind)? {
                Some(segment) => *segment,
                None => return Some(Progress::Load { part: part.wrapping_add(1), done: 0 }),
            },
        };
        let rest = bytes.get(done..).unwrap_or(&[]);
        if rest.is_empty() {
            return Some(Progress::Load { part: part.wrapping_add(1), done: 0 });
        }
        let step = self.ram.write(ipa.wrapping_add(done as u64), rest)?;
        Some(Progress::Load { part, done: done.wrapping_add(step as usize) })
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
