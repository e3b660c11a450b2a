//! SYSTEM_OFF and SYSTEM_RESET by any CPU but the first, while its peers spin, sleep, or are just
//! being started: the end of this VM, and of no other.

use crate::tools::{doom, doomed, survived};
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, boot, gic, psci, smp, timer};
use probes::{check, irq};

static RUNNING: AtomicU64 = AtomicU64::new(0);
/// All go at once.
static NOW: AtomicBool = AtomicBool::new(false);

fn spin(_: usize) {
    RUNNING.fetch_add(1, SeqCst);
    loop {
        arch::spin();
    }
}

fn sleep(_: usize) {
    gic::init_cpu();
    RUNNING.fetch_add(1, SeqCst);
    loop {
        arch::wfi();
    }
}

fn call_when_told(function: u32) {
    RUNNING.fetch_add(1, SeqCst);
    while !NOW.load(SeqCst) {
        arch::spin();
    }
    psci::call(function, [0; 3]);
    survived("system");
}

fn off(_: usize) {
    call_when_told(psci::SYSTEM_OFF);
}

fn reset(_: usize) {
    call_when_told(psci::SYSTEM_RESET);
}

/// Starts CPU 3 again and again.
fn start_for_ever(_: usize) {
    RUNNING.fetch_add(1, SeqCst);
    loop {
        smp::start(3, |_| {});
    }
}

fn start(peers: &[fn(usize)]) {
    for (cpu, peer) in peers.iter().enumerate() {
        check::equal("system.start", smp::start(cpu + 1, *peer), psci::SUCCESS);
    }
    let running = irq::wait_for(10_000, || RUNNING.load(SeqCst) == peers.len() as u64);
    check::that("system.peers", running, "CPUs that run");
}

/// The attack. What it leaves are peers that spin and one that resets the VM when it is told to.
pub fn attack() {
    let peers: &[fn(usize)] = match doom() {
        "" => &[spin, reset, sleep],
        "off-while-spinning" => &[off, spin, spin],
        "off-while-asleep" => &[off, sleep, sleep],
        "off-by-all" => &[off, off, off],
        "off-while-starting" => &[off, start_for_ever],
        _ => return survived("system"),
    };
    start(peers);
    if doom().is_empty() {
        return crate::life::reset_by_peer(&NOW);
    }
    doomed("system");
    NOW.store(true, SeqCst);
    if doom() == "off-by-all" {
        psci::call(psci::SYSTEM_OFF, [0; 3]);
    }
    timer::delay_ms(5000);
    if boot::cpus() > 1 {
        survived("system");
    }
}
