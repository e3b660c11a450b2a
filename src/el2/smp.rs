//! Starting the other CPUs, and the call to this image's own EL3.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::{cache, mmu};
use crate::memory::{Pa, Va};

/// What a secondary reads, with its translation and caches off, before it has a stack: head.rs
/// loads it by these fields.
#[repr(C, align(64))]
pub struct SecondaryBoot {
    /// PA of the root of EL2's tables.
    pub root: AtomicU64,
    /// Top of its stack.
    pub stack_top: AtomicU64,
    /// Its per-CPU block.
    pub percpu: AtomicU64,
    /// MPIDR_EL1's affinity fields of the CPU that is to come out of the pen.
    pub pen: AtomicU64,
}

/// One at a time: the boot CPU waits for each before it writes the next.
pub static BOOT: SecondaryBoot = SecondaryBoot {
    root: AtomicU64::new(0),
    stack_top: AtomicU64::new(0),
    percpu: AtomicU64::new(0),
    pen: AtomicU64::new(u64::MAX),
};

unsafe extern "C" {
    fn secondary();
}

static FROM_EL3: AtomicBool = AtomicBool::new(false);

/// Remembers that this image was entered at EL3: its own monitor answers SMCs, and CPUs wait in
/// the pen.
pub fn note_el3() {
    FROM_EL3.store(true, Ordering::Relaxed);
}

/// Whether this image was entered at EL3.
pub fn entered_at_el3() -> bool {
    FROM_EL3.load(Ordering::Relaxed)
}

/// Fills in [`BOOT`]; returns where a CPU enters.
pub fn prepare(stack_top: Va, block: *const super::percpu::PerCpu) -> Pa {
    BOOT.root.store(mmu::root().get(), Ordering::Relaxed);
    BOOT.stack_top.store(stack_top.get(), Ordering::Relaxed);
    BOOT.percpu.store(block as u64, Ordering::Relaxed);
    clean_boot();
    mmu::image_pa(secondary as *const u8)
}

/// Makes [`BOOT`] visible to CPUs with their caches off.
fn clean_boot() {
    let at = Va::new((&raw const BOOT) as u64);
    cache::clean_to_memory(at, size_of::<SecondaryBoot>() as u64);
}

/// Releases the CPU with this affinity from the pen.
pub fn release_from_pen(mpidr: u64) {
    BOOT.pen.store(mpidr, Ordering::Relaxed);
    clean_boot();
    cache::sev();
}

/// Asks this image's own EL3 monitor to write a Secure 32-bit register.
pub fn el3_poke(register: Pa, value: u32) {
    let mut arguments = [0; 17];
    [arguments[0], arguments[1]] = [register.get(), value.into()];
    smccc::smc64(super::head::EL3_POKE, arguments);
}

/// Bit n: pCPU n runs.
static ONLINE: AtomicU64 = AtomicU64::new(0);

static GATE: AtomicBool = AtomicBool::new(false);

/// Lets the secondaries go: the run queue is there.
pub fn open_gate() {
    GATE.store(true, Ordering::Release);
    cache::dsb_ishst();
    cache::sev();
}

/// A secondary waits for the boot CPU.
pub fn wait_at_gate() {
    while !GATE.load(Ordering::Acquire) {
        cache::wfe();
    }
}

/// Marks pCPU `id` as running; the boot CPU waits for it.
pub fn set_online(id: usize) {
    ONLINE.fetch_or(1 << id, Ordering::Release);
}

/// A pCPU has been left out.
static LEFT_OUT: AtomicBool = AtomicBool::new(false);

/// This pCPU takes no part: it sleeps for good. From the moment in which the boot CPU knows, its
/// stack and its block are the next one's.
pub fn leave_out() -> ! {
    let told = LEFT_OUT.as_ptr();
    // SAFETY: the one store is into the flag; nothing else is touched.
    unsafe {
        asm!("stlrb {one:w}, [{told}]", "1: wfi", "b 1b", one = in(reg) 1, told = in(reg) told,
            options(noreturn, nostack))
    }
}

/// Waits for the pCPU that was started as number `id`: whether it runs, or was left out.
pub fn has_come(id: usize) -> bool {
    while ONLINE.load(Ordering::Acquire) & 1 << id == 0 {
        if LEFT_OUT.swap(false, Ordering::AcqRel) {
            return false;
        }
        cache::yield_now();
    }
    true
}
