//! System registers and barriers.

use core::arch::asm;

/// Reads a system register: `mrs!(CurrentEL)`. Names the assembler does not know are written
/// `S<op0>_<op1>_C<n>_C<m>_<op2>`.
#[macro_export]
macro_rules! mrs {
    ($register:ident) => {{
        let value: u64;
        // SAFETY: reading a system register touches no memory. One that does not exist raises an
        // exception, which the vectors report.
        unsafe {
            core::arch::asm!(concat!("mrs {}, ", stringify!($register)), out(reg) value,
                options(nostack))
        };
        value
    }};
}

/// Writes a system register: `msr!(VBAR_EL1, address)`. No barrier is implied: see [`isb`].
///
/// This is a safe macro although a wrong value can do anything. A guest is alone in its machine,
/// and these programs exist to write such registers.
#[macro_export]
macro_rules! msr {
    ($register:ident, $value:expr) => {{
        let value: u64 = $value;
        // SAFETY: as said above, the guest owns the whole machine state.
        unsafe {
            core::arch::asm!(concat!("msr ", stringify!($register), ", {}"), in(reg) value,
                options(nostack))
        };
    }};
}

/// Makes the effects of earlier system register writes visible to the instructions that follow.
#[inline(always)]
pub fn isb() {
    // SAFETY: a barrier.
    unsafe { asm!("isb", options(nostack)) }
}

/// Waits until every earlier memory access is complete, for all observers.
#[inline(always)]
pub fn dsb() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack)) }
}

/// Sleeps until an interrupt is pending, masked or not.
#[inline(always)]
pub fn wfi() {
    // SAFETY: a hint.
    unsafe { asm!("dsb sy", "wfi", options(nostack)) }
}

/// Tells the CPU that this is a spin loop.
#[inline(always)]
pub fn spin() {
    // SAFETY: a hint.
    unsafe { asm!("yield", options(nostack)) }
}

/// Lets IRQs in (PSTATE.I = 0).
#[inline(always)]
pub fn irq_enable() {
    // SAFETY: an interrupt that comes finds the vectors installed.
    unsafe { asm!("msr daifclr, #2", options(nostack)) }
}

/// Keeps IRQs out (PSTATE.I = 1).
#[inline(always)]
pub fn irq_disable() {
    // SAFETY: masking interrupts breaks nothing.
    unsafe { asm!("msr daifset, #2", options(nostack)) }
}

/// Runs `f` with IRQs masked and puts the mask back as it was.
pub fn without_irqs<R>(f: impl FnOnce() -> R) -> R {
    let daif = mrs!(DAIF);
    irq_disable();
    let result = f();
    msr!(DAIF, daif);
    result
}

/// The exception level the CPU is at (CurrentEL, bits 3:2).
pub fn current_el() -> u64 {
    mrs!(CurrentEL) >> 2 & 3
}

/// The affinity fields of this CPU's MPIDR_EL1: Aff3 in bits 39:32, Aff2 to Aff0 in 23:0.
pub fn affinity() -> u64 {
    mrs!(MPIDR_EL1) & 0xff_00ff_ffff
}

/// This CPU's number: its place among the CPUs of the device tree, by its affinity.
pub fn cpu() -> usize {
    let own = affinity();
    (0..crate::head::MAX_CPUS).find(|&cpu| crate::smp::affinity(cpu) == own).unwrap_or(0)
}
