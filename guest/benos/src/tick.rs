//! The clock: an interrupt a hundred times a second.

use core::sync::atomic::{AtomicU64, Ordering};
use guest_rt::{gic, msr, timer};

/// Ticks a second.
pub const HZ: u64 = 100;

static START: AtomicU64 = AtomicU64::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);

/// Counts of the counter from one tick to the next.
fn period() -> u64 {
    timer::frequency() / HZ
}

/// Starts the clock.
pub fn start() {
    let now = timer::now();
    START.store(now, Ordering::Relaxed);
    timer::arm(now + period());
    gic::enable(timer::VIRTUAL_INTID);
}

/// The tick's interrupt: the timer's line stays up until its comparator is moved.
///
/// The next tick is due a period after this one *was due*, not after now. If we are late (the CPU
/// may have been away in another virtual machine) the next ticks follow at once, until all that
/// were due have been counted. So the clock is never slow.
pub fn handle() {
    let ticks = TICKS.load(Ordering::Relaxed) + 1;
    TICKS.store(ticks, Ordering::Relaxed);
    msr!(CNTV_CVAL_EL0, START.load(Ordering::Relaxed) + (ticks + 1) * period());
}

/// Ticks handled so far.
pub fn count() -> u64 {
    TICKS.load(Ordering::Relaxed)
}

/// Ticks that the counter says should have come by now.
pub fn due() -> u64 {
    (timer::now() - START.load(Ordering::Relaxed)) / period()
}
