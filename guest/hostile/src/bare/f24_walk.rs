//! Family 24: stage-1 walks through tables that lie in a device or where nothing is, for loads,
//! stores, fetches, maintenance and AT; and instructions that are fetched from a device.

use crate::variant;
use core::arch::asm;
use core::sync::atomic::Ordering::Relaxed;
use guest_rt::mmu::{self, LEVEL1, Table};
use guest_rt::vectors::{Fault, class, expect_fault};
use guest_rt::{arch, gic, head, mmio, mrs, msr, uart};
use probes::{check, iabort, program, user};

/// Where the walk goes.
const PLACES: [(&str, u64); 7] = [
    ("uart", uart::BASE as u64),
    ("gicd", gic::GICD as u64),
    ("gicr", gic::GICR as u64),
    ("gicr-sgi", (gic::GICR + gic::SGI_FRAME) as u64),
    ("nothing", 0x0b00_0000),
    ("behind-ram", 0x7ff0_0000),
    ("far-away", 0x3f_c000_0000),
];
/// A GiB whose level-2 table lies there, and one whose level-3 table does.
const LEVEL2_AT: u64 = 0x18_0000_0000;
const LEVEL3_AT: u64 = 0x1c_0000_0000;
/// What TTBR1_EL1 translates.
const UPPER: u64 = 0xffff_ff80_0000_0000;
/// The first GiB, executable.
const EXECUTABLE: u64 = 0x10_0000_0000;
/// TCR_EL1 with a second half as the first.
const TCR_BOTH: u64 = mmu::TCR & !(1 << 23) | 25 << 16 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30;

static LEVEL2: Table = Table::new();

program!(read_at_el0: "ldr x1, [x0]");

/// An abort on a walk; or a translation fault, where the device's registers are taken for a
/// descriptor, as on the board.
fn is_walk(fsc: u64) -> bool {
    matches!(fsc & 0x3f, 0x14..=0x17 | 0x04..=0x07)
}

fn expect(name: &str, fault: Option<Fault>, class: u64, far: u64) {
    let seen = fault.map(|f| (f.class(), is_walk(f.esr), f.far, f.count));
    check::equal(name, seen, Some((class, true, far, 1)));
}

/// The attack.
pub fn attack() {
    head::init();
    for (name, table) in PLACES {
        LEVEL1.0[(LEVEL2_AT >> 30) as usize].store(table | mmu::TABLE, Relaxed);
        LEVEL2.0[0].store(table | mmu::TABLE, Relaxed);
        LEVEL1.0[(LEVEL3_AT >> 30) as usize].store(LEVEL2.address() | mmu::TABLE, Relaxed);
        mmu::flush();
        // Descriptors 8 and on: registers of the devices that read as zero, or nothing.
        walks(&variant!("{name}-2"), LEVEL2_AT + (9 << 21));
        walks(&variant!("{name}-3"), LEVEL3_AT + (9 << 12));
        upper(name, table);
    }
    LEVEL1.0[(LEVEL2_AT >> 30) as usize].store(0, Relaxed);
    LEVEL1.0[(LEVEL3_AT >> 30) as usize].store(0, Relaxed);
    mmu::flush();
    iabort::checks();
    mmu::map_gib(EXECUTABLE, 0, mmu::NORMAL | mmu::SHARED | mmu::ACCESSED);
    // Of registers that hold no instruction, where the board takes them for some.
    for (name, address) in [("gicd", gic::GICD), ("gicr", gic::GICR)] {
        let fault = go(EXECUTABLE + address as u64);
        let class = fault.map(|f| f.class());
        check::that(
            &variant!("walk.fetch-{name}"),
            matches!(class, Some(class::INSTRUCTION_ABORT | class::UNKNOWN)),
            "an instruction abort or an undefined instruction",
        );
    }
}

fn go(address: u64) -> Option<Fault> {
    expect_fault(|| {
        // SAFETY: the exception takes the CPU back here, behind the `blr`.
        unsafe { asm!("blr {}", in(reg) address, clobber_abi("C")) }
    })
}

fn walks(name: &str, at: u64) {
    let fault = expect_fault(|| {
        mmio::read64(at as usize);
    });
    expect(&variant!("walk.{name}.load"), fault, class::DATA_ABORT, at);
    let fault = expect_fault(|| mmio::write64(at as usize, 1));
    expect(&variant!("walk.{name}.store"), fault, class::DATA_ABORT, at);
    expect(&variant!("walk.{name}.fetch"), go(at), class::INSTRUCTION_ABORT, at);
    let frame = user::run(read_at_el0, at);
    let seen = (frame.class(), is_walk(frame.esr), frame.far);
    check::equal(&variant!("walk.{name}.el0"), seen, (class::DATA_ABORT_LOWER, true, at));
    // By a pair, whose syndrome says nothing.
    let fault = expect_fault(|| {
        // SAFETY: it faults.
        unsafe { asm!("ldp {0}, {1}, [{2}]", out(reg) _, out(reg) _, in(reg) at) }
    });
    expect(&variant!("walk.{name}.pair"), fault, class::DATA_ABORT, at);
    // Maintenance needs the translation, too, if there are caches (QEMU has none).
    let fault = expect_fault(|| {
        // SAFETY: maintenance.
        unsafe { asm!("dc cvac, {}", in(reg) at) }
    });
    if fault.is_some() {
        expect(&variant!("walk.{name}.clean"), fault, class::DATA_ABORT, at);
    }
    // AT: an abort as for a load, or PAR_EL1 tells of the fault. Never what was there before.
    for (how, read) in [("at-read", true), ("at-write", false)] {
        let before = 0x1234_5000_u64;
        msr!(PAR_EL1, before);
        arch::isb();
        let fault = expect_fault(|| {
            // SAFETY: it changes PAR_EL1 alone.
            unsafe {
                if read {
                    asm!("at s1e1r, {}", "isb", in(reg) at)
                } else {
                    asm!("at s1e1w, {}", "isb", in(reg) at)
                }
            }
        });
        let name = variant!("walk.{name}.{how}");
        match fault {
            Some(_) => expect(&name, fault, class::DATA_ABORT, at),
            None => {
                let par = mrs!(PAR_EL1);
                check::equal(&name, (par & 1, is_walk(par >> 1)), (1, true));
            }
        }
    }
}

/// By TTBR1_EL1 that is itself a device's address.
fn upper(name: &str, table: u64) {
    msr!(TTBR1_EL1, table);
    msr!(TCR_EL1, TCR_BOTH);
    arch::isb();
    mmu::flush();
    let at = UPPER + (9 << 30);
    let fault = expect_fault(|| {
        mmio::read64(at as usize);
    });
    msr!(TCR_EL1, mmu::TCR);
    msr!(TTBR1_EL1, 0);
    arch::isb();
    mmu::flush();
    expect(&variant!("walk.{name}-1.load"), fault, class::DATA_ABORT, at);
}
