//! The same ASID on two CPUs, with different tables: a CPU may cache its own translations under
//! that number (Arm DDI 0487, D8.13), so none may show up on the other, even if a hypervisor runs
//! both on one physical CPU.
//!
//! Each CPU has its own tables, in which the same addresses mean different memory. `loops=N`
//! (default 1000). Uses up to four CPUs; needs 16 MiB.

use crate::{check, irq};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_rt::mmu::{self, LEVEL1, Table};
use guest_rt::{arch, boot, gic, mmio, psci, smp, timer};

/// The ASID of all CPUs.
const ASID: u64 = 5;
/// From here on each CPU has its own mappings.
const WINDOW: u64 = 0x10_0000_0000;
/// Memory that nothing else uses: one block of 2 MiB for each CPU.
const BLOCKS: u64 = 0x4040_0000;
const BLOCK_SIZE: u64 = 2 << 20;
const CPUS: usize = 4;

static TABLES: [[Table; 2]; CPUS] = [const { [Table::new(), Table::new()] }; CPUS];
static WRONG: AtomicU64 = AtomicU64::new(0);
static FINISHED: AtomicU64 = AtomicU64::new(0);
static READY: AtomicU64 = AtomicU64::new(0);

/// What block `n` holds.
fn signature(n: u64) -> u64 {
    0xa51d_0000_0000_0000 | n
}

/// In CPU c's tables address n of the window means block n + c.
fn meant(cpu: usize, n: u64) -> u64 {
    (n + cpu as u64) % CPUS as u64
}

/// Gives this CPU its own tables.
fn switch(cpu: usize) {
    let [level1, level2] = &TABLES[cpu];
    for (new, old) in level1.0.iter().zip(&LEVEL1.0) {
        new.store(old.load(SeqCst), SeqCst);
    }
    for n in 0..CPUS as u64 {
        let block = BLOCKS + meant(cpu, n) * BLOCK_SIZE;
        level2.0[n as usize].store(block | mmu::RAM | mmu::NOT_GLOBAL | mmu::BLOCK, SeqCst);
    }
    level1.0[(WINDOW >> 30) as usize].store(level2.address() | mmu::TABLE, SeqCst);
    arch::dsb();
    mmu::switch(level1, ASID);
}

fn check_window(cpu: usize) {
    for n in 0..CPUS as u64 {
        let seen = mmio::read64((WINDOW + n * BLOCK_SIZE) as usize);
        if seen != signature(meant(cpu, n)) && WRONG.fetch_add(1, SeqCst) < 10 {
            guest_rt::println!("INFO asid: cpu {cpu} reads {seen:#x} at {n}");
        }
    }
}

fn work(cpu: usize) {
    switch(cpu);
    READY.fetch_add(1, SeqCst);
    for n in 0..boot::number("loops").unwrap_or(1000) {
        check_window(cpu);
        match n % 4 {
            // Give the CPU away, without any maintenance of our own.
            0 | 2 => {
                timer::arm(timer::now() + timer::frequency() / 20_000);
                arch::wfi();
                timer::disarm();
            }
            1 => {
                psci::version();
            }
            // One's own translations dropped, on this CPU alone.
            // SAFETY: cached translations are only copies of the tables.
            _ => unsafe {
                asm!("tlbi aside1, {}", "dsb nsh", "isb", in(reg) ASID << 48, options(nostack));
            },
        }
        check_window(cpu);
    }
    FINISHED.fetch_add(1, SeqCst);
}

fn other(cpu: usize) {
    gic::init_cpu();
    gic::enable(timer::VIRTUAL_INTID);
    work(cpu);
}

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    irq::init();
    gic::enable(timer::VIRTUAL_INTID);
    for n in 0..CPUS as u64 {
        mmio::write64((BLOCKS + n * BLOCK_SIZE) as usize, signature(n));
    }
    arch::dsb();
    let cpus = boot::cpus().min(CPUS);
    if cpus == 1 {
        check::skipped("asid", "it takes two CPUs");
    }
    for cpu in 1..cpus {
        check::equal("asid.on", smp::start(cpu, other), psci::SUCCESS);
    }
    work(0);
    let done = irq::wait_for(60_000, || FINISHED.load(SeqCst) == cpus as u64);
    check::that("asid.finished", done, "all CPUs at the end within a minute");
    check::equal("asid.wrong-translations", WRONG.load(SeqCst), 0);
}
