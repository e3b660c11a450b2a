//! CPU_ON of one target, raced by all others: exactly one SUCCESS, and ALREADY_ON or ON_PENDING
//! for the rest; also where the target goes off again at once.

use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::SeqCst};
use guest_rt::{boot, psci, smp, timer};
use probes::{check, irq};

/// Answers SUCCESS, ALREADY_ON, ON_PENDING, and others.
static ANSWERS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static STARTS: AtomicU64 = AtomicU64::new(0);
static READY: AtomicUsize = AtomicUsize::new(0);
/// Starts that are to succeed, each after the target has gone off by itself.
const WANTED: u64 = 20;

fn target(_: usize) {
    STARTS.fetch_add(1, SeqCst);
}

fn try_all(_: usize) {
    READY.fetch_add(1, SeqCst);
    irq::wait_for(10_000, || READY.load(SeqCst) >= boot::cpus() - 1);
    let start = timer::now();
    while ANSWERS[0].load(SeqCst) < WANTED && timer::now() - start < timer::ms(30_000) {
        let answer = match smp::start(boot::cpus() - 1, target) {
            psci::SUCCESS => 0,
            psci::ALREADY_ON => 1,
            psci::ON_PENDING => 2,
            _ => 3,
        };
        ANSWERS[answer].fetch_add(1, SeqCst);
    }
}

/// The attack.
pub fn attack() {
    probes::smp::checks();
    let last = boot::cpus() - 1;
    for cpu in 1..last {
        check::equal("cpuon.racer", smp::start(cpu, try_all), psci::SUCCESS);
    }
    try_all(0);
    let off = |cpu: usize| psci::affinity_info(cpu as u64) == 1;
    let all = irq::wait_for(30_000, || (1..=last).all(off));
    check::that("cpuon.all-off", all, "all others off");
    let [success, on, pending, other] = ANSWERS.each_ref().map(|count| count.load(SeqCst));
    guest_rt::println!("INFO cpuon success={success} already-on={on} on-pending={pending}");
    check::equal("cpuon.starts", STARTS.load(SeqCst), success);
    check::that("cpuon.enough-succeed", success >= WANTED, "twenty starts");
    check::equal("cpuon.no-other-answer", other, 0);
}
