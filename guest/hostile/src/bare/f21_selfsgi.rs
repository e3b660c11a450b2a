//! Family 21: a CPU sends itself all sixteen SGIs, one by one, all at once, and ever again.

use crate::tools::saw;
use crate::variant;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use guest_rt::{arch, gic, msr};
use probes::{check, irq};

/// Not yet sent from the handler.
static AGAIN: AtomicBool = AtomicBool::new(false);
const ROUNDS: usize = 300;

/// ICC_SGI1R_EL1 for an SGI to this CPU, which has affinity 0.
fn to_self(sgi: u32) -> u64 {
    u64::from(sgi) << 24 | 1
}

fn pending() -> u32 {
    (0..16).filter(|&sgi| gic::bit(gic::ISPENDR, sgi)).map(|sgi| 1 << sgi).sum()
}

/// The attack.
pub fn attack() {
    irq::init();
    for sgi in 0..16 {
        gic::enable(sgi);
    }
    for sgi in 0..16 {
        irq::forget();
        gic::send_sgi(sgi, 1);
        let before = pending();
        irq::let_in();
        let seen = (before, irq::count(), irq::nth(0), pending());
        check::equal(&variant!("selfsgi.one-{sgi}"), seen, (1 << sgi, 1, sgi, 0));
    }
    all();
    while_active();
    nobody();
    for round in 0..ROUNDS {
        for sgi in 0..16 {
            gic::send_sgi(sgi, 1);
        }
        irq::forget();
        arch::irq_enable();
        arch::isb();
        arch::irq_disable();
        if irq::count() != 16 {
            return check::equal("selfsgi.storm", (round, irq::count()), (ROUNDS, 16));
        }
    }
    check::equal("selfsgi.storm", pending(), 0);
}

/// All are pending, each twice; they come once, in the order of their priorities.
fn all() {
    irq::forget();
    for sgi in 0..16 {
        gic::set_priority(sgi, (15 - sgi as u8) * 16);
        gic::send_sgi(sgi, 1);
        gic::send_sgi(sgi, 1);
    }
    check::equal("selfsgi.all-pending", pending(), 0xffff);
    irq::let_in();
    check::equal("selfsgi.all-once", irq::count(), 16);
    let wrong = (0..16).find(|&n| irq::nth(n) != 15 - n as u32);
    check::equal("selfsgi.all-in-order", wrong, None);
}

/// One that is sent while it is active comes once more.
fn while_active() {
    for sgi in 0..16 {
        irq::forget();
        AGAIN.store(true, Relaxed);
        irq::hook(|sgi| {
            if AGAIN.swap(false, Relaxed) {
                gic::send_sgi(sgi, 1);
            }
        });
        gic::send_sgi(sgi, 1);
        irq::let_in();
        irq::unhook();
        check::equal(&variant!("selfsgi.active-{sgi}"), (irq::count(), irq::nth(1)), (2, sgi));
    }
}

/// None for this CPU: other affinities, lists and ranges, all but oneself; and the other groups'.
fn nobody() {
    for (name, value) in [
        ("no-list", 3 << 24),
        ("others-in-list", 3 << 24 | 0xfffe),
        ("aff1", to_self(3) | 1 << 16),
        ("aff2", to_self(3) | 1 << 32),
        ("aff3", to_self(3) | 1 << 48),
        ("range", to_self(3) | 1 << 44),
        ("last-range", to_self(3) | 15 << 44),
        ("all-but-self", to_self(3) | 1 << 40),
        ("reserved-bits", to_self(3) | 0xff << 56 | 7 << 41 | 0xf << 28),
    ] {
        irq::forget();
        msr!(ICC_SGI1R_EL1, value);
        arch::isb();
        irq::let_in();
        saw(&variant!("selfsgi.{name}"), irq::count());
    }
    irq::forget();
    msr!(S3_0_C12_C11_7, to_self(4)); // ICC_SGI0R_EL1
    arch::isb();
    irq::let_in();
    saw("selfsgi.sgi0r", irq::count());
    irq::forget();
    msr!(S3_0_C12_C11_6, to_self(5)); // ICC_ASGI1R_EL1
    arch::isb();
    irq::let_in();
    saw("selfsgi.asgi1r", irq::count());
}
