//! The vector table at VBAR_EL2: sixteen entries of 128 bytes (DDI 0487 D1.3.1).
//!
//! | offset | taken from | here |
//! |---|---|---|
//! | 0x000–0x180 | EL2 with SP_EL0 | never used: fatal |
//! | 0x200–0x380 | EL2 with SP_EL2 | EL2 runs with interrupts masked, so any is a bug: fatal |
//! | 0x400–0x580 | below, EL1 being AArch64 | an exit: `run` returns. EL0 may be AArch32: SPSR tells |
//! | 0x600–0x780 | below, EL1 being AArch32 | can't be, HCR_EL2.RW being 1; an exit all the same |
//!
//! **An exit** stores the guest's general registers in the [`Frame`] that [`enter`] was given, and
//! returns from `enter` with the kind of vector. Of EL2's own registers `enter` keeps only those that
//! its caller can't name as changed: the caller saves what it needs once, not at each exit.
//! The stack holds, from the top: EL2's x19 and x29, the return address, the frame's address.
//!
//! **A fatal exception** may have been caused by a stack that ran into its guard page, and pushing
//! on such a stack would fault again, for ever. So SP is tested before the first push, with no
//! register to spare: bit [`STACK_SHIFT`](super::layout::STACK_SHIFT) of it is 1 in a good stack.
//! If it isn't, the pCPU's emergency stack is taken.

use core::arch::{asm, global_asm};
use core::mem::offset_of;

use super::layout::STACK_SHIFT;
use super::percpu::PerCpu;
use crate::vm::Frame;

/// Bytes of a [`super::fatal::FatalFrame`].
const FATAL_SIZE: usize = size_of::<super::fatal::FatalFrame>();

global_asm!(
    r#"
.section .vectors, "ax"

// x2 to x29 of the frame at `base`; x0, x1 and x30 are at work before and after.
.macro general op, base
    \op     x2, x3, [\base, #16]
    \op     x4, x5, [\base, #32]
    \op     x6, x7, [\base, #48]
    \op     x8, x9, [\base, #64]
    \op     x10, x11, [\base, #80]
    \op     x12, x13, [\base, #96]
    \op     x14, x15, [\base, #112]
    \op     x16, x17, [\base, #128]
    \op     x18, x19, [\base, #144]
    \op     x20, x21, [\base, #160]
    \op     x22, x23, [\base, #176]
    \op     x24, x25, [\base, #192]
    \op     x26, x27, [\base, #208]
    \op     x28, x29, [\base, #224]
.endm

.macro fatal_entry kind
    .balign 128
    // sp += x0; x0 = old sp; test; undo. As Linux does, since there is no free register.
    sub     sp, sp, #{fatal_size}
    add     sp, sp, x0
    sub     x0, sp, x0
    tbz     x0, #{stack_shift}, 1f
    sub     x0, sp, x0
    sub     sp, sp, x0
    b       2f
1:  // The stack overflowed. What TPIDR_EL0 and TPIDRRO_EL0 held is a guest's, and lost: we end here.
    msr     tpidrro_el0, x0             // old sp, less the frame
    sub     x0, sp, x0                  // the interrupted x0
    msr     tpidr_el0, x0
    mrs     x0, tpidr_el2
    ldr     x0, [x0, #{emergency_top}]
    sub     sp, x0, #{fatal_size}
    mrs     x0, tpidr_el0
    stp     x0, x1, [sp]
    mrs     x1, tpidrro_el0
    b       3f
2:  stp     x0, x1, [sp]
    mov     x1, sp
3:  mov     x0, #\kind
    b       fatal_common
.endm

.macro exit_entry kind
    .balign 128
    stp     x0, x1, [sp, #-16]!
    mov     x1, #\kind
    b       exit_common
.endm

.balign 2048
.global vectors
vectors:
    .irp kind, 0, 1, 2, 3, 4, 5, 6, 7
    fatal_entry \kind
    .endr

    // Synchronous, AArch64: the common case falls through with no branch.
    .balign 128
    stp     x0, x1, [sp, #-16]!
    mov     x1, #0
exit_common:
    ldr     x0, [sp, #16]
    general stp, x0
    b       exit_finish
    .irp kind, 1, 2, 3, 0, 1, 2, 3
    exit_entry \kind
    .endr

    .balign 128
exit_finish:
    ldp     x4, x5, [sp], #16           // the guest's x0, x1
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    stp     x4, x5, [x0]
    stp     x30, x2, [x0, #{x30}]
    str     x3, [x0, #{pstate}]
    mov     x0, x1
    ldr     x30, [sp, #8]
    ldp     x19, x29, [sp, #16]
    add     sp, sp, #32
    ret

.section .text.enter, "ax"
// x0 = &mut Frame; returns the kind of the vector by which the guest came back: 0 synchronous,
// 1 IRQ, 2 FIQ, 3 SError. Keeps x19, x29 and sp, and no other register.
.global enter
enter:
    stp     x0, x30, [sp, #-32]!
    stp     x19, x29, [sp, #16]
    ldp     x30, x2, [x0, #{x30}]
    ldr     x3, [x0, #{pstate}]
    msr     elr_el2, x2
    msr     spsr_el2, x3
    general ldp, x0
    ldp     x0, x1, [x0]
    eret
    dsb     nsh                         // nothing is speculated past an ERET
    isb

// sp = FatalFrame with x0, x1 stored; x0 = kind 0..7; x1 = the interrupted sp, less the frame.
fatal_common:
    general stp, sp
    add     x1, x1, #{fatal_size}
    mrs     x2, elr_el2
    mrs     x3, spsr_el2
    mrs     x4, esr_el2
    mrs     x5, far_el2
    stp     x30, x1, [sp, #240]
    stp     x2, x3, [sp, #256]
    stp     x4, x5, [sp, #272]
    mov     x1, sp
    mov     x30, x2                     // the backtrace starts at the faulting instruction
    b       {fatal}
.previous
"#,
    x30 = const offset_of!(Frame, x) + 30 * 8,
    pstate = const offset_of!(Frame, pstate),
    fatal_size = const FATAL_SIZE,
    stack_shift = const STACK_SHIFT,
    emergency_top = const offset_of!(PerCpu, emergency_top),
    fatal = sym super::fatal::exception,
);

const _: () = assert!(offset_of!(Frame, x) == 0);
const _: () = assert!(offset_of!(Frame, pc) == 31 * 8);
const _: () = assert!(FATAL_SIZE == 36 * 8);

/// Enters the guest whose registers `frame` holds, and returns the kind of vector by which it came
/// back, with its registers in `frame`.
///
/// # Safety
/// The rest of the vCPU's state (EL1 registers, stage 2, list registers) is loaded on this pCPU,
/// and `frame.pstate` says EL1 or EL0.
#[inline(always)]
pub unsafe fn enter_guest(frame: *mut Frame) -> u64 {
    let kind;
    // SAFETY: the assembly above changes what is named here and the flags, and its stack is its own.
    // EL2 has no V registers.
    unsafe {
        asm!("bl enter", inlateout("x0") frame => kind, lateout("x20") _, lateout("x21") _,
            lateout("x22") _, lateout("x23") _, lateout("x24") _, lateout("x25") _,
            lateout("x26") _, lateout("x27") _, lateout("x28") _, clobber_abi("C"));
    }
    kind
}
