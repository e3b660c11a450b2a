//! The generic timer (Arm DDI 0487, chapter D11): a counter that all CPUs share, and for each CPU
//! a virtual and a physical timer that compare with it.

use crate::{arch, mrs, msr};

/// The virtual timer's interrupt, a PPI.
pub const VIRTUAL_INTID: u32 = 27;
/// The physical timer's interrupt, a PPI.
pub const PHYSICAL_INTID: u32 = 30;

/// CNTV_CTL_EL0, CNTP_CTL_EL0: timer on.
pub const ENABLE: u64 = 1 << 0;
/// CNTV_CTL_EL0, CNTP_CTL_EL0: interrupt masked.
pub const IMASK: u64 = 1 << 1;
/// CNTV_CTL_EL0, CNTP_CTL_EL0: condition met.
pub const ISTATUS: u64 = 1 << 2;

/// The virtual counter. The ISB keeps the CPU from reading it before the instructions ahead of it
/// have run.
#[inline(always)]
pub fn now() -> u64 {
    arch::isb();
    mrs!(CNTVCT_EL0)
}

/// Ticks of the counter a second.
pub fn frequency() -> u64 {
    mrs!(CNTFRQ_EL0)
}

/// Milliseconds as ticks of the counter.
pub fn ms(milliseconds: u64) -> u64 {
    frequency() / 1000 * milliseconds
}

/// Arms the virtual timer for the time `at` on the virtual counter.
pub fn arm(at: u64) {
    msr!(CNTV_CVAL_EL0, at);
    msr!(CNTV_CTL_EL0, ENABLE);
    arch::isb();
}

/// Stops the virtual timer: its interrupt line falls.
pub fn disarm() {
    msr!(CNTV_CTL_EL0, 0);
    arch::isb();
}

/// Spins for so many milliseconds of the virtual counter.
pub fn delay_ms(milliseconds: u64) {
    let start = now();
    while now().wrapping_sub(start) < ms(milliseconds) {
        arch::spin();
    }
}
