//! Family 33: a mapping is taken away while a peer stores through it: after the maintenance nothing
//! is stored there any more. The hypervisor takes no memory from a VM that runs but at its end and
//! its reset: the VM is switched off and reset while peers store through all of its memory. Of its
//! own mappings a guest may take away any, by each kind of TLB maintenance; that for one CPU alone
//! reaches, in a VM, wherever its CPUs were (HCR_EL2.FB).

use crate::tools::{doom, doomed, survived};
use crate::{stores, variant};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use guest_rt::mmu::{self, LEVEL1, Table};
use guest_rt::vectors::{self, Frame, Kind, class};
use guest_rt::{arch, boot, psci, smp, timer};
use probes::{check, irq};

const WINDOW: u64 = 0x30_0000_0000;
const PAGE: u64 = 0x40a0_0000;
const ROUNDS: u64 = 6;

static LEVEL2: Table = Table::new();
static PAGES: Table = Table::new();
static GOES_ON: AtomicBool = AtomicBool::new(true);
static FAULTS: AtomicU64 = AtomicU64::new(0);
static ENDED: AtomicU64 = AtomicU64::new(0);

fn again(frame: &mut Frame) -> bool {
    FAULTS.fetch_add(1, Relaxed);
    frame.class() == class::DATA_ABORT && frame.far >> 30 == WINDOW >> 30
}

fn peer(cpu: usize) {
    let word = (WINDOW + cpu as u64 * 64) as *mut u64;
    for n in 1.. {
        if !GOES_ON.load(Relaxed) {
            break;
        }
        // SAFETY: the page, a word of which is this CPU's.
        unsafe { word.write_volatile(n) };
    }
    ENDED.fetch_add(1, Relaxed);
}

/// The words of all peers.
fn words(peers: u64) -> [u64; 4] {
    // SAFETY: the page, by the address that nobody takes away.
    let word = |cpu: u64| unsafe { ((PAGE + cpu * 64) as *const u64).read_volatile() };
    [1, 2, 3, 4].map(|cpu| if cpu <= peers { word(cpu) } else { 0 })
}

macro_rules! tlbi {
    ($operation:literal) => {
        (
            $operation,
            (|| {
                let page = WINDOW >> 12;
                // SAFETY: cached translations are only copies of the tables.
                unsafe {
                    asm!("dsb ishst", concat!("tlbi ", $operation), "dsb ish", "isb",
                        in("x0") page);
                }
            }) as fn(),
        )
    };
}

/// The attack.
pub fn attack() {
    match doom() {
        "" => {}
        "off" => {
            doomed("stale");
            stores::off_meanwhile();
        }
        _ => return survived("stale"),
    }
    irq::init();
    LEVEL1.0[(WINDOW >> 30) as usize].store(LEVEL2.address() | mmu::TABLE, Relaxed);
    LEVEL2.0[0].store(PAGES.address() | mmu::TABLE, Relaxed);
    mmu::flush();
    vectors::set_handler(Kind::Synchronous, again);
    let peers = boot::cpus() as u64 - 1;
    for cpu in 1..=peers as usize {
        check::equal(&variant!("stale.on-{cpu}"), smp::start(cpu, peer), psci::SUCCESS);
    }
    let shared: [(&str, fn()); 5] = [
        tlbi!("vae1is, x0"),
        tlbi!("vale1is, x0"),
        tlbi!("vaae1is, x0"),
        tlbi!("aside1is, xzr"),
        tlbi!("vmalle1is"),
    ];
    let local: [(&str, fn()); 4] =
        [tlbi!("vae1, x0"), tlbi!("vale1, x0"), tlbi!("aside1, xzr"), tlbi!("vmalle1")];
    for (name, invalidate) in shared.into_iter().chain(local) {
        // The board's CPUs have TLBs of their own: there the peers may go on.
        check::equal(
            &variant!("stale.{}", name.split(',').next().unwrap_or("")),
            take(invalidate, peers),
            0,
        );
    }
    PAGES.0[0].store(PAGE | mmu::RAM | mmu::PAGE, Relaxed);
    mmu::flush();
    GOES_ON.store(false, Relaxed);
    let ended = irq::wait_for(20_000, || ENDED.load(Relaxed) == peers);
    check::that("stale.peers-end", ended, "all peers at the end");
    check::that("stale.faults", FAULTS.load(Relaxed) > 0, "a peer met a mapping that was gone");
    vectors::clear_handler(Kind::Synchronous);
    for cpu in 1..=peers {
        irq::wait_for(1000, || psci::affinity_info(cpu) == 1);
    }
    stores::start("stale");
}

/// How often a word changed after its page was taken away, until a peer has met that: on one pCPU
/// they come to run much later.
fn take(invalidate: fn(), peers: u64) -> u64 {
    let mut late = 0;
    for _ in 0..ROUNDS {
        PAGES.0[0].store(PAGE | mmu::RAM | mmu::PAGE | mmu::NOT_GLOBAL, Relaxed);
        arch::dsb();
        let before = words(peers);
        irq::wait_for(100, || words(peers).iter().zip(before).any(|(now, then)| *now != then));
        PAGES.0[0].store(0, Relaxed);
        invalidate();
        let after = words(peers);
        let faults = FAULTS.load(Relaxed);
        let until = timer::now() + timer::frequency() / 10_000;
        irq::wait_for(100, || {
            late += u64::from(words(peers) != after);
            timer::now() >= until && FAULTS.load(Relaxed) != faults
        });
    }
    late
}
