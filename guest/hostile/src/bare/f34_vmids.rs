//! Family 34: made and destroyed more often than there are VMIDs. VMs are made once, from the
//! description, and VM n has VMID n + 1 for good: so there may be described more VMs than there
//! can be, and one VM may be reset more often than there are VMIDs. In each of its lives it has
//! tables of its own, whose translations must not outlive it.

use core::sync::atomic::Ordering::Relaxed;
use guest_rt::mmu::{self, LEVEL1};
use guest_rt::vectors::expect_fault;
use guest_rt::{head, mmio};
use probes::check;

/// What is mapped in each life at the same place, and was mapped to other memory in the last.
const WINDOW: u64 = 0x30_0000_0000;

/// The attack.
pub fn attack() {
    head::init();
    let fault = expect_fault(|| {
        mmio::read64(WINDOW as usize);
    });
    check::that("vmids.no-old-translation", fault.is_some(), "a translation fault");
    LEVEL1.0[(WINDOW >> 30) as usize].store(0x4000_0000 | mmu::RAM | mmu::BLOCK, Relaxed);
    mmu::flush();
    let end = WINDOW + crate::tools::ram().end - 0x4000_0000 - 8;
    mmio::write64(end as usize, 0x1d);
    check::equal(
        "vmids.own-memory",
        mmio::read64(end as usize - WINDOW as usize + 0x4000_0000),
        0x1d,
    );
}
