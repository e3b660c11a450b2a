//! WFI, and what is to end it comes at the worst moment: as the CPU goes to sleep. A wake-up that
//! is lost is a CPU that sleeps for ever.

use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, boot, gic, mrs, msr, psci, smp, timer};
use probes::{check, irq};

/// The attack.
pub fn attack() {
    if boot::has("counted") {
        probes::timer::checks();
    }
    irq::restore_handler();
    gic::enable(timer::VIRTUAL_INTID);
    gic::enable(timer::PHYSICAL_INTID);
    let step = (timer::frequency() / 2_000_000).max(1);
    // From due already to due a hundred microseconds from now.
    for n in 0..400_u64 {
        let due = timer::now() + n % 200 * step;
        timer::arm(due);
        while mrs!(ISR_EL1) >> 7 & 1 == 0 {
            arch::wfi();
        }
        timer::disarm();
    }
    check::passed("wake.virtual-timer");
    for n in 0..400_u64 {
        msr!(CNTP_CVAL_EL0, mrs!(CNTPCT_EL0) + n % 200 * step);
        msr!(CNTP_CTL_EL0, timer::ENABLE);
        arch::isb();
        while mrs!(ISR_EL1) >> 7 & 1 == 0 {
            arch::wfi();
        }
        msr!(CNTP_CTL_EL0, 0);
        arch::isb();
    }
    check::passed("wake.physical-timer");
    // Both at once, and a comparator that has long passed.
    for n in 0..100_u64 {
        let due = timer::now() + n * step;
        msr!(CNTP_CVAL_EL0, if n % 3 == 0 { 0 } else { due });
        msr!(CNTP_CTL_EL0, timer::ENABLE);
        timer::arm(due + n % 5);
        while mrs!(ISR_EL1) >> 7 & 1 == 0 {
            arch::wfi();
        }
        timer::disarm();
        msr!(CNTP_CTL_EL0, 0);
        arch::isb();
    }
    check::passed("wake.both-timers");
    gic::disable(timer::VIRTUAL_INTID);
    gic::disable(timer::PHYSICAL_INTID);
    if boot::cpus() > 1 {
        ping_pong();
    }
}

static BALL: AtomicU64 = AtomicU64::new(0);
const ROUNDS: u64 = 600;

/// Sleeps until the ball is here: looks, with interrupts masked, and then waits for one.
fn wait(for_ball: u64) {
    while BALL.load(SeqCst) < for_ball {
        arch::wfi();
        gic::set_bit(gic::ICPENDR, 1);
        arch::dsb();
    }
}

fn pass(ball: u64, to: u16) {
    BALL.store(ball, SeqCst);
    gic::send_sgi(1, to);
}

fn sibling(_: usize) {
    gic::init_cpu();
    gic::enable(1);
    for round in 0..ROUNDS {
        wait(2 * round + 1);
        pass(2 * round + 2, 0b01);
    }
}

fn ping_pong() {
    gic::enable(1);
    check::equal("wake.sibling", smp::start(1, sibling), psci::SUCCESS);
    for round in 0..ROUNDS {
        pass(2 * round + 1, 0b10);
        wait(2 * round + 2);
    }
    check::equal("wake.ping-pong", BALL.load(SeqCst), 2 * ROUNDS);
    gic::set_bit(gic::ICPENDR, 1);
    gic::disable(1);
}
