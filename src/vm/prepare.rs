//! A VM's job: the preparation of its memory (its images and its tree, and of its frames those that
//! these lie in), and the cleaning of its caches. Both are done in slices, so that no pCPU is at EL2
//! for long, and charged to the VM by the run queue.

use core::ops::Range;

use super::Vm;
use crate::el2::cache;
use crate::memory::{BLOCK_SIZE, Ipa, guest};

/// Where the job is.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub enum Preparation {
    /// There is nothing to prepare.
    #[default]
    Nothing,
    /// The VM is to get memory.
    Take,
    /// Part `part` of what is loaded is there up to byte `done`.
    Load {
        /// Index among [`Vm::part`]s.
        part: usize,
        /// Bytes done.
        done: u64,
    },
}

impl Vm {
    /// Does one slice of the VM's job: its preparation, or the cleaning of its caches. False when
    /// there is nothing to do.
    ///
    /// Only one pCPU at a time runs the job, by the run queue's invariant: nobody waits for this
    /// lock for long.
    ///
    /// Not inlined: what a slice needs has no place in the run loop's registers.
    #[inline(never)]
    pub fn job_slice(&'static self) -> bool {
        let mut preparation = self.preparation.lock();
        let refused = match *preparation {
            Preparation::Nothing => {
                drop(preparation);
                return self.clean_slice();
            }
            Preparation::Take => {
                let taken = self.take_memory();
                *preparation = match taken {
                    Ok(()) => Preparation::Load { part: 0, done: 0 },
                    Err(_) => Preparation::Nothing,
                };
                taken.err()
            }
            Preparation::Load { part, done } => {
                *preparation = self.load_slice(part, done);
                None
            }
        };
        let done = *preparation == Preparation::Nothing;
        drop(preparation);
        if let Some(why) = refused {
            self.unprepared(&why);
        } else if done {
            self.fill_in_seeds();
            self.forget_translations();
            self.prepared();
        }
        true
    }

    fn load_slice(&self, part: usize, done: u64) -> Preparation {
        let Some((ipa, bytes, size)) = self.part(part) else { return Preparation::Nothing };
        let at = ipa.wrapping_add(done);
        let step = match (self.pa(at), bytes.get(done as usize..)) {
            // Nothing but zeros: not yet.
            _ if size == 0 => 0,
            (Some(pa), Some(rest)) if !rest.is_empty() => guest::write(pa, rest),
            // Frame by frame.
            (Some(_), _) => BLOCK_SIZE - done % BLOCK_SIZE,
            // A slice of its frame is zero now.
            (None, _) if self.touch(at) => 0,
            (None, _) => size,
        };
        let done = done.saturating_add(step);
        if done < size {
            return Preparation::Load { part, done };
        }
        Preparation::Load { part: part.wrapping_add(1), done: 0 }
    }

    /// The `part`th thing to load, with the size of the memory that must be there for it: segments of
    /// the kernel and regions, the initrd, the tree. A VM that may not wait for memory when it runs
    /// has all of it before.
    fn part(&self, part: usize) -> Option<(Ipa, &[u8], u64)> {
        let memory = self.plan.memory.iter().filter(|_| self.config.dedicated);
        let memory = memory.map(|(ipa, bytes, _)| (*ipa, &[][..], *bytes));
        let segments = self.plan.loads.iter().chain(self.plan.initrd.as_ref());
        let segments = segments.map(|one| (one.ipa, one.bytes));
        let loads = segments.chain([(self.plan.tree, self.tree.as_slice())]);
        memory.chain(loads.map(|(ipa, bytes)| (ipa, bytes, bytes.len() as u64))).nth(part)
    }

    /// Writes seeds into the guest's tree, others at each start.
    fn fill_in_seeds(&self) {
        let Some(random) = &self.random else { return };
        for Range { mut start, end } in self.seeds.iter().cloned() {
            while start < end {
                let mut seed = [0; 32];
                random.lock().fill(&mut seed);
                let seed = seed.get(..end.wrapping_sub(start)).unwrap_or(&seed);
                let Some(pa) = self.pa(self.plan.tree.wrapping_add(start as u64)) else { return };
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
