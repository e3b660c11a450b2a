//! An interrupt that is taken and not ended for long: no second one comes meanwhile, and after its
//! end the next one does. If a hypervisor runs others meanwhile, theirs must come all the same.
//!
//! `ms=N` (default 100): how long. `rounds=N` (default 5).

use crate::{check, irq};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_rt::vectors::{self, Frame, Kind};
use guest_rt::{arch, boot, gic, msr, timer};

static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Takes the tick, arms the next one, and does not end it.
fn take(_: &mut Frame) -> bool {
    let intid = gic::acknowledge();
    if intid == timer::VIRTUAL_INTID {
        TAKEN.fetch_add(1, SeqCst);
        msr!(CNTV_CVAL_EL0, timer::now() + timer::ms(5));
        arch::isb();
    }
    true
}

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    irq::init();
    vectors::set_handler(Kind::Irq, take);
    gic::enable(timer::VIRTUAL_INTID);
    let hold = boot::number("ms").unwrap_or(100);
    timer::arm(timer::now() + timer::ms(5));
    for round in 1..=boot::number("rounds").unwrap_or(5) {
        arch::irq_enable();
        let came = irq::wait_for(2000, || TAKEN.load(SeqCst) == round);
        check::that("uneoi.tick-comes", came, "a tick");
        timer::delay_ms(hold); // IRQs unmasked, the tick active, the next one due
        arch::irq_disable();
        check::equal("uneoi.no-second-one", TAKEN.load(SeqCst), round);
        check::that("uneoi.active", gic::bit(gic::ISACTIVER, timer::VIRTUAL_INTID), "active");
        // Asleep as well: a WFI while it is active, woken by something else.
        gic::enable(9);
        gic::set_priority(9, 0x40); // more urgent than the tick, or it could not wake anybody
        gic::send_sgi(9, 1);
        arch::wfi();
        gic::set_bit(gic::ICPENDR, 9);
        gic::end(timer::VIRTUAL_INTID);
    }
    timer::disarm();
}
