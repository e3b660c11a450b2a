//! Data aborts: an access to an address where nothing is gives a synchronous external abort, with
//! the right vector, syndrome, address and return address, and changes no register.

use crate::{check, program, user};
use core::arch::asm;
use guest_rt::vectors::{Fault, Source, class, expect_fault};
use guest_rt::{head, mmu, msr};

/// Nothing is there, on the board and in a virtual machine; mapped as device memory.
pub const NOTHING: u64 = 0x0b00_0000;
/// Behind the end of a small RAM; mapped as Normal memory.
const BEHIND_RAM: u64 = 0x7ff0_0000;
/// A far physical address, which the probe maps here.
const FAR_AWAY: u64 = 0x3f_c000_0000;
const FAR_AWAY_AT: u64 = 0x10_0000_0000;
/// What EL0 sees of the first GiB.
const USER_ALIAS: u64 = 0x20_0000_0000;
/// A GiB whose level-2 table lies where nothing is.
const NO_TABLE_AT: u64 = 0x18_0000_0000;

/// ESR_EL1 of a data abort at the same level: EC 0x25, IL, DFSC 0x10 (synchronous external abort).
const READ: u64 = 0x9600_0010;
/// The same with WnR.
const WRITE: u64 = READ | 1 << 6;
/// EC 0x24 instead of 0x25: from EL0.
const FROM_EL0: u64 = 1 << 26;

/// Runs one access to address x10 with pattern in x9, x11; checks everything about its abort.
macro_rules! access {
    ($name:literal, $instruction:literal, $address:expr, $esr:expr) => {
        access!($name, $instruction, $address, $esr, "#1", Source::CurrentSpx)
    };
    ($name:literal, $instruction:literal, $address:expr, $esr:expr, $spsel:literal, $source:expr) => {{
        let (mut x9, mut x10, mut x11) = (0x9999_u64, $address, 0xbbbb_u64);
        let mut at = 0_u64;
        let fault = expect_fault(|| {
            // SAFETY: nothing is at the address, so nothing of ours can change there.
            unsafe {
                asm!(concat!("msr SPSel, ", $spsel), "adr {pc}, 2f", "2:", $instruction,
                    "msr SPSel, #1", pc = out(reg) at,
                    inout("x9") x9, inout("x10") x10, inout("x11") x11);
            }
        });
        expected($name, fault, $esr, $address, at, $source);
        check::equal(concat!($name, ".registers"), (x9, x10, x11), (0x9999, $address, 0xbbbb));
    }};
}

fn expected(name: &str, fault: Option<Fault>, esr: u64, far: u64, elr: u64, source: Source) {
    match fault {
        None => check::failed(name, "no abort", "one"),
        Some(f) => check::equal(
            name,
            (f.esr, f.far, f.elr, f.source as u64, f.count),
            (esr, far, elr, source as u64, 1),
        ),
    }
}

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    mmu::map_gib(FAR_AWAY_AT, FAR_AWAY, mmu::MMIO);
    mmu::map_gib(USER_ALIAS, 0, mmu::MMIO | mmu::USER);
    // A stack for SPSel = 0.
    msr!(SP_EL0, user::stack() as u64);
    sizes();
    access!("dabort.behind-ram", "ldr x9, [x10]", BEHIND_RAM, READ);
    access!("dabort.behind-ram-write", "str x9, [x10]", BEHIND_RAM, WRITE);
    access!("dabort.far-away", "ldr w9, [x10]", FAR_AWAY_AT + 0x3fff_fff8, READ);
    access!("dabort.sp0", "ldr w9, [x10]", NOTHING, READ, "#0", Source::CurrentSp0);
    access!("dabort.sp0-write", "strb w9, [x10]", NOTHING, WRITE, "#0", Source::CurrentSp0);
    el0();
    walk();
}

fn sizes() {
    access!("dabort.ldrb", "ldrb w9, [x10]", NOTHING + 1, READ);
    access!("dabort.ldrh", "ldrh w9, [x10]", NOTHING + 2, READ);
    access!("dabort.ldr-w", "ldr w9, [x10]", NOTHING + 4, READ);
    access!("dabort.ldr-x", "ldr x9, [x10]", NOTHING + 8, READ);
    access!("dabort.ldrsb", "ldrsb x9, [x10]", NOTHING + 3, READ);
    access!("dabort.ldp", "ldp x9, x11, [x10]", NOTHING + 16, READ);
    access!("dabort.ldr-post", "ldr w9, [x10], #4", NOTHING + 0xff0, READ);
    access!("dabort.strb", "strb w9, [x10]", NOTHING + 1, WRITE);
    access!("dabort.strh", "strh w9, [x10]", NOTHING + 2, WRITE);
    access!("dabort.str-w", "str w9, [x10]", NOTHING + 4, WRITE);
    access!("dabort.str-x", "str x9, [x10]", NOTHING + 8, WRITE);
    access!("dabort.stp", "stp x9, x11, [x10]", NOTHING + 16, WRITE);
    access!("dabort.str-pre", "str w9, [x10, #0]!", NOTHING + 0xff0, WRITE);
}

program!(read_at_el0: "ldr w9, [x0]");
program!(write_at_el0: "str w9, [x0]");

fn el0() {
    let address = USER_ALIAS + NOTHING;
    for (name, program, esr) in [
        ("dabort.el0", read_at_el0 as guest_rt::el0::User, READ),
        ("dabort.el0-write", write_at_el0, WRITE),
    ] {
        let frame = user::run(program, address);
        check::equal(
            name,
            (frame.esr, frame.far, frame.elr, frame.source() as u64, frame.x[0]),
            (esr - FROM_EL0, address, program as *const () as u64, Source::Lower64 as u64, address),
        );
    }
}

/// A stage-1 walk through a table that is not there: DFSC 0x14 to 0x17, external abort on a walk.
/// The level, here 2, is not told to a hypervisor, which may report another.
fn walk() {
    mmu::LEVEL1.0[(NO_TABLE_AT >> 30) as usize]
        .store(NOTHING | mmu::TABLE, core::sync::atomic::Ordering::Relaxed);
    mmu::flush();
    let fault = expect_fault(|| {
        guest_rt::mmio::read32(NO_TABLE_AT as usize);
    });
    let seen = fault.map(|f| (f.esr & !3, f.far));
    check::equal("dabort.walk", seen, Some(((READ | 4) & !3, NO_TABLE_AT)));
    // Through a table in the UART's page: an abort too, or a translation fault if the device's
    // registers are taken for descriptors.
    mmu::LEVEL1.0[(NO_TABLE_AT >> 30) as usize]
        .store(0x0900_0000 | mmu::TABLE, core::sync::atomic::Ordering::Relaxed);
    mmu::flush();
    let fault = expect_fault(|| {
        guest_rt::mmio::read32(NO_TABLE_AT as usize + (8 << 21));
    });
    let seen = fault.map_or(0, |f| if f.class() == class::DATA_ABORT { f.esr & 0x3f } else { 0 });
    check::that("dabort.walk-device", matches!(seen, 0x14..=0x17 | 0x06), "an abort of the walk");
}
