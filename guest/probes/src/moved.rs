//! A machine that is moved from CPU to CPU while it counts notices nothing: its counter and the
//! virtual counter only grow, its identity stays, its tick loses nothing, its registers keep.
//!
//! `ms=N` (default 1000): how long.

use crate::state::{Vectors, load_vectors, store_vectors, vector_pattern};
use crate::{check, irq};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, boot, gic, mrs, msr, timer};

static START: AtomicU64 = AtomicU64::new(0);

/// The probe.
pub fn run() {
    irq::init();
    msr!(CPACR_EL1, 3 << 20);
    arch::isb();
    let pattern = vector_pattern(boot::number("seed").unwrap_or(1));
    load_vectors(&pattern);
    gic::enable(timer::VIRTUAL_INTID);
    let period = timer::ms(10);
    irq::hook(|_| {
        let next = START.load(SeqCst) + (irq::count() as u64 + 1) * timer::ms(10);
        msr!(CNTV_CVAL_EL0, next);
        arch::isb();
    });
    let start = timer::now();
    START.store(start, SeqCst);
    timer::arm(start + period);
    arch::irq_enable();

    let length = timer::ms(boot::number("ms").unwrap_or(1000));
    let (mpidr, midr) = (mrs!(MPIDR_EL1), mrs!(MIDR_EL1));
    let (mut last, mut physical) = (start, mrs!(CNTPCT_EL0));
    let (mut count, mut back, mut changed, mut longest) = (0_u64, 0_u64, 0_u64, 0_u64);
    while last - start < length {
        let now = timer::now();
        let now_physical = mrs!(CNTPCT_EL0);
        if now < last || now_physical < physical {
            back += 1;
        }
        longest = longest.max(now.saturating_sub(last));
        (last, physical) = (now.max(last), now_physical.max(physical));
        if mrs!(MPIDR_EL1) != mpidr || mrs!(MIDR_EL1) != midr {
            changed += 1;
        }
        if count.is_multiple_of(64) {
            let mut seen = Vectors([0; 32]);
            store_vectors(&mut seen);
            changed += u64::from(seen != pattern);
        }
        count += 1;
    }
    arch::irq_disable();
    let elapsed = (timer::now() - start) / period;
    timer::disarm();
    guest_rt::println!(
        "MOVE count={count} ticks={} elapsed={elapsed} longest-gap-us={}",
        irq::count(),
        longest * 1_000_000 / timer::frequency()
    );
    check::equal("moved.counter-goes-back", back, 0);
    check::equal("moved.identity-or-registers-change", changed, 0);
    check::within("moved.ticks", irq::count() as u64, elapsed - 1, elapsed + 1);
    check::end();
}
