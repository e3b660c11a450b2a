//! The cleaning of a VM's caches, for a guest's set/way maintenance (src/exit/maintenance.rs).

use super::layout::RAM_BASE;
use super::{Vm, schedule};
use crate::memory::{BLOCK_SIZE, guest};

/// Frames that no vCPU has touched, and that are passed over in one slice: as long as it takes to
/// clean one.
const ABSENT: usize = 128;

/// Who waits for the VM's memory to be cleaned to the point of coherency, and how far that is.
#[derive(Default)]
pub struct Cleaning {
    /// Bytes of RAM that are done.
    done: u64,
    /// vCPUs that wait, one bit each.
    waiting: u64,
    /// vCPUs whose wait is over and who haven't seen it yet.
    over: u64,
}

impl Vm {
    /// Whether all of the VM's memory has been cleaned since vCPU `index` first asked. If not, the
    /// job is told, and the vCPU is woken when it is: it blocks meanwhile, and asks again.
    pub fn is_cleaned_for(&self, index: usize) -> bool {
        let bit = 1 << (index & 63);
        let mut cleaning = self.cleaning.lock();
        if cleaning.over & bit != 0 {
            cleaning.over &= !bit;
            return true;
        }
        if cleaning.waiting & bit == 0 {
            cleaning.waiting |= bit;
            // From the start, also if others wait: what it wrote may be in what is done already.
            cleaning.done = 0;
        }
        drop(cleaning);
        self.call_job();
        false
    }

    /// Cleans one slice. False when there is nothing to do.
    pub(super) fn clean_slice(&self) -> bool {
        let Cleaning { done, waiting, .. } = *self.cleaning.lock();
        if waiting == 0 {
            return false;
        }
        let mut now = done;
        for _ in 0..ABSENT {
            if now >= self.config.memory() {
                break;
            }
            if let Some(pa) = self.pa(RAM_BASE.wrapping_add(now)) {
                now = now.wrapping_add(guest::clean(pa));
                break;
            }
            now = (now | (BLOCK_SIZE - 1)).wrapping_add(1);
        }
        let mut cleaning = self.cleaning.lock();
        match now {
            // Else one more waits, for whom it begins anew.
            _ if cleaning.done != done => {}
            _ if now > done => cleaning.done = now,
            _ => {
                let waiting = core::mem::take(&mut cleaning.waiting);
                cleaning.over |= waiting;
                drop(cleaning);
                for vcpu in self.vcpus.iter().filter(|vcpu| waiting & 1 << vcpu.index != 0) {
                    schedule::wake(vcpu.entity);
                }
            }
        }
        true
    }
}
