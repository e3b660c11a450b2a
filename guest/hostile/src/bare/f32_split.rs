//! Family 32: a block is split while peers store through it. The hypervisor has no call that makes
//! it split a block of stage 2 under a VM that runs: that `memory::stage2` can is tested on the host
//! (`a_split_keeps_every_translation`, `unmap_splits_only_at_the_ends`,
//! `any_sequence_agrees_with_the_model`, whose simulation looks at each moment of the
//! break-before-make). What a guest can do is split and join its own blocks of stage 1 under its
//! peers' stores, and have itself reset while they store.

use crate::stores;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use guest_rt::mmu::{self, LEVEL1, Table};
use guest_rt::vectors::{self, Frame, Kind, class};
use guest_rt::{arch, boot, psci, smp};
use probes::{check, irq};

/// What the peers store through: a block of 2 MiB that nothing else uses.
const WINDOW: u64 = 0x30_0000_0000;
const BLOCK: u64 = 0x40a0_0000;
/// Words of each peer, one in each page.
const WORDS: u64 = 512;
const SPLITS: u64 = 300;

static LEVEL2: Table = Table::new();
static PAGES: Table = Table::new();
static GOES_ON: AtomicBool = AtomicBool::new(true);
static LOST: AtomicU64 = AtomicU64::new(0);
static ROUNDS: AtomicU64 = AtomicU64::new(0);
static BROKEN: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

/// A store met the moment in which there was no translation: once more.
fn again(frame: &mut Frame) -> bool {
    BROKEN.fetch_add(1, Relaxed);
    frame.class() == class::DATA_ABORT && frame.far >> 30 == WINDOW >> 30
}

fn peer(cpu: usize) {
    let word = |n: u64| (WINDOW + n * 4096 + cpu as u64 * 64) as *mut u64;
    let mut round = 0;
    while GOES_ON.load(Relaxed) {
        round += 1;
        for n in 0..WORDS {
            // SAFETY: the block, a word of which is this CPU's.
            unsafe { word(n).write_volatile(round << 16 | n) };
        }
        for n in 0..WORDS {
            // SAFETY: as above.
            let found = unsafe { word(n).read_volatile() };
            if found != round << 16 | n {
                LOST.fetch_add(1, Relaxed);
            }
        }
        ROUNDS.fetch_add(1, Relaxed);
    }
    ENDED.fetch_add(1, Relaxed);
}

/// Break-before-make.
fn replace(descriptor: u64) {
    LEVEL2.0[0].store(0, Relaxed);
    mmu::flush();
    LEVEL2.0[0].store(descriptor, Relaxed);
    arch::dsb();
}

/// The attack.
pub fn attack() {
    if stores::another_life() {
        stores::reset_meanwhile();
    }
    if boot::has("resets") {
        return check::passed("split.resets-end");
    }
    irq::init();
    for (n, page) in PAGES.0.iter().enumerate() {
        page.store((BLOCK + n as u64 * 4096) | mmu::RAM | mmu::PAGE, Relaxed);
    }
    let block = BLOCK | mmu::RAM | mmu::BLOCK;
    LEVEL2.0[0].store(block, Relaxed);
    LEVEL1.0[(WINDOW >> 30) as usize].store(LEVEL2.address() | mmu::TABLE, Relaxed);
    mmu::flush();
    vectors::set_handler(Kind::Synchronous, again);
    let peers = boot::cpus() as u64 - 1;
    for cpu in 1..=peers as usize {
        check::equal(&crate::variant!("split.on-{cpu}"), smp::start(cpu, peer), psci::SUCCESS);
    }
    let mut splits = 0;
    // The two halves of a turn leave the peers some time.
    while splits < SPLITS || ROUNDS.load(Relaxed) < 20 {
        replace(PAGES.address() | mmu::TABLE);
        psci::version();
        replace(block);
        psci::version();
        splits += 1;
    }
    GOES_ON.store(false, Relaxed);
    let ended = irq::wait_for(20_000, || ENDED.load(Relaxed) == peers);
    check::that("split.peers-end", ended, "all peers at the end");
    vectors::clear_handler(Kind::Synchronous);
    check::equal("split.no-store-lost", LOST.load(Relaxed), 0);
    guest_rt::println!("INFO split broken={} splits={splits}", BROKEN.load(Relaxed));
    LEVEL1.0[(WINDOW >> 30) as usize].store(0, Relaxed);
    mmu::flush();
    for cpu in 1..=peers {
        irq::wait_for(1000, || psci::affinity_info(cpu) == 1);
    }
    stores::start("split");
}
