//! A noisy neighbour: keeps its CPU busy for `ms=N` (default: for ever), by the kinds of work named
//! in the boot arguments: `plain` computes (the default), `yield` and `wfe` wait in a spin, `hvc`,
//! `sysreg`, `mmio` and `abort` trap as often as they can, `timer` has an interrupt pending always.

use crate::irq;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use guest_rt::{arch, boot, gic, mmio, mrs, psci, timer, vectors};

static END: AtomicU64 = AtomicU64::new(0);

/// The probe.
pub fn run() {
    irq::init();
    let end = boot::number("ms").map_or(u64::MAX, |ms| timer::now() + timer::ms(ms));
    END.store(end, Relaxed);
    if boot::has("timer") {
        irq::hook(|_| {
            if timer::now() >= END.load(Relaxed) {
                timer::disarm();
            }
        });
        gic::enable(timer::VIRTUAL_INTID);
        timer::arm(0);
        arch::irq_enable();
    }
    guest_rt::println!("SPIN start cntvct={}", timer::now());
    let mut rounds = 0_u64;
    while timer::now() < end {
        rounds += 1;
        if boot::has("yield") {
            arch::spin();
        }
        if boot::has("wfe") {
            // SAFETY: hints; the first sets the event, so that the second returns.
            unsafe { asm!("sevl", "wfe") };
        }
        if boot::has("hvc") {
            psci::call(0x8600_ff00, [0; 3]);
        }
        if boot::has("sysreg") {
            mrs!(ID_AA64PFR0_EL1);
        }
        if boot::has("mmio") {
            mmio::read32(gic::GICD_TYPER);
        }
        if boot::has("abort") {
            vectors::expect_fault(|| {
                mmio::read32(0x0b00_0000);
            });
        }
    }
    arch::irq_disable();
    guest_rt::println!("SPIN end cntvct={} rounds={rounds}", timer::now());
}
