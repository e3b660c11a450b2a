//! A quiet neighbour: sleeps for `ms=N` (default 1000) with a tick of `tick=N` ms (default: none
//! but the one at the end), and then prints how often it woke.

use crate::{check, irq};
use guest_rt::{arch, boot, gic, msr, timer};

/// The probe.
pub fn run() {
    irq::init();
    gic::enable(timer::VIRTUAL_INTID);
    let start = timer::now();
    let length = timer::ms(boot::number("ms").unwrap_or(1000));
    let tick = boot::number("tick").map_or(length, timer::ms).min(length);
    irq::hook(|_| {
        let tick = boot::number("tick").map_or(u64::MAX, timer::ms);
        let ms = timer::ms(boot::number("ms").unwrap_or(1000));
        msr!(CNTV_CVAL_EL0, timer::now() + tick.min(ms));
        arch::isb();
    });
    timer::arm(start + tick);
    arch::irq_enable();
    let mut wakes = 0_u64;
    while timer::now() - start < length {
        arch::wfi();
        wakes += 1;
    }
    arch::irq_disable();
    timer::disarm();
    let slept = (timer::now() - start) / timer::ms(1);
    guest_rt::println!("IDLE ms={slept} wakes={wakes} interrupts={}", irq::count());
    check::within("idle.wakes", wakes, 1, 2 * irq::count() as u64 + 10);
    check::end();
}

/// What a CPU can be started on to sleep for good.
pub fn sleep(_: usize) {
    loop {
        arch::wfi();
    }
}
