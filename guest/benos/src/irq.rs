//! Interrupts: one handler for all, which asks the GIC what it is about.

use crate::{cpus, input, sched, tick};
use guest_rt::{gic, timer, uart, vectors};
use vectors::{Frame, Kind};

/// Makes [`handle`] the handler of IRQs.
pub fn init() {
    vectors::set_handler(Kind::Irq, handle);
}

/// Called by the vector with the interrupted state saved in `frame`, IRQs masked.
fn handle(_frame: &mut Frame) -> bool {
    // Taking the interrupt makes it active: it cannot come again until we end it.
    let intid = gic::acknowledge();
    if intid == gic::NONE {
        return true; // withdrawn meanwhile
    }
    match intid {
        timer::VIRTUAL_INTID => tick::handle(),
        uart::INTID => input::handle(),
        cpus::PING => cpus::handle_ping(),
        _ => guest_rt::println!("unexpected interrupt {intid}"),
    }
    gic::end(intid);

    // The interrupt is over for the GIC. Only now may another thread be switched to: it might not
    // come back here for long. What was interrupted stays on this thread's stack.
    if intid == timer::VIRTUAL_INTID {
        sched::preempt();
    }
    true
}
