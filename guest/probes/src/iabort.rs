//! Instruction aborts: going where no code can be.

use crate::dabort::NOTHING;
use crate::{check, program, user};
use core::arch::asm;
use guest_rt::vectors::{Fault, Source, class, expect_fault};
use guest_rt::{head, mmu, uart};

/// The first GiB as Normal memory, executable at EL1.
const EXECUTABLE: u64 = 0x10_0000_0000;
/// The same for EL0.
const EXECUTABLE_EL0: u64 = 0x18_0000_0000;
/// RAM's GiB, executable: behind the end of a small RAM nothing is.
const EXECUTABLE_RAM: u64 = 0x20_0000_0000;

/// ESR_EL1: EC 0x21, IL, IFSC 0x10.
const ABORT: u64 = 0x8600_0010;
const ABORT_FROM_EL0: u64 = 0x8200_0010;

fn go(address: u64) -> Option<Fault> {
    expect_fault(|| {
        // SAFETY: the exception takes the CPU back here, behind the `blr`.
        unsafe { asm!("blr {}", in(reg) address, clobber_abi("C")) }
    })
}

fn nothing_there(name: &str, address: u64) {
    match go(address) {
        None => check::failed(name, "no abort", "one"),
        Some(f) => check::equal(
            name,
            (f.esr, f.far, f.elr, f.source as u64, f.count),
            (ABORT, address, address, Source::CurrentSpx as u64, 1),
        ),
    }
}

program!(jump: "br x0");

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    let normal = mmu::NORMAL | mmu::SHARED | mmu::ACCESSED;
    mmu::map_gib(EXECUTABLE, 0, normal);
    mmu::map_gib(EXECUTABLE_EL0, 0, normal | mmu::USER | mmu::READ_ONLY);
    mmu::map_gib(EXECUTABLE_RAM, 0x4000_0000, normal);
    nothing_there("iabort.nothing", EXECUTABLE + NOTHING);
    nothing_there("iabort.nothing-later-in-page", EXECUTABLE + NOTHING + 0xffc);
    nothing_there("iabort.behind-ram", EXECUTABLE_RAM + 0x3ff0_0000);

    let address = EXECUTABLE_EL0 + NOTHING;
    let frame = user::run(jump, address);
    check::equal(
        "iabort.el0",
        (frame.esr, frame.far, frame.elr, frame.source() as u64),
        (ABORT_FROM_EL0, address, address, Source::Lower64 as u64),
    );

    // From a device: an abort, or its registers are taken for instructions, and they are none.
    let fault = go(EXECUTABLE + uart::FR as u64);
    let class = fault.map(|f| f.class());
    check::that(
        "iabort.device",
        matches!(class, Some(class::INSTRUCTION_ABORT | class::UNKNOWN)),
        "an instruction abort or an undefined instruction",
    );
    // Stage 1 alone: never-execute memory gives a permission fault, level 1 here.
    let fault = go(uart::BASE as u64);
    check::equal("iabort.never-execute", fault.map_or(0, |f| f.esr), 0x8600_000d);
}
