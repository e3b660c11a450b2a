//! The other CPUs.

use crate::{arch, boot, head::MAX_CPUS, psci};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

/// What each CPU is to run, as the address of a `fn(usize)`.
static ENTRIES: [AtomicUsize; MAX_CPUS] = [const { AtomicUsize::new(0) }; MAX_CPUS];

/// The CPUs' affinities.
static AFFINITIES: [AtomicU64; MAX_CPUS] = [const { AtomicU64::new(0) }; MAX_CPUS];

/// The affinity of CPU `cpu` in the layout of MPIDR_EL1, by the device tree; where that does not
/// list the CPU, its number.
pub fn affinity(cpu: usize) -> u64 {
    AFFINITIES.get(cpu).map_or(cpu as u64, |affinity| affinity.load(Ordering::Relaxed))
}

/// Learns the affinities from the tree.
pub(crate) fn learn_affinities() {
    let listed = boot::cpus();
    for (cpu, affinity) in AFFINITIES.iter().enumerate() {
        let reg = boot::tree().filter(|_| cpu < listed).and_then(|tree| {
            let node = tree.child(&["cpus"], "cpu@", cpu)?;
            tree.property(&["cpus", node], "reg")
        });
        let number = |reg: &[u8]| reg.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        affinity.store(reg.map_or(cpu as u64, number), Ordering::Relaxed);
    }
}

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
    psci::cpu_on(affinity(cpu), entry(), cpu as u64)
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
