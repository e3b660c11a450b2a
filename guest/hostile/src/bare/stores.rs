//! CPUs that store through all of memory, for ever: whatever is done to the VM meanwhile.

use crate::tools;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use guest_rt::{arch, boot, psci, smp, timer, uart};
use probes::check;

/// Rounds through memory, of all CPUs.
static ROUNDS: AtomicU64 = AtomicU64::new(0);

/// Stores through all RAM that nobody uses, without end.
pub fn forever(cpu: usize) {
    for round in 1.. {
        for range in tools::free_ram() {
            for address in range.step_by(256) {
                let value = 0x5702_e000_0000_0000 | (cpu as u64) << 32 | round;
                // SAFETY: RAM that this program does not use, and aligned.
                unsafe { (address as *mut u64).write_volatile(value) };
            }
        }
        ROUNDS.fetch_add(1, Relaxed);
    }
}

/// Lets all other CPUs, which are off, do so.
pub fn start(family: &str) {
    for cpu in 1..boot::cpus() {
        check::equal(
            &crate::variant!("{family}.stores-{cpu}"),
            smp::start(cpu, forever),
            psci::SUCCESS,
        );
    }
}

/// Whether this life is to be followed by another: `resets` is among the boot arguments, and nobody
/// has typed `q`. A key comes when the UART is looked at, and may be lost to a life that is over.
pub fn another_life() -> bool {
    boot::has("resets") && !(0..8).any(|_| uart::get() == Some(b'q'))
}

/// The VM is switched off by CPU 1, while all others store.
pub fn off_meanwhile() -> ! {
    end_meanwhile(|_| {
        timer::delay_ms(3);
        psci::system_off()
    })
}

/// It is reset.
pub fn reset_meanwhile() -> ! {
    end_meanwhile(|_| {
        timer::delay_ms(1 + timer::now() % 7);
        psci::system_reset()
    })
}

fn end_meanwhile(end: fn(usize)) -> ! {
    for cpu in 2..boot::cpus() {
        smp::start(cpu, forever);
    }
    smp::start(1, end);
    forever(0);
    loop {
        arch::spin();
    }
}
