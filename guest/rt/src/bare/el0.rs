//! Going to EL0 and coming back.
//!
//! Going down is an exception return that no exception preceded: ELR, SPSR and SP_EL0 are set up
//! and `eret` does the rest. Coming back is an exception whose handler decides not to return to
//! EL0: it calls [`leave`], which changes the frame so that `eret` goes to the code behind [`enter`].

use crate::vectors::Frame;
use core::arch::global_asm;

global_asm!(
    r#"
    .text
    .global el0_enter
el0_enter:
    stp     x19, x20, [sp, #-96]!
    stp     x21, x22, [sp, #16]
    stp     x23, x24, [sp, #32]
    stp     x25, x26, [sp, #48]
    stp     x27, x28, [sp, #64]
    stp     x29, x30, [sp, #80]
    msr     DAIFSet, #2             // no interrupt between here and eret may spoil ELR, SPSR
    msr     ELR_EL1, x0
    msr     SPSR_EL1, x3
    msr     SP_EL0, x1
    mov     x0, x2
    eret

    .global el0_left
el0_left:
    ldp     x21, x22, [sp, #16]
    ldp     x23, x24, [sp, #32]
    ldp     x25, x26, [sp, #48]
    ldp     x27, x28, [sp, #64]
    ldp     x29, x30, [sp, #80]
    ldp     x19, x20, [sp], #96
    ret
    "#
);

unsafe extern "C" {
    fn el0_enter(entry: usize, stack: usize, argument: u64, spsr: u64) -> u64;
    fn el0_left();
}

/// PSTATE for EL0: AArch64, nothing masked.
pub const SPSR_EL0: u64 = 0;
/// PSTATE for EL1 with its own stack pointer, interrupts masked.
const SPSR_EL1H: u64 = 0x3c5;

/// A function that runs at EL0.
pub type User = extern "C" fn(u64) -> !;

/// Runs `user` at EL0 on the stack that ends at `stack`, with `argument` in its x0, until the
/// handler of an exception calls [`leave`]; gives back the value passed there. Interrupts are
/// unmasked meanwhile and masked afterwards.
pub fn enter(user: User, stack: usize, argument: u64) -> u64 {
    enter_with(user, stack, argument, SPSR_EL0)
}

/// The same with a PSTATE of the caller's choice, as SPSR_EL1 has it. It must be one of EL0.
pub fn enter_with(user: User, stack: usize, argument: u64, spsr: u64) -> u64 {
    // SAFETY: code runs at EL0 with what the MMU lets EL0 have; `el0_left` restores the registers
    // that a call must preserve.
    unsafe { el0_enter(user as *const () as usize, stack, argument, spsr) }
}

/// Makes the exception's return go to the code behind [`enter`], with `value` as its result.
pub fn leave(frame: &mut Frame, value: u64) {
    frame.elr = el0_left as *const () as usize as u64;
    frame.spsr = SPSR_EL1H;
    frame.x[0] = value;
}
