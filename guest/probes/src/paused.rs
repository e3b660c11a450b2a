//! A machine that is paused for a while: its virtual counter stands still meanwhile, and the physical
//! one goes on. By how much they differ, each CPU knows from a read of one between two of the other.
//!
//! Every 50 ms `TICK n=… physical=…` is printed, a key that comes as `KEY …`. The key `q` ends it:
//! `PAUSED low=… high=…` says between which bounds the offset lies now, and for each CPU
//! `GAP<cpu> ticks=…` for how long, by the physical counter, it saw nothing at the most.
//!
//! `wfi`: the CPUs sleep between looks, for 5 ms of virtual time; else they spin. `cycle`: all but
//! the first switch themselves off again and again, and are switched on.

use crate::{check, irq};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, boot, gic, head::MAX_CPUS, mrs, msr, println, psci, smp, timer, uart};

/// AFFINITY_INFO's answer.
const OFF: i64 = 1;
/// Looks between CPU_ON and CPU_OFF.
const LIFE: usize = 20;

static END: AtomicBool = AtomicBool::new(false);
/// The latest virtual count that anyone has read, and how often somebody read an earlier one.
static LATEST: AtomicU64 = AtomicU64::new(0);
static BACK: AtomicU64 = AtomicU64::new(0);
/// How often a timer was early.
static EARLY: AtomicU64 = AtomicU64::new(0);

/// What one CPU has seen.
struct Seen {
    /// Bounds of the offset, at the last look.
    low: AtomicU64,
    high: AtomicU64,
    /// The physical count at the last look, and the longest time between two looks.
    physical: AtomicU64,
    gap: AtomicU64,
    looks: AtomicU64,
}

static SEEN: [Seen; MAX_CPUS] = [const {
    Seen {
        low: AtomicU64::new(0),
        high: AtomicU64::new(0),
        physical: AtomicU64::new(0),
        gap: AtomicU64::new(0),
        looks: AtomicU64::new(0),
    }
}; MAX_CPUS];

fn physical() -> u64 {
    arch::isb();
    mrs!(CNTPCT_EL0)
}

/// Looks at the counters.
fn look(cpu: usize) {
    let latest = LATEST.load(SeqCst);
    let (before, physical, after) = (timer::now(), physical(), timer::now());
    if before < latest || after < before {
        BACK.fetch_add(1, SeqCst);
    }
    LATEST.fetch_max(after, SeqCst);
    let seen = &SEEN[cpu];
    seen.low.store(physical.saturating_sub(after), SeqCst);
    seen.high.store(physical.wrapping_sub(before), SeqCst);
    let last = seen.physical.swap(physical, SeqCst);
    if last != 0 {
        seen.gap.fetch_max(physical.wrapping_sub(last), SeqCst);
    }
    seen.looks.fetch_add(1, SeqCst);
}

/// Lets some time pass.
fn rest() {
    if !boot::has("wfi") {
        return arch::spin();
    }
    let due = timer::now() + timer::ms(5);
    timer::arm(due);
    while mrs!(CNTV_CTL_EL0) & timer::ISTATUS == 0 {
        arch::wfi();
    }
    if timer::now() < due {
        EARLY.fetch_add(1, SeqCst);
    }
    timer::disarm();
}

fn other(cpu: usize) {
    gic::init_cpu();
    gic::enable(timer::VIRTUAL_INTID);
    let lives = if boot::has("cycle") { LIFE } else { usize::MAX };
    for _ in 0..lives {
        look(cpu);
        if END.load(SeqCst) {
            break;
        }
        rest();
    }
}

/// Whether all CPUs but the first are off, or are soon.
fn others_off(cpus: usize) -> bool {
    irq::wait_for(10_000, || (1..cpus).all(|cpu| psci::affinity_info(cpu as u64) == OFF))
}

/// The probe.
pub fn run() {
    irq::init();
    gic::enable(timer::VIRTUAL_INTID);
    msr!(CNTV_CTL_EL0, 0);
    let cpus = boot::cpus().min(MAX_CPUS);
    for cpu in 1..cpus {
        check::equal("paused.on", smp::start(cpu, other), psci::SUCCESS);
    }
    let start = timer::now();
    let mut ticks = 0;
    while !END.load(SeqCst) {
        look(0);
        rest();
        if timer::now() - start < ticks * timer::ms(50) {
            continue;
        }
        println!("TICK n={ticks} physical={}", physical());
        ticks += 1;
        if let Some(key) = uart::get() {
            println!("KEY {}", key as char);
            END.store(key == b'q', SeqCst);
        }
        for cpu in 1..cpus {
            if psci::affinity_info(cpu as u64) == OFF {
                smp::start(cpu, other);
            }
        }
    }
    check::that("paused.all-off", others_off(cpus), "all others off");
    // Who was on its way out at the last pause has not seen it: all look once more.
    look(0);
    for cpu in 1..cpus {
        check::equal("paused.on", smp::start(cpu, other), psci::SUCCESS);
    }
    check::that("paused.all-off", others_off(cpus), "all others off");
    check::equal("paused.never-back", BACK.load(SeqCst), 0);
    check::equal("paused.never-early", EARLY.load(SeqCst), 0);
    let seen = &SEEN[..cpus];
    let low = seen.iter().map(|seen| seen.low.load(SeqCst)).max().unwrap_or(0);
    let high = seen.iter().map(|seen| seen.high.load(SeqCst)).min().unwrap_or(0);
    check::that("paused.same-on-all", low <= high, "one offset for all CPUs");
    println!("PAUSED low={low} high={high}");
    for (cpu, seen) in seen.iter().enumerate() {
        check::that("paused.looked", seen.looks.load(SeqCst) > 1, "two looks at least");
        println!("GAP{cpu} ticks={}", seen.gap.load(SeqCst));
    }
    check::end();
}
