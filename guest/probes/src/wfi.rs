//! WFI: the CPU sleeps until an interrupt is pending, whether it is masked or not; WFE: until an
//! event. EL1 may keep EL0 from both.

use crate::{check, irq, program, user};
use core::arch::asm;
use guest_rt::{arch, gic, mrs, msr, timer, vectors::Kind};

/// SCTLR_EL1.nTWI: WFI at EL0 is not trapped to EL1.
const NTWI: u64 = 1 << 16;
/// SCTLR_EL1.nTWE: the same for WFE.
const NTWE: u64 = 1 << 18;

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    irq::init();
    gic::enable(timer::VIRTUAL_INTID);
    wakes_by_timer();
    wakes_though_masked();
    sleeps();
    wfe();
    at_el0();
}

/// The handler's part: the line falls, so that it comes only once.
fn stop(intid: u32) {
    if intid == timer::VIRTUAL_INTID {
        timer::disarm();
    }
}

fn wakes_by_timer() {
    irq::hook(stop);
    let start = timer::now();
    timer::arm(start + timer::ms(20));
    arch::irq_enable();
    while irq::count() == 0 {
        arch::wfi();
    }
    arch::irq_disable();
    let slept = (timer::now() - start) / timer::ms(1);
    check::within("wfi.timer-wakes-after-20-ms", slept, 20, 1000);
    check::equal("wfi.timer-intid", irq::nth(0), timer::VIRTUAL_INTID);
}

fn wakes_though_masked() {
    irq::forget();
    timer::arm(timer::now() + timer::ms(5));
    let status = || mrs!(CNTV_CTL_EL0) & timer::ISTATUS;
    while status() == 0 {
        arch::wfi();
    }
    check::equal("wfi.masked-not-taken", irq::count(), 0);
    // ISR_EL1.I: an IRQ is pending.
    check::equal("wfi.masked-pending", mrs!(ISR_EL1) >> 7 & 1, 1);
    arch::wfi(); // pending: must not sleep, for nothing else would wake it
    check::passed("wfi.masked-does-not-sleep");
    irq::let_in();
    check::equal("wfi.unmasked-taken", irq::count(), 1);
}

/// A loop of WFIs with a tick of 10 ms for 200 ms: it wakes for each tick, and seldom else.
fn sleeps() {
    irq::forget();
    irq::hook(|_| msr!(CNTV_CVAL_EL0, mrs!(CNTV_CVAL_EL0) + timer::ms(10)));
    let start = timer::now();
    timer::arm(start + timer::ms(10));
    let mut wakes = 0;
    arch::irq_enable();
    while timer::now() - start < timer::ms(200) {
        arch::wfi();
        wakes += 1;
    }
    arch::irq_disable();
    timer::disarm();
    irq::unhook();
    check::within("wfi.ticks-of-200-ms", irq::count() as u64, 19, 21);
    check::within("wfi.wakes-of-200-ms", wakes, 1, 60);
}

fn wfe() {
    // SAFETY: hints. SEVL and SEV set the event register, the WFE behind it clears it.
    unsafe { asm!("sevl", "wfe", "sev", "wfe") };
    check::passed("wfi.wfe-with-event-does-not-sleep");
}

program!(wfi_at_el0: "wfi", "mov x1, #7");

fn at_el0() {
    let sctlr = mrs!(SCTLR_EL1);
    let start = timer::now();
    timer::arm(start + timer::ms(10));
    irq::hook(stop);
    irq::forget();
    let frame = user::run(wfi_at_el0, 0);
    check::equal("wfi.el0-goes-on", (frame.x[1], frame.class()), (7, 0x15));

    // With nTWI = 0 a WFI at EL0 that would sleep is an exception to EL1: EC 1, TI 0.
    msr!(SCTLR_EL1, sctlr & !(NTWI | NTWE));
    arch::isb();
    gic::disable(timer::VIRTUAL_INTID);
    timer::disarm();
    let frame = user::run(wfi_at_el0, 0);
    check::equal("wfi.el0-trapped", frame.esr, 0x07e0_0000);
    check::equal("wfi.el0-trapped-elr", frame.elr, wfi_at_el0 as *const () as u64);
    msr!(SCTLR_EL1, sctlr);
    arch::isb();
    guest_rt::vectors::clear_handler(Kind::Irq);
}
