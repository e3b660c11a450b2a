//! The generic timer: its three views, virtual and physical, and a clock that loses no tick.

use crate::{check, irq, program, user};
use core::sync::atomic::{AtomicU64, Ordering};
use guest_rt::timer::{ENABLE, IMASK, ISTATUS, PHYSICAL_INTID, VIRTUAL_INTID, ms};
use guest_rt::{arch, boot, gic, mrs, msr, timer};

macro_rules! checks {
    ($kind:literal, $intid:expr, $ctl:ident, $cval:ident, $tval:ident, $count:ident) => {{
        let now = || {
            arch::isb();
            mrs!($count)
        };
        let arm = |cval: u64, ctl: u64| {
            msr!($cval, cval);
            msr!($ctl, ctl);
            arch::isb();
        };
        irq::hook(|_| {
            msr!($ctl, 0);
            arch::isb();
        });
        gic::enable($intid);

        // A comparator in the past: due at once.
        irq::forget();
        arm(now().saturating_sub(ms(1)), ENABLE);
        check::equal(concat!($kind, ".past-istatus"), mrs!($ctl) & 7, ENABLE | ISTATUS);
        irq::let_in();
        check::equal(concat!($kind, ".past-comes"), (irq::count(), irq::nth(0)), (1, $intid));
        irq::forget();
        arm(0, ENABLE);
        irq::let_in();
        check::equal(concat!($kind, ".zero-comes"), irq::count(), 1);

        // In the future: not before its time. TVAL is the distance, signed.
        irq::forget();
        let due = now() + ms(20);
        arm(due, ENABLE);
        let left = mrs!($tval) as u32 as i32 as i64;
        check::within(concat!($kind, ".tval-reads-distance"), left.max(0) as u64, 1, ms(20));
        check::equal(concat!($kind, ".future-istatus"), mrs!($ctl) & ISTATUS, 0);
        arch::irq_enable();
        let came = irq::wait_for(1000, || irq::count() == 1);
        let at = now();
        arch::irq_disable();
        check::that(concat!($kind, ".future-comes"), came && at >= due, "an interrupt, not early");

        // By TVAL: CVAL follows.
        let before = now();
        msr!($tval, ms(10));
        let cval = mrs!($cval);
        check::within(concat!($kind, ".tval-sets-cval"), cval, before + ms(10), now() + ms(10));
        msr!($tval, -1_i32 as u32 as u64);
        check::that(concat!($kind, ".tval-negative"), mrs!($cval) <= now(), "a CVAL in the past");
        irq::forget();
        msr!($ctl, ENABLE);
        irq::let_in();
        check::equal(concat!($kind, ".tval-negative-comes"), irq::count(), 1);

        // Masked: the status shows, the interrupt does not come, until unmasked.
        irq::forget();
        arm(now(), ENABLE | IMASK);
        irq::let_in();
        check::equal(concat!($kind, ".masked-status"), mrs!($ctl) & 7, ENABLE | IMASK | ISTATUS);
        check::equal(concat!($kind, ".masked-does-not-come"), irq::count(), 0);
        msr!($ctl, ENABLE);
        irq::let_in();
        check::equal(concat!($kind, ".unmasked-comes"), irq::count(), 1);

        // Disabled, or never due.
        irq::forget();
        arm(now(), 0);
        irq::let_in();
        arm(u64::MAX, ENABLE);
        irq::let_in();
        check::equal(concat!($kind, ".off-or-never"), irq::count(), 0);
        check::equal(concat!($kind, ".cval-kept"), mrs!($cval), u64::MAX);

        // The line is a level: while the condition holds the interrupt comes again after its end.
        irq::forget();
        irq::hook(|_| {
            if irq::count() == 5 {
                msr!($ctl, 0);
                arch::isb();
            }
        });
        arm(now(), ENABLE);
        irq::let_in();
        irq::wait_for(100, || {
            irq::let_in();
            irq::count() >= 5
        });
        check::equal(concat!($kind, ".level-comes-again"), irq::count(), 5);

        // It falls when the comparator moves, before anybody took it. (A hypervisor that has put
        // the interrupt into a list register isn't told: it finds out when it is next asked.)
        irq::forget();
        arm(now(), ENABLE);
        check::that(concat!($kind, ".pending"), gic::bit(gic::ISPENDR, $intid), "pending");
        arm(now() + ms(60_000), ENABLE);
        check::that(concat!($kind, ".moved"), !gic::bit(gic::ISPENDR, $intid), "not pending");
        irq::let_in();
        check::equal(concat!($kind, ".withdrawn"), irq::count(), 0);
        // And a WFI sleeps until the later time.
        arm(now(), ENABLE);
        gic::bit(gic::ISPENDR, $intid);
        let due = now() + ms(5);
        arm(due, ENABLE);
        gic::bit(gic::ISPENDR, $intid);
        arch::wfi();
        check::that(concat!($kind, ".moved-sleeps"), now() >= due, "a WFI until it is due");
        msr!($ctl, 0);
        arch::isb();
        gic::disable($intid);
        irq::unhook();
    }};
}

/// The probe. `ticks=N` (default 200) is the length of the last part, in ticks of 10 ms.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    irq::init();
    let (first, second) = (timer::now(), timer::now());
    check::that("timer.counter-runs", second >= first, "a counter that never goes back");
    let physical = mrs!(CNTPCT_EL0);
    check::that("timer.physical-not-behind", physical >= first, "CNTPCT >= CNTVCT");
    checks!("virtual", VIRTUAL_INTID, CNTV_CTL_EL0, CNTV_CVAL_EL0, CNTV_TVAL_EL0, CNTVCT_EL0);
    checks!("physical", PHYSICAL_INTID, CNTP_CTL_EL0, CNTP_CVAL_EL0, CNTP_TVAL_EL0, CNTPCT_EL0);
    both();
    el0();
    ticks(boot::number("ticks").unwrap_or(200));
}

/// Both timers at the same time.
fn both() {
    irq::forget();
    irq::hook(|intid| {
        match intid {
            VIRTUAL_INTID => msr!(CNTV_CTL_EL0, 0),
            _ => msr!(CNTP_CTL_EL0, 0),
        }
        arch::isb();
    });
    gic::enable(VIRTUAL_INTID);
    gic::enable(PHYSICAL_INTID);
    msr!(CNTP_CVAL_EL0, mrs!(CNTPCT_EL0) + ms(5));
    msr!(CNTP_CTL_EL0, ENABLE);
    timer::arm(timer::now() + ms(5));
    arch::irq_enable();
    irq::wait_for(1000, || irq::count() >= 2);
    timer::delay_ms(2);
    arch::irq_disable();
    let seen = (irq::count(), irq::times(VIRTUAL_INTID), irq::times(PHYSICAL_INTID));
    check::equal("timer.both", seen, (2, 1, 1));
    irq::unhook();
    gic::disable(PHYSICAL_INTID);
}

program!(read_counter: "mrs x1, CNTVCT_EL0", "mrs x2, CNTFRQ_EL0");
program!(read_physical: "mrs x1, CNTPCT_EL0");
program!(read_timer: "mrs x1, CNTV_CTL_EL0");

/// CNTKCTL_EL1 says what EL0 may read.
fn el0() {
    msr!(CNTKCTL_EL1, 0);
    arch::isb();
    // EC 0x18: a trapped system register.
    check::equal("timer.el0-counter-trapped", user::run(read_counter, 0).class(), 0x18);
    check::equal("timer.el0-physical-trapped", user::run(read_physical, 0).class(), 0x18);
    check::equal("timer.el0-timer-trapped", user::run(read_timer, 0).class(), 0x18);
    msr!(CNTKCTL_EL1, 1 << 0 | 1 << 1 | 1 << 8 | 1 << 9);
    arch::isb();
    let frame = user::run(read_counter, 0);
    check::equal("timer.el0-frequency", (frame.class(), frame.x[2]), (0x15, timer::frequency()));
    check::that("timer.el0-counter", frame.x[1] <= timer::now(), "the virtual counter");
    check::equal("timer.el0-physical", user::run(read_physical, 0).class(), 0x15);
    check::equal("timer.el0-timer", user::run(read_timer, 0).class(), 0x15);
    msr!(CNTKCTL_EL1, 0);
    arch::isb();
}

static START: AtomicU64 = AtomicU64::new(0);

/// A clock of 100 Hz: after some time as many ticks were handled as periods have passed.
fn ticks(wanted: u64) {
    let period = ms(10);
    irq::forget();
    irq::hook(|_| {
        let next = START.load(Ordering::Relaxed) + (irq::count() as u64 + 1) * ms(10);
        msr!(CNTV_CVAL_EL0, next);
        arch::isb();
    });
    let start = timer::now();
    START.store(start, Ordering::Relaxed);
    timer::arm(start + period);
    arch::irq_enable();
    while (timer::now() - start) / period < wanted {
        if mrs!(CNTVCT_EL0) >> 20 & 1 == 0 {
            arch::wfi(); // some of the time asleep, some of it busy
        }
    }
    arch::irq_disable();
    let elapsed = (timer::now() - start) / period;
    timer::disarm();
    let handled = irq::count() as u64;
    guest_rt::println!("INFO timer.ticks handled={handled} elapsed={elapsed}");
    check::within("timer.ticks", handled, elapsed - 1, elapsed + 1);
    irq::unhook();
}
