//! The other CPUs.

use crate::{arch, head::MAX_CPUS, psci};
use core::sync::atomic::{AtomicUsize, Ordering};

/// What each CPU is to run, as the address of a `fn(usize)`.
static ENTRIES: [AtomicUsize; MAX_CPUS] = [const { AtomicUsize::new(0) }; MAX_CPUS];

unsafe extern "C" {
    fn secondary_start();
}

/// Where PSCI CPU_ON shall start a CPU.
pub fn entry() -> u64 {
    secondary_start as *const () as usize as u64
}

/// Starts CPU `cpu` on `f`, at EL1 with MMU and vectors on and interrupts masked. When `f` returns
/// the CPU switches itself off. Gives back what CPU_ON did.
pub fn start(cpu: usize, f: fn(usize)) -> i64 {
    let Some(slot) = ENTRIES.get(cpu) else {
        return psci::INVALID_PARAMETERS;
    };
    slot.store(f as *const () as usize, Ordering::Release);
    arch::dsb();
    psci::cpu_on(cpu as u64, entry(), cpu as u64)
}

/// The first Rust code of a CPU other than the first.
pub(crate) extern "C" fn secondary(cpu: usize) -> ! {
    let entry = ENTRIES.get(cpu).map_or(0, |slot| slot.load(Ordering::Acquire));
    if entry != 0 {
        // SAFETY: the slot holds 0 or what `start` put there, a `fn(usize)`.
        let f: fn(usize) = unsafe { core::mem::transmute(entry) };
        f(cpu);
    }
    psci::cpu_off();
    loop {
        arch::wfi();
    }
}
