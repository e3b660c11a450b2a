//! Machines and CPUs that take turns on one CPU, for whoever counts instructions from outside. Each
//! CPU of this guest computes for `ms=N` (default 1000), and never traps by itself but for its first
//! use of FP after each switch, where `fp` stands in the boot arguments: then it uses a register of
//! it all the time. A hint that is a NOP marks the moments: 64 at the beginning, 65 at the end.
//!
//! `at=N` (default 200): begin when the physical counter, which all machines share, has reached N
//! milliseconds; all are asleep until then.
//! `busy=N`: only so many CPUs compute; the others sleep.

use crate::idle;
use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use guest_rt::{arch, boot, gic, head, mrs, msr, println, smp, timer};

/// Milliseconds of computing ahead of the mark.
const WAKE_UP: u64 = 50;
/// CPUs at their end.
static FINISHED: AtomicUsize = AtomicUsize::new(0);

/// The probe.
pub fn run() {
    head::init();
    gic::init_distributor();
    println!("TURNS begin");
    let cpus = boot::cpus();
    let busy = boot::number("busy").map_or(cpus, |n| n as usize).min(cpus);
    for cpu in 1..cpus {
        smp::start(cpu, if cpu < busy { turns } else { idle::sleep });
    }
    turns(0);
    while FINISHED.load(SeqCst) < busy {
        arch::spin();
    }
    println!("TURNS end");
}

fn physical() -> u64 {
    arch::isb();
    mrs!(CNTPCT_EL0)
}

fn turns(_: usize) {
    let fp = boot::has("fp");
    if fp {
        msr!(CPACR_EL1, 3 << 20); // FPEN: nothing traps to EL1
        arch::isb();
    }
    gic::init_cpu();
    gic::enable(timer::VIRTUAL_INTID);
    let begin = timer::ms(boot::number("at").unwrap_or(200));
    while physical() < begin {
        timer::arm(timer::now() + begin - physical());
        arch::wfi();
    }
    timer::disarm();
    // The first turns are those of who wakes up.
    while physical() < begin + timer::ms(WAKE_UP) {}
    let end = begin + timer::ms(boot::number("ms").unwrap_or(1000));
    // SAFETY: a hint.
    unsafe { asm!("hint #64") };
    while physical() < end {
        if fp {
            // SAFETY: the compiler uses no FP registers here: the target has none.
            unsafe { asm!(".arch_extension fp", "fmov d0, #1.0", options(nomem, nostack)) };
        }
    }
    // SAFETY: a hint.
    unsafe { asm!("hint #65") };
    FINISHED.fetch_add(1, SeqCst);
}
