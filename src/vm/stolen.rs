//! Stolen time (Arm DEN0057): a page that each VM may read, with a structure of 64 bytes for each
//! vCPU. Revision and attributes, the first 8 bytes, are 0; the next 8 say for how many nanoseconds
//! the vCPU would have run if it had had a pCPU.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::device::{STOLEN_TIME_STRIDE, vgic::MAX_VCPUS};
use crate::memory::{PAGE_SIZE, Pa, Va, heap};
use crate::platform::timer;

const NANOSECONDS: u64 = 1_000_000_000;

/// The page of one VM, in EL2's heap.
pub struct StolenTime {
    page: Va,
    /// Nanoseconds of one tick, in 2^-32: a switch multiplies, and doesn't divide.
    per_tick: u64,
}

impl StolenTime {
    /// A page on which nobody has waited. `None` if the heap is full.
    pub fn new() -> Option<Self> {
        const { assert!(MAX_VCPUS as u64 * STOLEN_TIME_STRIDE <= PAGE_SIZE) };
        let per_tick = (NANOSECONDS << 32) / timer::frequency().max(1);
        Some(Self { page: heap::zeroed_pages(1, PAGE_SIZE)?, per_tick })
    }

    /// Where it is.
    pub fn pa(&self) -> Pa {
        heap::pa(self.page)
    }

    /// `vcpu` has waited for so many ticks in all.
    #[inline]
    pub fn set(&self, vcpu: usize, ticks: u64) {
        let nanoseconds = (u128::from(ticks) * u128::from(self.per_tick)) >> 32;
        let at = self.page.get() + (vcpu % MAX_VCPUS) as u64 * STOLEN_TIME_STRIDE + 8;
        // SAFETY: within the page, which is this VM's for good, and aligned; guests only read it.
        let stolen = unsafe { AtomicU64::from_ptr(at as *mut u64) };
        stolen.store(nanoseconds as u64, Ordering::Relaxed);
    }
}
