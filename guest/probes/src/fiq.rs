//! FIQ: an interrupt of Group 0. With one security state (GICD_CTLR.DS = 1) both groups are EL1's.

use crate::{check, irq};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};
use guest_rt::vectors::{self, Frame, Kind};
use guest_rt::{arch, gic, mmio, mrs, msr, timer};

const SGI: u32 = 5;
static FIQS: AtomicU32 = AtomicU32::new(0);
static LAST: AtomicU32 = AtomicU32::new(0);

fn handle(_: &mut Frame) -> bool {
    let intid = mrs!(ICC_IAR0_EL1);
    FIQS.fetch_add(1, Ordering::Relaxed);
    LAST.store(intid as u32, Ordering::Relaxed);
    if intid as u32 == timer::VIRTUAL_INTID {
        timer::disarm();
    }
    msr!(ICC_EOIR0_EL1, intid);
    arch::isb();
    true
}

fn unmask() {
    // SAFETY: a handler is there.
    unsafe { asm!("msr DAIFClr, #1") };
    timer::delay_ms(2);
    // SAFETY: masks again.
    unsafe { asm!("msr DAIFSet, #1") };
}

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    irq::init();
    vectors::set_handler(Kind::Fiq, handle);
    check::equal("fiq.one-security-state", mmio::read32(gic::GICD_CTLR) >> 6 & 1, 1);
    msr!(ICC_IGRPEN0_EL1, 1);
    arch::isb();
    let groups = gic::redistributor() + gic::SGI_FRAME + gic::IGROUPR;
    mmio::write32(groups, !(1 << SGI | 1 << timer::VIRTUAL_INTID));
    gic::enable(SGI);

    // A Group 0 SGI to this CPU: pending as FIQ, not as IRQ.
    msr!(ICC_SGI0R_EL1, u64::from(SGI) << 24 | 1);
    arch::isb();
    timer::delay_ms(1);
    check::equal("fiq.pending", mrs!(ISR_EL1) >> 6 & 0b111, 0b001);
    irq::let_in();
    check::equal("fiq.not-as-irq", irq::count(), 0);
    unmask();
    check::equal(
        "fiq.taken",
        (FIQS.load(Ordering::Relaxed), LAST.load(Ordering::Relaxed)),
        (1, SGI),
    );

    // A Group 1 SGI command may reach an interrupt of Group 0 where there is one Security state:
    // the GIC architecture and KVM let it, QEMU 7.2 does not. As an FIQ, if at all.
    gic::send_sgi(SGI, 1);
    unmask();
    irq::let_in();
    let before = FIQS.load(Ordering::Relaxed);
    check::that("fiq.sgi1r-at-most-once", before <= 2, "one FIQ more at most");
    check::equal("fiq.sgi1r-raises-nothing", irq::count(), 0);

    // The timer as Group 0.
    gic::enable(timer::VIRTUAL_INTID);
    timer::arm(timer::now() + timer::ms(2));
    timer::delay_ms(4);
    unmask();
    check::equal(
        "fiq.timer",
        (FIQS.load(Ordering::Relaxed), LAST.load(Ordering::Relaxed)),
        (before + 1, timer::VIRTUAL_INTID),
    );
    check::equal("fiq.spurious", mrs!(ICC_IAR0_EL1), 1023);
}
