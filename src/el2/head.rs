//! The first instructions: the arm64 `Image` header, and the way from whatever level the machine
//! starts at to Rust at EL2 with translation on.
//!
//! Until translation is on the code runs wherever it was loaded, so it is position-independent:
//! only `adr`/`adrp`, no absolute address but the one it jumps to at the end.
//!
//! | entered at | by | what happens |
//! |---|---|---|
//! | EL2 | QEMU `-kernel Image`, U-Boot `booti`, PSCI CPU_ON | goes on |
//! | EL3 | an ELF under `secure=on`: every CPU at once, x0 = 0 | drops to EL2; all but one wait in the pen |
//! | EL1 | a machine without `virtualization=on` | Rust says what to change and powers off |
//!
//! The boot map is coarse and short-lived: the 1 GiB that the code runs in and, identity-mapped,
//! plus the image at its linked address. Rust replaces it by the real one (mmu.rs) before it does
//! anything else. At EL1 all other addresses are mapped as device memory too, so that the farewell
//! can reach the tree and the UART.

use core::arch::global_asm;
use core::mem::offset_of;

use super::layout;
use super::smp::SecondaryBoot;

/// SCR_EL3, bit by bit (DDI 0487 D24.2.117). What is not named is 0.
///
/// | bit | name | value | why |
/// |---|---|---|---|
/// | 0 | NS | 1 | EL2 and below are Non-secure: EL2 exists there on every CPU |
/// | 1–3 | IRQ, FIQ, EA | 0 | interrupts and aborts go to EL2, nothing comes back to EL3 |
/// | 4–5 | RES1 | 1 | – |
/// | 7 | SMD | 0 | EL2 has one use for SMC here: the pokes below |
/// | 8 | HCE | 1 | HVC is the guests' way to call: enable it |
/// | 10 | RW | 1 | EL2 is AArch64 |
/// | 11 | ST | 0 | the secure timer stays EL3's |
/// | 12–13 | TWI, TWE | 0 | WFI and WFE don't go to EL3 |
/// | 16–17 | APK, API | 1 | pointer authentication isn't trapped to EL3 |
/// | 18 | EEL2 | 0 | no Secure EL2 |
/// | 25 | EnSCXT | 0 | no SCXTNUM_ELx: guests don't see them |
/// | 26 | ATA | 0 | no allocation tags: guests don't see MTE |
/// | 27 | FGTEn | 1 | the fine-grained traps are EL2's to set |
/// | 38 | HXEn | 1 | and so is HCRX_EL2 |
/// | 41 | EnTP2 | 1 | TPIDR2_EL0 isn't trapped to EL3: EL2 switches it |
const SCR_EL3: u64 = 1 | 0b11 << 4 | 1 << 8 | 1 << 10 | 0b11 << 16 | 1 << 27 | 1 << 38 | 1 << 41;

/// SCTLR_EL2 before translation: RES1 bits, little-endian, everything off (D24.2.119).
const SCTLR_EL2_OFF: u64 = 0x30c5_0830;
/// M, C, SA, I on top: translation, data cache, stack alignment check, instruction cache.
const SCTLR_ON: u64 = 1 | 1 << 2 | 1 << 3 | 1 << 12;
/// SCTLR_EL1 before translation: its RES1 bits.
const SCTLR_EL1_OFF: u64 = 0x30d0_0800;

/// MAIR: index 0 Normal write-back, index 1 device nGnRE. The same for the real map.
pub(super) const MAIR: u64 = 0xff | 0x04 << 8;

/// TCR_EL2 without PS: 48-bit VA (T0SZ=16), 4 KiB granule, walks inner-shareable write-back,
/// RES1 bits 31 and 23 (D24.2.155).
pub(super) const TCR_EL2: u64 = 16 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 1 << 31;
/// TCR_EL1 for the farewell at EL1: the same for TTBR0, walks by TTBR1 disabled (EPD1).
const TCR_EL1: u64 = 16 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23;

/// A block of Normal memory: AF, inner shareable, AttrIndx 0.
const BLOCK_NORMAL: u64 = 1 | 1 << 10 | 3 << 8;
/// A block of device memory: AF, XN, AttrIndx 1.
const BLOCK_DEVICE: u64 = 1 | 1 << 10 | 1 << 2 | 1 << 54 | 1 << 53;

const _: () = assert!(layout::IMAGE.get() == 0xff80_0000_0000);

/// SMC function IDs that the EL3 of this image answers, while it runs under no firmware: poke a
/// 32-bit register as Secure. The GIC driver needs it to give interrupts to Non-secure Group 1.
pub const EL3_POKE: u32 = 0xc300_4d5a;

global_asm!(
    r#"
// x0 = root table. Uses x1, x2. The stage 1 of the level that we are at goes on, at the identity.
.macro stage1 el, tcr, ps, tlbi, sctlr
    ldr     x1, ={mair}
    msr     mair_\el, x1
    mrs     x1, id_aa64mmfr0_el1
    and     x1, x1, #7                  // PS = PARange, at most 48 bits without LPA
    cmp     x1, #5
    mov     x2, #5
    csel    x1, x1, x2, ls
    ldr     x2, =\tcr
    orr     x2, x2, x1, lsl #\ps
    msr     tcr_\el, x2
    msr     ttbr0_\el, x0
    isb
    tlbi    \tlbi                       // what firmware left
    ic      iallu
    dsb     nsh
    isb
    ldr     x1, =\sctlr
    msr     sctlr_\el, x1
    isb
.endm

.section .head, "ax"
.global _start
_start:
    b       primary                     // code0: jump over the header
    .long   0                           // code1
    .quad   0                           // text_offset
    .quad   __image_size
    .quad   0xa                         // little-endian, 4 KiB pages, anywhere in memory
    .quad   0
    .quad   0
    .quad   0
    .ascii  "ARM\x64"
    .long   0

// x0 = device tree, or 0. Kept in x19; x20 = the level that we were entered at; x21 = image's PA.
primary:
    mov     x19, x0
    mov     x22, #0
    adrp    x21, __image_start
    mrs     x20, CurrentEL
    lsr     x20, x20, #2
    cmp     x20, #3
    b.eq    from_el3
    cmp     x20, #2
    b.eq    at_el2
    cmp     x20, #1
    b.eq    at_el1
0:  wfi
    b       0b

// ---- EL3: state what the levels below may do, then go there.
from_el3:
    ldr     x1, ={scr_el3}
    msr     scr_el3, x1
    msr     cptr_el3, xzr               // no trap of FP, SVE, trace or CPACR accesses to EL3
    msr     mdcr_el3, xzr               // nor of debug and PMU registers
    mov     x1, #0xf                    // ICC_SRE_EL3: system registers, and EL2 may use them
    msr     S3_6_C12_C12_5, x1
    isb
    adr     x1, el3_vectors
    msr     vbar_el3, x1
    ldr     x1, ={sctlr_el2_off}
    msr     sctlr_el2, x1
    mov     x1, #0x3c9                  // SPSR_EL3: EL2h, D A I F masked
    msr     spsr_el3, x1
    adr     x1, 1f
    msr     elr_el3, x1
    isb
    eret
1:  mrs     x1, mpidr_el1               // every CPU arrives here: affinity 0 goes on
    ldr     x2, =0xff00ffffff
    tst     x1, x2
    b.ne    pen
    cbnz    x19, at_el2                 // QEMU leaves the tree at the base of RAM, 2 MiB below
    sub     x19, x21, #0x200000
    b       at_el2

// Every CPU but one waits here, with translation off, until SecondaryBoot names it.
pen:
    and     x1, x1, x2
    adrp    x0, {boot}
    add     x0, x0, :lo12:{boot}
2:  wfe
    ldr     x4, [x0, #{boot_pen}]
    cmp     x4, x1
    b.ne    2b
    b       secondary

// ---- EL1: too low. Translation on in EL1's own registers, then Rust says so.
at_el1:
    msr     daifset, #0xf
    ldr     x1, ={sctlr_el1_off}
    msr     sctlr_el1, x1
    isb
    ldr     x25, ={block_device}         // what the identity map holds beside the image's GiB
    mov     x26, #0                     // AP[1]=0: not EL0's, and so executable at EL1
    bl      boot_tables
    adrp    x0, __boot_tables
    stage1  el1, {tcr_el1}, 32, vmalle1, {sctlr_el1_on}
    ldr     x3, =at_virtual
    br      x3

// ---- EL2.
at_el2:
    msr     daifset, #0xf
    ldr     x1, ={sctlr_el2_off}
    msr     sctlr_el2, x1
    msr     hcr_el2, xzr                // E2H and TGE off before anything is laid down
    isb
    mov     x25, #0                     // the identity map is the image's GiB and no more
    mov     x26, #0x40                  // AP[1] is RES1 at EL2
    bl      boot_tables
    adrp    x0, __boot_tables
    bl      translation_on
    ldr     x3, =at_virtual
    br      x3

// x0 = root table. Uses x1, x2. EL2's stage 1 on, at the identity.
translation_on:
    stage1  el2, {tcr_el2}, 16, alle2, {sctlr_el2_on}
    ret

// x0 = new root. Called at its identity address with translation on; returns to the linked one.
// EL2's map changes under it with translation off; from here on nothing writable is executable.
.global replace_root
replace_root:
    mrs     x1, sctlr_el2
    bic     x2, x1, #1
    dsb     ish                         // the new tables are visible to the walker
    msr     sctlr_el2, x2
    isb
    msr     ttbr0_el2, x0
    isb
    tlbi    alle2
    dsb     nsh
    isb
    orr     x1, x1, #(1 << 19)          // WXN
    msr     sctlr_el2, x1
    isb
    ret

// Fills __boot_tables: L0, identity L1, image L1, image L2. x25: the block for the rest of the
// identity map, or 0; x26: the AP bits. Translation and caches are off: what is written goes to
// memory, and stale lines of a cache that is on elsewhere are dropped afterwards.
boot_tables:
    adrp    x0, __boot_tables
    adrp    x1, __boot_tables_end
    mov     x2, x0
3:  stp     xzr, xzr, [x2], #16
    cmp     x2, x1
    b.lo    3b
    add     x3, x0, #0x1000             // identity L1
    add     x4, x0, #0x2000             // image L1
    add     x5, x0, #0x3000             // image L2
    orr     x6, x3, #3
    lsr     x7, x21, #39                // L0 index of where we run
    str     x6, [x0, x7, lsl #3]
    orr     x6, x4, #3
    str     x6, [x0, #(511 * 8)]        // IMAGE_VA: the last L0 entry, first L1 entry
    orr     x6, x5, #3
    str     x6, [x4]
    cbz     x25, 5f
    mov     x2, #0
4:  orr     x6, x25, x2, lsl #30
    str     x6, [x3, x2, lsl #3]
    add     x2, x2, #1
    cmp     x2, #512
    b.lo    4b
5:  lsr     x7, x21, #30
    lsl     x6, x7, #30
    ldr     x8, ={block_normal}
    orr     x8, x8, x26
    orr     x6, x6, x8
    and     x7, x7, #511
    str     x6, [x3, x7, lsl #3]
    mov     x2, #0
6:  add     x6, x21, x2, lsl #21
    orr     x6, x6, x8
    str     x6, [x5, x2, lsl #3]
    add     x2, x2, #1
    cmp     x2, #8                      // 16 MiB: linker.ld asserts that the image is smaller
    b.lo    6b
    dmb     sy
7:  dc      ivac, x0                    // 64 bytes is the smallest line of any ARMv8-A core here
    add     x0, x0, #64
    cmp     x0, x1
    b.lo    7b
    dsb     sy
    ret

// At the linked address, on the boot stack: zero bss, then Rust.
at_virtual:
    ldr     x0, =__bss_start
    ldr     x1, =__bss_end
8:  .rept   8                           // whole pages
    stp     xzr, xzr, [x0], #16
    .endr
    cmp     x0, x1
    b.lo    8b
    adrp    x1, __boot_stack_top
    mov     sp, x1
    mov     x29, #0
    mov     x30, #0
    mov     x0, x19
    mov     x1, x21
    cmp     x20, #1
    b.eq    10f
    ldr     x2, =vectors
    msr     vbar_el2, x2
    msr     tpidr_el2, xzr
    isb
    mov     x2, x20
    b       kernel_main
10: b       entered_at_el1

// A further pCPU: by PSCI CPU_ON at EL2, or out of the pen.
.global secondary
secondary:
    msr     daifset, #0xf
    ldr     x1, ={sctlr_el2_off}
    msr     sctlr_el2, x1
    msr     hcr_el2, xzr
    isb
    adrp    x0, {boot}
    add     x0, x0, :lo12:{boot}
    ldr     x23, [x0, #{boot_stack}]
    ldr     x24, [x0, #{boot_percpu}]
    ldr     x0, [x0, #{boot_root}]      // this map has the identity of head.rs while CPUs start
    bl      translation_on
    ldr     x3, =secondary_virtual
    br      x3
secondary_virtual:
    mov     sp, x23
    msr     tpidr_el2, x24
    mov     x0, x24
    mov     x29, #0
    mov     x30, #0
    ldr     x2, =vectors
    msr     vbar_el2, x2
    mrs     x2, sctlr_el2
    orr     x2, x2, #(1 << 19)          // WXN
    msr     sctlr_el2, x2
    isb
    b       secondary_main

.ltorg

// ---- EL3's whole monitor: one call, made by EL2 alone (guests' SMCs stop at EL2: HCR_EL2.TSC).
.balign 2048
el3_vectors:
    .rept   8                           // from EL3 itself: nothing runs there
    b       .
    .balign 128
    .endr
    ldr     x3, ={el3_poke}              // 0x400: from EL2, AArch64, synchronous: an SMC
    cmp     x0, x3
    mov     x0, #-1                     // NOT_SUPPORTED
    b.ne    11f
    str     w2, [x1]
    dsb     sy
    mov     x0, #0
11: eret
    .ltorg
    .balign 128
    .rept   7
    b       .
    .balign 128
    .endr
.previous
"#,
    scr_el3 = const SCR_EL3,
    sctlr_el2_off = const SCTLR_EL2_OFF,
    sctlr_el1_off = const SCTLR_EL1_OFF,
    sctlr_el2_on = const SCTLR_EL2_OFF | SCTLR_ON,
    sctlr_el1_on = const SCTLR_EL1_OFF | SCTLR_ON,
    mair = const MAIR,
    tcr_el2 = const TCR_EL2,
    tcr_el1 = const TCR_EL1,
    block_normal = const BLOCK_NORMAL,
    block_device = const BLOCK_DEVICE,
    el3_poke = const EL3_POKE,
    boot = sym super::smp::BOOT,
    boot_root = const offset_of!(SecondaryBoot, root),
    boot_stack = const offset_of!(SecondaryBoot, stack_top),
    boot_percpu = const offset_of!(SecondaryBoot, percpu),
    boot_pen = const offset_of!(SecondaryBoot, pen),
);
