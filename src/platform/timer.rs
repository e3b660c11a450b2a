//! EL2's own timer, CNTHP: the end of a time slice, or the earliest thing that somebody waits for.

use aarch64_cpu::registers::{CNTFRQ_EL0, CNTHP_CTL_EL2, CNTPCT_EL0};
use tock_registers::interfaces::{Readable, Writeable};

use crate::el2::cache;
use crate::el2::regs::CNTHP_CVAL_EL2;

/// The physical count, in ticks.
#[inline(always)]
pub fn now() -> u64 {
    // D12.1.2: a counter read may be made early; the ISB keeps it in its place.
    cache::isb();
    CNTPCT_EL0.get()
}

/// Ticks a second.
pub fn frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// Interrupts this pCPU at `deadline`, or not at all.
#[inline(always)]
pub fn arm(deadline: Option<u64>) {
    match deadline {
        Some(at) => {
            CNTHP_CVAL_EL2.set(at);
            CNTHP_CTL_EL2.set(1);
        }
        None => CNTHP_CTL_EL2.set(0),
    }
}
