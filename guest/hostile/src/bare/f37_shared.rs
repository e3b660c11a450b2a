//! Family 37: a peer rewrites an instruction while its access is emulated (`probes::rewrite`), or
//! the tables that lead to it, to its device, to its code; and two CPUs fight for a shared word by
//! exclusives without end.

use crate::variant;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use guest_rt::mmu::{self, LEVEL1, Table};
use guest_rt::vectors::{self, Frame, Kind, class};
use guest_rt::{arch, boot, mmio, psci, smp, timer, uart};
use probes::isv0::{self, Code};
use probes::{check, code, irq, rewrite};

const WINDOW: u64 = 0x34_0000_0000;
const CELL: u64 = uart::BASE as u64 + 0xff0;
const TIMES: u64 = 4000;

static LEVEL2: Table = Table::new();
static PAGES: Table = Table::new();
static GOES_ON: AtomicBool = AtomicBool::new(true);
static WORD: AtomicU64 = AtomicU64::new(0);
static FAULTS: AtomicU64 = AtomicU64::new(0);

#[repr(C, align(4096))]
struct Page([u32; 1024]);
/// What the window shows where it doesn't show the UART.
static mut PAGE: Page = Page([0x5aa5_5aa5; 1024]);

/// The attack.
pub fn attack() {
    irq::init();
    rewrite::checks();
    vectors::clear_handler(Kind::Synchronous);
    tables();
    exclusives();
}

fn wait_off(cpu: u64) {
    irq::wait_for(10_000, || psci::affinity_info(cpu) == 1);
}

/// The window's page is the UART's, RAM, nothing, not mapped, by turns; without a break between,
/// for which a CPU may see either.
fn change(_: usize) {
    let ram = &raw const PAGE as u64;
    let places = [
        uart::BASE as u64 | mmu::MMIO | mmu::PAGE,
        ram | mmu::RAM | mmu::PAGE,
        0,
        0x0b00_0000 | mmu::MMIO | mmu::PAGE,
    ];
    for n in 0.. {
        if !GOES_ON.load(Relaxed) {
            break;
        }
        PAGES.0[0].store(places[n % 4], Relaxed);
        mmu::flush();
        for _ in 0..(n * 7 % 50) {
            arch::spin();
        }
    }
}

/// Loads from the window: what it shows at the moment, or an abort.
fn tables() {
    LEVEL1.0[(WINDOW >> 30) as usize].store(LEVEL2.address() | mmu::TABLE, Relaxed);
    LEVEL2.0[0].store(PAGES.address() | mmu::TABLE, Relaxed);
    mmu::flush();
    check::equal("shared.tables-on", smp::start(1, change), psci::SUCCESS);
    let forms: [(&str, Code, i64); 4] = [
        ("load", code!("ldr w9, [x10]", "mov w11, #0xf0"), 0),
        ("pair", code!("ldp w9, w11, [x10]"), 0),
        ("post", code!("ldr w9, [x10], #16", "mov w11, #0xf0"), 16),
        ("pre", code!("ldr w9, [x10, #0]!", "mov w11, #0xf0"), 0),
    ];
    let at = WINDOW + CELL % 4096;
    for (name, code, step) in forms {
        let (mut wrong, mut seen) = (None, [0_u64; 3]);
        for _ in 0..TIMES {
            let (fault, got) = isv0::execute_at(code as *const () as u64, [7, at, 7]);
            let uart = [0x0d, at.wrapping_add_signed(step), 0xf0];
            let ram_pair = [0x5aa5_5aa5, at.wrapping_add_signed(step), 0x5aa5_5aa5];
            let ram_one = [0x5aa5_5aa5, at.wrapping_add_signed(step), 0xf0];
            match fault {
                None if got == uart => seen[0] += 1,
                None if got == ram_pair || got == ram_one => seen[1] += 1,
                // The halves of a pair are two accesses.
                None if got[1] == at && name == "pair" => seen[1] += 1,
                Some(f) if f.class() == class::DATA_ABORT && got[..2] == [7, at] => seen[2] += 1,
                _ => wrong = wrong.or(Some((fault.map(|f| f.esr), got))),
            }
        }
        guest_rt::println!("INFO shared.{name}: uart, ram, abort {seen:?}");
        check::equal(&variant!("shared.tables-{name}"), wrong, None);
    }
    GOES_ON.store(false, Relaxed);
    wait_off(1);
}

/// The other side has no more luck than this one.
fn fight(_: usize) {
    while GOES_ON.load(Relaxed) {
        add();
    }
}

/// Adds one, by exclusives.
fn add() {
    // SAFETY: it changes the word alone.
    unsafe {
        asm!("2: ldxr {0}, [{1}]", "add {0}, {0}, #1", "stxr {2:w}, {0}, [{1}]", "cbnz {2:w}, 2b",
            out(reg) _, in(reg) WORD.as_ptr(), out(reg) _);
    }
}

/// A load exclusive that never stores, and stores without one, beside each other.
fn disturb(_: usize) {
    loop {
        // SAFETY: it stores to the word's neighbour, in the same granule.
        unsafe {
            asm!("ldxr {0}, [{1}]", "dmb ish", "clrex", "stxr {2:w}, {0}, [{1}]",
                out(reg) _, in(reg) WORD.as_ptr(), out(reg) _);
        }
    }
}

fn count(frame: &mut Frame) -> bool {
    FAULTS.fetch_add(1, Relaxed);
    frame.elr += 4;
    true
}

fn exclusives() {
    GOES_ON.store(true, Relaxed);
    check::equal("shared.fight-on", smp::start(1, fight), psci::SUCCESS);
    irq::wait_for(5000, || WORD.load(Relaxed) > 0);
    let before = WORD.load(Relaxed);
    for _ in 0..20_000 {
        add();
    }
    check::that("shared.both-go-on", WORD.load(Relaxed) >= before + 20_000, "none lost");
    GOES_ON.store(false, Relaxed);
    wait_off(1);
    // And to the end of this VM, with who holds what nobody gets.
    vectors::set_handler(Kind::Synchronous, count);
    for cpu in 1..boot::cpus() {
        let name = variant!("shared.disturb-{cpu}");
        check::equal(&name, smp::start(cpu, disturb), psci::SUCCESS);
    }
    let until = timer::now() + timer::ms(20);
    while timer::now() < until {
        add();
    }
    vectors::clear_handler(Kind::Synchronous);
    check::equal("shared.no-faults", FAULTS.load(Relaxed), 0);
    let _ = mmio::read32(uart::FR);
}
