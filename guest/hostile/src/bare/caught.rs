//! Exceptions of a random stream. Nothing that it left behind is relied on: not the stack, not the
//! general registers, not EL1's control registers. The vectors keep two registers where there is
//! no memory, put the translation back, and save the rest in a page that each CPU has.

use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use guest_rt::{mmu, mrs, msr};

/// Where each CPU's [`Frame`] is: a page for each.
pub const FRAMES: u64 = 0x4090_0000;
/// Where the stacks of the handlers end: 64 KiB for each.
const STACKS: u64 = 0x4080_0000;

/// What an exception interrupted, and what is put back.
#[repr(C)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// SP_EL0.
    pub sp_el0: u64,
    /// Where it goes on.
    pub elr: u64,
    /// With which PSTATE.
    pub spsr: u64,
    /// ESR_EL1.
    pub esr: u64,
    /// Which of the sixteen vectors.
    pub vector: u64,
    /// SP_EL1.
    pub sp_el1: u64,
    /// SCTLR_EL1 of the stream.
    pub sctlr: u64,
}

/// This CPU's.
pub fn frame(cpu: usize) -> *mut Frame {
    (FRAMES + cpu as u64 * 0x1000) as *mut Frame
}

global_asm!(
    r#"
    .macro caught number
    .balign 128
    msr     TPIDR_EL1, x0
    msr     TPIDRRO_EL0, x1
    mov     x1, #\number
    msr     TPIDR_EL0, x1
    b       caught_regime
    .endm

    .section .text.caught, "ax"
    .balign 2048
    .global caught_vectors
caught_vectors:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    caught \n
    .endr

    // The handlers' own translation, by x0 and x1 alone and without memory.
    .balign 128
caught_regime:
    mrs     x0, TTBR0_EL1
    adrp    x1, {level1}
    add     x1, x1, :lo12:{level1}
    cmp     x0, x1
    b.ne    1f
    mrs     x0, TCR_EL1
    movz    x1, #{tcr_3}, lsl #48
    movk    x1, #{tcr_2}, lsl #32
    movk    x1, #{tcr_1}, lsl #16
    movk    x1, #{tcr_0}
    cmp     x0, x1
    b.ne    1f
    mrs     x0, MAIR_EL1
    movz    x1, #{mair_1}, lsl #16
    movk    x1, #{mair_0}
    cmp     x0, x1
    b.eq    2f
1:  adrp    x1, {level1}
    add     x1, x1, :lo12:{level1}
    msr     TTBR0_EL1, x1
    msr     TTBR1_EL1, xzr
    movz    x1, #{tcr_3}, lsl #48
    movk    x1, #{tcr_2}, lsl #32
    movk    x1, #{tcr_1}, lsl #16
    movk    x1, #{tcr_0}
    msr     TCR_EL1, x1
    movz    x1, #{mair_1}, lsl #16
    movk    x1, #{mair_0}
    msr     MAIR_EL1, x1
    isb
    tlbi    vmalle1
    dsb     nsh
2:  movz    x1, #{sctlr_1}, lsl #16
    movk    x1, #{sctlr_0}
    msr     SCTLR_EL1, x1
    isb
    // A stream's PAN holds at EL1 (SCTLR_EL1.SPAN), and EL0 may read constants.
    adrp    x1, {has_pan}
    ldr     w1, [x1, :lo12:{has_pan}]
    cbz     w1, 3f
    .inst   0xd500409f              // MSR PAN, #0
3:

    mrs     x0, MPIDR_EL1
    and     x0, x0, #0xf
    lsl     x0, x0, #12
    movz    x1, #{frames_1}, lsl #16
    add     x0, x0, x1
    stp     x2, x3, [x0, #16]
    stp     x4, x5, [x0, #32]
    stp     x6, x7, [x0, #48]
    stp     x8, x9, [x0, #64]
    stp     x10, x11, [x0, #80]
    stp     x12, x13, [x0, #96]
    stp     x14, x15, [x0, #112]
    stp     x16, x17, [x0, #128]
    stp     x18, x19, [x0, #144]
    stp     x20, x21, [x0, #160]
    stp     x22, x23, [x0, #176]
    stp     x24, x25, [x0, #192]
    stp     x26, x27, [x0, #208]
    stp     x28, x29, [x0, #224]
    mrs     x1, SP_EL0
    stp     x30, x1, [x0, #240]
    mrs     x1, TPIDR_EL1
    mrs     x2, TPIDRRO_EL0
    stp     x1, x2, [x0]
    mrs     x1, ELR_EL1
    mrs     x2, SPSR_EL1
    stp     x1, x2, [x0, #{elr}]
    mrs     x1, ESR_EL1
    mrs     x2, TPIDR_EL0
    stp     x1, x2, [x0, #{esr}]
    mov     x1, sp
    str     x1, [x0, #{sp_el1}]
    // The handler's stack.
    and     x1, x0, #0xf000
    movz    x2, #{stacks_1}, lsl #16
    add     x2, x2, #16, lsl #12
    add     x1, x2, x1, lsl #4
    mov     sp, x1
    mov     x19, x0
    bl      {handler}
    mov     x0, x19

    // Puts a frame back and goes on, with stage 1 as the stream has it.
    .global caught_return
caught_return:
    ldp     x1, x2, [x0]
    msr     TPIDR_EL1, x1
    msr     TPIDRRO_EL0, x2
    ldr     x1, [x0, #{sp_el1}]
    mov     sp, x1
    ldp     x1, x2, [x0, #{elr}]
    msr     ELR_EL1, x1
    msr     SPSR_EL1, x2
    ldp     x30, x1, [x0, #240]
    msr     SP_EL0, x1
    ldp     x2, x3, [x0, #16]
    ldp     x4, x5, [x0, #32]
    ldp     x6, x7, [x0, #48]
    ldp     x8, x9, [x0, #64]
    ldp     x10, x11, [x0, #80]
    ldp     x12, x13, [x0, #96]
    ldp     x14, x15, [x0, #112]
    ldp     x16, x17, [x0, #128]
    ldp     x18, x19, [x0, #144]
    ldp     x20, x21, [x0, #160]
    ldp     x22, x23, [x0, #176]
    ldp     x24, x25, [x0, #192]
    ldp     x26, x27, [x0, #208]
    ldp     x28, x29, [x0, #224]
    ldr     x0, [x0, #{sctlr}]
    msr     SCTLR_EL1, x0
    isb
    mrs     x0, TPIDR_EL1
    mrs     x1, TPIDRRO_EL0
    eret
    .text
    "#,
    level1 = sym mmu::LEVEL1,
    handler = sym super::streams::caught,
    has_pan = sym HAS_PAN,
    elr = const offset_of!(Frame, elr),
    esr = const offset_of!(Frame, esr),
    sp_el1 = const offset_of!(Frame, sp_el1),
    sctlr = const offset_of!(Frame, sctlr),
    tcr_3 = const mmu::TCR >> 48,
    tcr_2 = const mmu::TCR >> 32 & 0xffff,
    tcr_1 = const mmu::TCR >> 16 & 0xffff,
    tcr_0 = const mmu::TCR & 0xffff,
    mair_1 = const mmu::MAIR >> 16,
    mair_0 = const mmu::MAIR & 0xffff,
    sctlr_1 = const mmu::SCTLR >> 16,
    sctlr_0 = const mmu::SCTLR & 0xffff,
    frames_1 = const FRAMES >> 16,
    stacks_1 = const STACKS >> 16,
);
const _: () = assert!(offset_of!(Frame, sp_el0) == 248 && mmu::MAIR >> 32 == 0);
const _: () = assert!(offset_of!(Frame, vector) == offset_of!(Frame, esr) + 8);

unsafe extern "C" {
    static caught_vectors: u8;
    /// Goes on with a frame.
    pub fn caught_return(frame: *mut Frame) -> !;
}

/// Whether the CPU has PSTATE.PAN: ID_AA64MMFR1_EL1.PAN.
static HAS_PAN: AtomicU32 = AtomicU32::new(0);

/// Makes these the vectors of this CPU.
pub fn install() {
    HAS_PAN.store((mrs!(ID_AA64MMFR1_EL1) >> 20) as u32 & 0xf, Relaxed);
    msr!(VBAR_EL1, (&raw const caught_vectors) as u64);
}
