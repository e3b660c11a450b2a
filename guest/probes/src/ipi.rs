//! An interrupt from CPU 0 to CPU 1, for whoever counts instructions from outside: hints that are
//! NOPs mark the moments.
//!
//! | hint | where |
//! |---|---|
//! | 64 | CPU 0 is about to write to ICC_SGI1R_EL1 |
//! | 65 | its next instruction |
//! | 66 | the first instruction of CPU 1's interrupt vector |
//!
//! CPU 1 spins, or sleeps with `wfi`. `n=N` (default 1000): how often. It prints `IPI end` and how
//! many interrupts were taken.

use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, boot, gic, head, msr, println, smp, timer};

const SGI: u32 = 1;
/// Ticks between one interrupt and the next: CPU 1 is asleep again by then.
const PAUSE: u64 = 500;

/// Interrupts that CPU 1 has taken.
static TAKEN: AtomicU64 = AtomicU64::new(0);
static READY: AtomicU64 = AtomicU64::new(0);

global_asm!(
    r#"
    .section .vectors, "ax"
    .balign 2048
ipi_vectors:
    .rept 5                         // EL1t, and EL1h's synchronous
    .balign 128
    b       ipi_unexpected
    .endr
    .balign 128                     // EL1h, IRQ
    hint    #66
    stp     x0, x1, [sp, #-16]!
    mrs     x0, ICC_IAR1_EL1
    msr     ICC_EOIR1_EL1, x0
    adrp    x0, {taken}
    add     x0, x0, :lo12:{taken}
    ldr     x1, [x0]
    add     x1, x1, #1
    stlr    x1, [x0]
    ldp     x0, x1, [sp], #16
    eret
    .balign 2048
ipi_unexpected:
    adrp    x16, vectors
    add     x16, x16, :lo12:vectors
    msr     VBAR_EL1, x16
    isb
    brk     #1
    "#,
    taken = sym TAKEN,
);

unsafe extern "C" {
    #[link_name = "ipi_vectors"]
    static IPI_VECTORS: u8;
}

/// The probe.
pub fn run() {
    head::init();
    gic::init_distributor();
    gic::init_cpu();
    smp::start(1, receive);
    while READY.load(SeqCst) == 0 {
        arch::spin();
    }
    pause();
    for _ in 0..boot::number("n").unwrap_or(1000) {
        let before = TAKEN.load(SeqCst);
        let to_cpu_1 = u64::from(SGI) << 24 | 1 << 1;
        // SAFETY: sends an interrupt, which CPU 1 expects; the hints do nothing.
        unsafe { asm!("hint #64", "msr ICC_SGI1R_EL1, {}", "hint #65", in(reg) to_cpu_1) };
        while TAKEN.load(SeqCst) == before {
            arch::spin();
        }
        pause();
    }
    println!("IPI end taken={}", TAKEN.load(SeqCst));
}

fn pause() {
    let start = timer::now();
    while timer::now() - start < PAUSE {
        arch::spin();
    }
}

fn receive(_: usize) {
    gic::init_cpu();
    gic::enable(SGI);
    msr!(VBAR_EL1, (&raw const IPI_VECTORS) as u64);
    arch::isb();
    arch::irq_enable();
    let sleeps = boot::has("wfi");
    READY.store(1, SeqCst);
    loop {
        if sleeps {
            arch::wfi();
        } else {
            arch::spin();
        }
    }
}
