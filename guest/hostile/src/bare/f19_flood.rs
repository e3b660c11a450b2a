//! More interrupts than a CPU interface has list registers: all pending, all active, and then one
//! of lower and one of higher priority. No storm, and the right order.

use guest_rt::vectors::{self, Frame, Kind};
use guest_rt::{arch, gic, mmio, mrs, msr};
use probes::{check, irq};

const FIRST: u32 = 34;
/// As many as every machine here has.
const COUNT: u32 = 28;

/// Drops the priority only: the interrupt stays active (EOImode = 1).
fn drop_priority(_: &mut Frame) -> bool {
    let intid = gic::acknowledge();
    if intid != gic::NONE {
        irq::note(intid);
        gic::end(intid);
    }
    true
}

fn prepare(intid: u32, priority: u8) {
    let register = gic::GICD + gic::ICFGR + intid as usize / 16 * 4;
    if intid >= 32 {
        mmio::write32(register, mmio::read32(register) | 2 << (intid % 16 * 2));
    }
    gic::enable(intid);
    gic::set_priority(intid, priority);
}

fn all() -> impl Iterator<Item = u32> {
    (2..16).chain(FIRST..FIRST + COUNT)
}

fn pend(intid: u32) {
    if intid < 16 { gic::send_sgi(intid, 1) } else { gic::set_bit(gic::ISPENDR, intid) }
}

/// Lets interrupts in until so many came.
fn take(count: usize) -> bool {
    arch::irq_enable();
    let came = irq::wait_for(2000, || irq::count() >= count);
    arch::irq_disable();
    irq::let_in();
    came
}

/// The attack.
pub fn attack() {
    probes::gic::checks();
    let many = all().count();
    vectors::set_handler(Kind::Irq, drop_priority);
    msr!(ICC_CTLR_EL1, 1 << 1);
    arch::isb();
    for round in 0..10 {
        irq::forget();
        all().for_each(|intid| prepare(intid, 0x80));
        all().for_each(pend);
        let came = take(many);
        let once = all().all(|intid| irq::times(intid) == 1);
        check::equal("flood.all-once", (came, once, irq::count()), (true, true, many));
        let active = all().all(|intid| gic::bit(gic::ISACTIVER, intid));
        check::that("flood.all-active", active, "all active");
        // All of them again, while they are active: none comes.
        all().for_each(pend);
        irq::let_in();
        check::equal("flood.active-do-not-come", irq::count(), many);
        // One of lower and one of higher priority, in that order.
        for (intid, priority) in [(0, 0xc0), (1, 0x40)] {
            prepare(intid, priority);
            gic::send_sgi(intid, 1);
        }
        take(many + 2);
        let last = (irq::count(), irq::nth(many), irq::nth(many + 1));
        check::equal("flood.higher-then-lower", last, (many + 2, 1, 0));
        // Ended backwards or forwards: what was pended meanwhile comes then.
        let end = |intid: u32| msr!(ICC_DIR_EL1, u64::from(intid));
        [0, 1].into_iter().for_each(end);
        if round % 2 == 0 {
            all().for_each(end);
        } else {
            (0..16).rev().chain((FIRST..FIRST + COUNT).rev()).for_each(end);
        }
        arch::isb();
        let came = take(2 * many + 2);
        check::equal("flood.again", (came, irq::count()), (true, 2 * many + 2));
        all().for_each(end);
        arch::isb();
    }
    msr!(ICC_CTLR_EL1, 0);
    arch::isb();
    irq::restore_handler();
    for intid in all().chain([0, 1]) {
        gic::disable(intid);
    }
    check::equal("flood.idle", (mrs!(ICC_RPR_EL1), mrs!(ICC_IAR1_EL1)), (0xff, 1023));
}
