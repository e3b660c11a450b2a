//! WFI that must not sleep, since an interrupt is pending though masked, and WFI that must: the
//! pCPU is free meanwhile. (`SLEEPS` and `WOKE`: in between the neighbour has it for itself.)

use guest_rt::{arch, boot, gic, mrs, msr, println, psci, smp, timer};
use probes::{check, irq, wfi};

/// How long it sleeps with nothing that could wake it but its sibling, in milliseconds.
const LONG: u64 = 450;

/// The attack.
pub fn attack() {
    if boot::has("counted") {
        wfi::checks();
    }
    irq::restore_handler();
    pending();
    not_signalled();
    if boot::cpus() > 1 {
        nothing_armed();
    }
}

/// 5,000 times WFI with an interrupt pending: none of them may sleep, for nobody would wake it.
fn pending() {
    gic::enable(timer::VIRTUAL_INTID);
    timer::arm(timer::now());
    for _ in 0..5000 {
        arch::wfi();
    }
    timer::disarm();
    gic::disable(timer::VIRTUAL_INTID);
    check::passed("sleep.timer-pending-masked");
    for sgi in [0, 15] {
        gic::enable(sgi);
        gic::send_sgi(sgi, 1);
        (0..100).for_each(|_| arch::wfi());
        gic::set_bit(gic::ICPENDR, sgi);
        gic::disable(sgi);
    }
    check::passed("sleep.sgi-pending-masked");
    gic::enable(40);
    gic::set_bit(gic::ISPENDR, 40);
    (0..100).for_each(|_| arch::wfi());
    gic::set_bit(gic::ICPENDR, 40);
    gic::disable(40);
    check::passed("sleep.spi-pending-masked");
}

/// Pending, but not signalled to the CPU: disabled, or not of enough priority. It sleeps until the
/// timer, whose priority is higher.
fn not_signalled() {
    gic::enable(timer::VIRTUAL_INTID);
    gic::set_priority(timer::VIRTUAL_INTID, 0x10);
    let sleep = |name: &str| {
        let start = timer::now();
        timer::arm(start + timer::ms(20));
        while mrs!(ISR_EL1) >> 7 & 1 == 0 {
            arch::wfi();
        }
        let slept = timer::now() - start;
        timer::disarm();
        check::that(name, slept >= timer::ms(20), "sleep until the timer");
    };
    gic::set_bit(gic::ISPENDR, 3);
    sleep("sleep.disabled-does-not-wake");
    gic::enable(3);
    gic::set_priority(3, 0xa0);
    msr!(ICC_PMR_EL1, 0x20);
    arch::isb();
    sleep("sleep.masked-by-priority-does-not-wake");
    msr!(ICC_PMR_EL1, 0xff);
    arch::isb();
    gic::set_bit(gic::ICPENDR, 3);
    gic::disable(3);
    gic::disable(timer::VIRTUAL_INTID);
}

/// Everything off, for as long as the sibling sleeps by its own timer.
fn nothing_armed() {
    gic::enable(1);
    check::equal("sleep.sibling", smp::start(1, wake_later), psci::SUCCESS);
    println!("SLEEPS");
    let start = timer::now();
    while mrs!(ISR_EL1) >> 7 & 1 == 0 {
        arch::wfi();
    }
    let slept = timer::now() - start;
    println!("WOKE");
    check::that(
        "sleep.nothing-armed",
        slept >= timer::ms(LONG),
        "sleep until the sibling wakes it",
    );
    gic::set_bit(gic::ICPENDR, 1);
    gic::disable(1);
}

fn wake_later(_: usize) {
    gic::init_cpu();
    gic::enable(timer::VIRTUAL_INTID);
    timer::arm(timer::now() + timer::ms(LONG + 10));
    while mrs!(CNTV_CTL_EL0) & timer::ISTATUS == 0 {
        arch::wfi();
    }
    timer::disarm();
    gic::send_sgi(1, 1);
}
