//! The other CPUs: PSCI starts them, an SGI gets their attention.

use core::sync::atomic::{AtomicU64, Ordering};
use guest_rt::{arch, boot, gic, mrs, println, psci, smp, timer};

/// The software-generated interrupt that asks a CPU for a sign of life.
pub const PING: u32 = 1;

/// Bit n: CPU n has come up.
static ONLINE: AtomicU64 = AtomicU64::new(1);
/// Pings answered.
static PONGS: AtomicU64 = AtomicU64::new(0);

/// What a CPU other than the first does: it gets ready for interrupts and sleeps between them.
fn main(cpu: usize) {
    gic::init_cpu();
    gic::enable(PING);
    println!(
        "  cpu {cpu}: at EL {}, MPIDR_EL1 = {:#x}, stack in {:#x}",
        arch::current_el(),
        mrs!(MPIDR_EL1),
        (&raw const cpu).addr() & !0xfff
    );
    ONLINE.fetch_or(1 << cpu, Ordering::Release);
    arch::irq_enable();
    loop {
        arch::wfi();
    }
}

/// The ping's interrupt.
pub fn handle_ping() {
    PONGS.fetch_add(1, Ordering::Release);
}

/// Waits until `condition` holds, for a second at most.
fn wait_for(condition: impl Fn() -> bool) -> bool {
    let start = timer::now();
    while timer::now() - start < timer::ms(1000) {
        if condition() {
            return true;
        }
        arch::spin();
    }
    condition()
}

/// Starts the second CPU if it is off, pings it, and lists all.
pub fn demonstrate() {
    let cpus = boot::cpus();
    println!("vcpus: the device tree lists {cpus}");
    if cpus > 1 {
        let online = || ONLINE.load(Ordering::Acquire) & 2 != 0;
        if !online() {
            let result = smp::start(1, main);
            println!("vcpus: CPU_ON of cpu 1 gives {result}");
            if !wait_for(online) {
                println!("vcpus: cpu 1 did not come up");
                return;
            }
        }
        let before = PONGS.load(Ordering::Acquire);
        gic::send_sgi(PING, 1 << 1);
        let answered = wait_for(|| PONGS.load(Ordering::Acquire) != before);
        println!("vcpus: cpu 1 {} an SGI", if answered { "answered" } else { "did not answer" });
    }
    for cpu in 0..cpus {
        let state = match psci::affinity_info(cpu as u64) {
            0 => "on",
            1 => "off",
            2 => "about to come on",
            _ => "unknown",
        };
        println!("  cpu {cpu}: {state}");
    }
}
