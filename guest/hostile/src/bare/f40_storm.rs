//! Family 40: timers whose comparators are in the past and that nobody serves, spinning by WFE and
//! YIELD, and traps as fast as they come: each kind of exit, time after time. The neighbour keeps
//! its share, which the test looks at.

use crate::variant;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use guest_rt::vectors::{self, Frame, Kind, expect_fault};
use guest_rt::{arch, gic, mmio, mrs, msr, psci, timer, uart};
use probes::{check, irq};

/// Exits of each kind.
const TIMES: u64 = 1500;
/// Interrupts that are taken and not served.
const UNSERVED: u64 = 300;

static TAKEN: AtomicU64 = AtomicU64::new(0);

/// Acknowledges and ends it, and leaves its cause as it is, so that it comes at once again.
fn unserved(_: &mut Frame) -> bool {
    let intid = gic::acknowledge();
    if intid != gic::NONE {
        gic::end(intid);
    }
    if TAKEN.fetch_add(1, Relaxed) >= UNSERVED {
        msr!(CNTV_CTL_EL0, 0);
        msr!(CNTP_CTL_EL0, 0);
        arch::isb();
    }
    true
}

/// Doesn't even acknowledge it.
fn ignored(_: &mut Frame) -> bool {
    if TAKEN.fetch_add(1, Relaxed) >= UNSERVED {
        msr!(CNTV_CTL_EL0, 0);
        msr!(CNTP_CTL_EL0, 0);
        arch::isb();
    }
    true
}

/// The attack.
pub fn attack() {
    irq::init();
    msr!(CPACR_EL1, 3 << 20);
    gic::enable(timer::VIRTUAL_INTID);
    gic::enable(timer::PHYSICAL_INTID);
    timers();
    spins();
    exits();
}

fn timers() {
    for (how, handler) in [("unserved", unserved as vectors::Handler), ("ignored", ignored)] {
        for (timer, virtual_, physical) in
            [("virtual", true, false), ("physical", false, true), ("both", true, true)]
        {
            for (when, at) in [("zero", 0), ("now", timer::now()), ("tval", 1)] {
                TAKEN.store(0, Relaxed);
                vectors::set_handler(Kind::Irq, handler);
                msr!(CNTV_CVAL_EL0, at);
                msr!(CNTP_CVAL_EL0, at);
                if when == "tval" {
                    msr!(CNTV_TVAL_EL0, 0xffff_0000);
                    msr!(CNTP_TVAL_EL0, 0xffff_0000);
                }
                msr!(CNTV_CTL_EL0, u64::from(virtual_));
                msr!(CNTP_CTL_EL0, u64::from(physical));
                arch::isb();
                arch::irq_enable();
                let all = irq::wait_for(20_000, || TAKEN.load(Relaxed) > UNSERVED);
                arch::irq_disable();
                timer::disarm();
                msr!(CNTP_CTL_EL0, 0);
                check::that(&variant!("storm.{timer}-{how}-{when}"), all, "all of them");
            }
        }
    }
    irq::restore_handler();
    irq::let_in();
    // Pending and masked for good: WFI doesn't wait.
    msr!(CNTV_CVAL_EL0, 0);
    timer::arm(0);
    for _ in 0..TIMES {
        arch::wfi();
    }
    timer::disarm();
    check::passed("storm.wfi-with-one-pending");
    // Pending, and not even enabled in the distributor: it waits for the other.
    gic::disable(timer::VIRTUAL_INTID);
    timer::arm(0);
    for _ in 0..20 {
        msr!(CNTP_TVAL_EL0, timer::frequency() / 10_000);
        msr!(CNTP_CTL_EL0, 1);
        arch::wfi();
    }
    msr!(CNTP_CTL_EL0, 0);
    timer::disarm();
    check::passed("storm.wfi-with-one-disabled");
}

fn spins() {
    let until = |ms: u64, f: fn()| {
        let end = timer::now() + timer::ms(ms);
        while timer::now() < end {
            f();
        }
    };
    // SAFETY: hints, and registers that nothing depends on.
    until(60, || unsafe { asm!("yield") });
    check::passed("storm.yield");
    // SAFETY: as above.
    until(60, || unsafe { asm!("sevl", "wfe", "sev", "wfe") });
    check::passed("storm.wfe");
    // SAFETY: as above; maintenance.
    until(40, || unsafe { asm!("tlbi vmalle1is", "ic ialluis", "dsb ish", "isb") });
    check::passed("storm.tlbi");
    // SAFETY: as above.
    until(50, || unsafe { asm!("nop", "nop", "nop", "nop") });
    check::passed("storm.nop");
}

fn exits() {
    let storm = |name: &str, f: &dyn Fn(u64)| {
        for n in 0..TIMES {
            f(n);
        }
        check::passed(&variant!("storm.{name}"));
    };
    storm("call", &|_| {
        psci::version();
    });
    storm("unknown-call", &|n| {
        psci::call(0xc600_0000 | n as u32 & 0xffff, [n; 3]);
    });
    storm("id", &|_| {
        mrs!(ID_AA64ISAR0_EL1);
    });
    storm("undefined", &|_| {
        expect_fault(|| {
            mrs!(S3_4_C1_C1_0);
        });
    });
    storm("distributor", &|_| {
        mmio::read32(gic::GICD_CTLR);
    });
    storm("distributor-write", &|n| {
        mmio::write32(gic::GICD + gic::IPRIORITYR + 40, n as u32);
    });
    storm("uart", &|_| {
        mmio::read32(uart::FR);
    });
    storm("no-syndrome", &|_| {
        // SAFETY: it reads registers of the UART.
        unsafe {
            asm!("ldp {0:w}, {1:w}, [{2}]", out(reg) _, out(reg) _, in(reg) uart::BASE + 0xff0)
        }
    });
    storm("abort", &|_| {
        expect_fault(|| {
            mmio::read32(0x0b00_0000);
        });
    });
    storm("physical-timer", &|n| {
        msr!(CNTP_CVAL_EL0, !n);
        msr!(CNTP_CTL_EL0, n & 1);
    });
    msr!(CNTP_CTL_EL0, 0);
    gic::enable(1);
    storm("sgi", &|n| {
        gic::send_sgi(1, 1);
        if n % 8 == 0 {
            arch::irq_enable();
            arch::isb();
            arch::irq_disable();
        }
    });
    irq::let_in();
    storm("fp", &|_| {
        // SAFETY: this program is compiled without V registers.
        unsafe { asm!(".arch_extension fp", "fmov d0, xzr") }
    });
    storm("debug", &|n| {
        msr!(MDSCR_EL1, n & 1 << 12);
        msr!(OSLAR_EL1, n & 1);
    });
    msr!(OSLAR_EL1, 0);
    msr!(MDSCR_EL1, 0);
}
