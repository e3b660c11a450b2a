//! The first instructions.
//!
//! The file begins with the header of a Linux arm64 `Image` (Documentation/arch/arm64/booting.rst),
//! by which a boot loader knows where to put it. The loader enters at its first byte with the MMU
//! off, interrupts masked and the device tree's address in x0.

use crate::{arch, boot, mmu, psci, smp};
use core::arch::global_asm;
use core::sync::atomic::{AtomicU64, Ordering};

/// The most CPUs a guest can have: as many as there are in a cluster of the `virt` board.
pub const MAX_CPUS: usize = 16;
/// Size of each CPU's stack, in bytes.
pub const STACK_SIZE: usize = 32 * 1024;

#[repr(C, align(4096))]
struct Stacks([[u8; STACK_SIZE]; MAX_CPUS]);
static mut STACKS: Stacks = Stacks([[0; STACK_SIZE]; MAX_CPUS]);

/// The exception level at which CPU 0 was entered, before it went to EL1.
static ENTRY_EL: AtomicU64 = AtomicU64::new(0);

/// The exception level at which the boot loader entered this program.
pub fn entry_el() -> u64 {
    ENTRY_EL.load(Ordering::Relaxed)
}

global_asm!(
    r#"
    .section .head, "ax"
    .global _start
_start:
    b       primary_start
    .long   0
    .quad   0                       // text_offset: 0, which loaders take as 2 MiB
    .quad   __image_size            // with .bss and stacks
    .quad   0x2                     // flags: little-endian, 4 KiB pages, near the base of RAM
    .quad   0, 0, 0
    .ascii  "ARM\x64"
    .long   0

    .text
primary_start:
    mov     x20, x0                 // the device tree
    mrs     x21, CurrentEL
    lsr     x21, x21, #2
    bl      to_el1

    adrp    x0, __bss_start
    add     x0, x0, :lo12:__bss_start
    adrp    x1, __bss_end
    add     x1, x1, :lo12:__bss_end
1:  cmp     x0, x1
    b.hs    2f
    stp     xzr, xzr, [x0], #16
    b       1b

2:  mov     x0, #0
    bl      set_stack
    mov     x0, x20
    mov     x1, x21
    bl      {primary}
0:  wfi
    b       0b

    // Where PSCI CPU_ON starts the other CPUs: x0 is the CPU's number.
    .global secondary_start
secondary_start:
    mov     x20, x0
    bl      to_el1
    mov     x0, x20
    bl      set_stack
    bl      enable_mmu
    adrp    x0, vectors
    add     x0, x0, :lo12:vectors
    msr     VBAR_EL1, x0
    isb
    mov     x0, x20
    bl      {secondary}
0:  wfi
    b       0b

    // Own stack for CPU x0, in SP_EL1.
set_stack:
    msr     SPSel, #1
    adrp    x1, {stacks}
    add     x1, x1, :lo12:{stacks}
    mov     x2, #{stack_size}
    madd    x1, x2, x0, x1
    add     sp, x1, x2
    ret

    // Goes on at EL1 behind the call. At EL1 already it does nothing. At EL2 it opens for EL1
    // what EL2 could keep from it, and returns by an exception return.
to_el1:
    mrs     x0, CurrentEL
    cmp     x0, #(2 << 2)
    b.ne    9f

    // HCR_EL2: RW (bit 31), EL1 is AArch64; HCD (bit 29), HVC is UNDEFINED, for nobody is left at
    // EL2 to answer; ATA, API, APK (bits 56, 41, 40), memory tags and pointer authentication are
    // not trapped. Nothing else is trapped either, and there is no stage 2.
    mov     x0, #0xa0000000
    movk    x0, #0x0300, lsl #32
    movk    x0, #0x0100, lsl #48
    msr     HCR_EL2, x0
    // CPTR_EL2: no trap of FP and SIMD. TZ (bit 8) and TSM (bit 12) trap SVE and SME where the
    // CPU has them, and are RES1 where it has not.
    mov     x0, #0x33ff
    mrs     x1, ID_AA64PFR0_EL1
    ubfx    x1, x1, #32, #4
    cbz     x1, 2f
    bic     x0, x0, #(1 << 8)
2:  mrs     x1, ID_AA64PFR1_EL1
    ubfx    x1, x1, #24, #4
    cbz     x1, 2f
    bic     x0, x0, #(1 << 12)
2:  msr     CPTR_EL2, x0
    mov     x0, #3                  // CNTHCTL_EL2: EL1 may use the physical counter and timer
    msr     CNTHCTL_EL2, x0
    msr     CNTVOFF_EL2, xzr        // virtual time is physical time
    msr     HSTR_EL2, xzr
    msr     MDCR_EL2, xzr
    mrs     x0, MIDR_EL1
    msr     VPIDR_EL2, x0
    mrs     x0, MPIDR_EL1
    msr     VMPIDR_EL2, x0
    mrs     x0, ID_AA64PFR0_EL1
    tst     x0, #(0xf << 24)        // GIC: system register interface present?
    b.eq    1f
    mov     x0, #0xf                // ICC_SRE_EL2: system registers, also for EL1
    msr     ICC_SRE_EL2, x0
    isb
1:  movz    x0, #0x30d0, lsl #16    // SCTLR_EL1: RES1 bits, MMU and caches off
    movk    x0, #0x0800
    msr     SCTLR_EL1, x0
    mov     x0, #0x3c5              // SPSR_EL2: to EL1, own stack pointer, D A I F masked
    msr     SPSR_EL2, x0
    msr     ELR_EL2, x30
    eret
9:  ret
    "#,
    primary = sym primary,
    secondary = sym crate::smp::secondary,
    stacks = sym STACKS,
    stack_size = const STACK_SIZE,
);

unsafe extern "Rust" {
    /// The program's entry, which [`crate::guest!`] defines.
    safe fn guest_main();
}

/// The first Rust code, on CPU 0's stack, still with the MMU off.
extern "C" fn primary(tree: usize, entry_el: u64) -> ! {
    ENTRY_EL.store(entry_el, Ordering::Relaxed);
    boot::set_tree(tree);
    smp::learn_affinities();
    psci::choose_conduit();
    guest_main();
    psci::system_off()
}

/// What every probe wants done first: vectors, then MMU and caches.
pub fn init() {
    crate::vectors::install();
    mmu::init();
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo) -> ! {
    arch::irq_disable();
    crate::println!("FAIL panic: {}", info);
    psci::system_off()
}
