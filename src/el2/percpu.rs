//! The per-CPU block: what belongs to one pCPU alone, found by TPIDR_EL2.

use core::cell::Cell;

use aarch64_cpu::registers::{MPIDR_EL1, TPIDR_EL2};
use tock_registers::interfaces::{Readable, Writeable};

use super::layout::MAX_PCPUS;
use crate::memory::Va;

/// A pCPU's block. The fields in `Cell`s are touched by their own pCPU only, with interrupts
/// masked: EL2 never runs otherwise.
#[repr(C, align(64))]
pub struct PerCpu {
    /// Index of the pCPU, 0 to 7, in the order of the device tree, the boot CPU first.
    pub id: Cell<usize>,
    /// Affinity fields of its MPIDR_EL1.
    pub mpidr: Cell<u64>,
    /// Top of its emergency stack, for vectors.rs.
    pub emergency_top: Cell<u64>,
    /// What written to ICC_SGI1R_EL1 kicks it.
    pub kick: Cell<u64>,
    /// Base of its redistributor's frames.
    pub redistributor: Cell<Va>,
    /// Whether its window onto guest memory is open.
    pub window_open: Cell<bool>,
    /// Address of the vCPU that is loaded, 0 if none: for the fatal report.
    pub current: Cell<usize>,
    /// Ranks of the locks that it holds, one bit each (lock.rs).
    #[cfg(debug_assertions)]
    pub locks_held: Cell<u32>,
}

// SAFETY: the cells are used by one pCPU each; others only ever see `id`, `mpidr` and `kick`,
// which don't change once their pCPU runs.
unsafe impl Sync for PerCpu {}

static BLOCKS: [PerCpu; MAX_PCPUS] = [const {
    PerCpu {
        id: Cell::new(0),
        mpidr: Cell::new(0),
        emergency_top: Cell::new(0),
        kick: Cell::new(0),
        redistributor: Cell::new(Va::new(0)),
        window_open: Cell::new(false),
        current: Cell::new(0),
        #[cfg(debug_assertions)]
        locks_held: Cell::new(0),
    }
}; MAX_PCPUS];

/// The block of pCPU `id`, if there can be one.
pub fn block(id: usize) -> Option<&'static PerCpu> {
    BLOCKS.get(id)
}

/// This pCPU's block.
#[inline(always)]
pub fn this() -> &'static PerCpu {
    // SAFETY: head.rs and `adopt` leave the address of a block of `BLOCKS` in TPIDR_EL2 before any
    // code that asks runs, and nothing else writes it: guests can't see the register.
    unsafe { &*(TPIDR_EL2.get() as *const PerCpu) }
}

/// Takes the first block: the boot CPU's first act.
pub fn adopt_boot() {
    let [first, ..] = &BLOCKS;
    first.mpidr.set(MPIDR_EL1.get() & AFFINITY);
    TPIDR_EL2.set(core::ptr::from_ref(first) as u64);
}

/// The affinity fields of MPIDR_EL1.
pub const AFFINITY: u64 = 0xff_00ff_ffff;
