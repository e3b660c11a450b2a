//! Counting, to see how much of a CPU one gets: every CPU counts for the same time and prints
//! `COUNT cpu=… count=… start=… end=…`, times in ticks of the virtual counter.
//!
//! `ms=N` (default 1000): how long. `at=N`: start when the physical counter, which all machines
//! share, has reached N milliseconds, so that several machines count in the same window. `cpus=N`:
//! use only so many.

use crate::{check, irq};
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, boot, gic, head::MAX_CPUS, mrs, psci, smp, timer};

static COUNTS: [[AtomicU64; 3]; MAX_CPUS] = [const { [const { AtomicU64::new(0) }; 3] }; MAX_CPUS];
static FINISHED: AtomicU64 = AtomicU64::new(0);
/// When to begin and end, by the physical counter.
static WINDOW: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

fn physical() -> u64 {
    arch::isb();
    mrs!(CNTPCT_EL0)
}

fn count(cpu: usize) {
    let [begin, end] = [WINDOW[0].load(SeqCst), WINDOW[1].load(SeqCst)];
    while physical() < begin {
        timer::arm(timer::now() + (begin - physical()).min(timer::ms(1)));
        arch::wfi();
    }
    timer::disarm();
    let start = timer::now();
    let mut count = 0_u64;
    while physical() < end {
        count += 1;
    }
    let [a, b, c] = &COUNTS[cpu];
    a.store(count, SeqCst);
    b.store(start, SeqCst);
    c.store(timer::now(), SeqCst);
    FINISHED.fetch_add(1, SeqCst);
}

fn other(cpu: usize) {
    gic::init_cpu();
    gic::enable(timer::VIRTUAL_INTID);
    count(cpu);
}

/// The probe.
pub fn run() {
    irq::init();
    gic::enable(timer::VIRTUAL_INTID);
    let cpus = boot::number("cpus").map_or(boot::cpus(), |n| n as usize).clamp(1, MAX_CPUS);
    let begin = boot::number("at").map_or(physical(), timer::ms);
    check::that("count.in-time", physical() <= begin + timer::ms(1), "a start not after at=");
    WINDOW[0].store(begin, SeqCst);
    WINDOW[1].store(begin + timer::ms(boot::number("ms").unwrap_or(1000)), SeqCst);
    for cpu in 1..cpus {
        check::equal("count.on", smp::start(cpu, other), psci::SUCCESS);
    }
    count(0);
    irq::wait_for(60_000, || FINISHED.load(SeqCst) == cpus as u64);
    for (cpu, [count, start, end]) in COUNTS.iter().enumerate().take(cpus) {
        let [count, start, end] = [count, start, end].map(|n| n.load(SeqCst));
        guest_rt::println!("COUNT cpu={cpu} count={count} start={start} end={end}");
    }
    check::equal("count.finished", FINISHED.load(SeqCst), cpus as u64);
    check::end();
}
