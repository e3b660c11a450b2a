//! Alignment faults: of the PC, of the stack pointer, of data where EL1 asks for it.

use crate::{check, program, user};
use core::arch::asm;
use guest_rt::vectors::{Source, expect_fault};
use guest_rt::{arch, el0, head, mrs, msr};

/// SCTLR_EL1.A: unaligned data accesses fault.
const SCTLR_A: u64 = 1 << 1;

program!(jump: "br x0");
program!(use_stack: "ldr x1, [sp]");
program!(unaligned: "ldr x1, [x0]");

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    // EC 0x22: FAR and ELR are the misaligned address.
    let target = run as *const () as u64 + 2;
    let fault = expect_fault(|| {
        // SAFETY: the exception takes the CPU back here, behind the `blr`.
        unsafe { asm!("blr {}", in(reg) target, clobber_abi("C")) }
    });
    let seen = fault.map(|f| (f.esr, f.far, f.elr, f.source as u64));
    check::equal("align.pc", seen, Some((0x8a00_0000, target, target, Source::CurrentSpx as u64)));
    let frame = user::run(jump, target);
    check::equal(
        "align.pc-el0",
        (frame.esr, frame.elr, frame.source() as u64),
        (0x8a00_0000, target, Source::Lower64 as u64),
    );

    // EC 0x26, with a misaligned SP_EL0 used at EL1 and at EL0.
    msr!(SP_EL0, user::stack() as u64 - 24);
    let fault = expect_fault(|| {
        // SAFETY: a load from a stack that nobody uses.
        unsafe { asm!("msr SPSel, #0", "ldr {0}, [sp]", "msr SPSel, #1", out(reg) _) }
    });
    let seen = fault.map(|f| (f.esr, f.source as u64));
    let frame = user::run_with(use_stack, user::stack() - 24, 0, el0::SPSR_EL0);
    if seen.is_none() && frame.class() == 0x15 {
        check::skipped("align.sp", "this machine (QEMU 7.2) never checks the stack pointer");
    } else {
        check::equal("align.sp", seen, Some((0x9a00_0000, Source::CurrentSp0 as u64)));
        check::equal(
            "align.sp-el0",
            (frame.esr, frame.elr),
            (0x9a00_0000, use_stack as *const () as u64),
        );
    }

    // Data: DFSC 0x21, with SCTLR_EL1.A and always for exclusives.
    let address = user::stack() as u64 - 61;
    let sctlr = mrs!(SCTLR_EL1);
    let frame = user::run(unaligned, address);
    check::equal("align.data-allowed", frame.class(), 0x15);
    msr!(SCTLR_EL1, sctlr | SCTLR_A);
    arch::isb();
    let frame = user::run(unaligned, address);
    check::equal("align.data-el0", (frame.esr, frame.far), (0x9200_0021, address));
    let fault = expect_fault(|| {
        // SAFETY: a load from the user section.
        unsafe { asm!("ldr {0}, [{1}]", out(reg) _, in(reg) address) }
    });
    msr!(SCTLR_EL1, sctlr);
    arch::isb();
    check::equal("align.data", fault.map(|f| (f.esr, f.far)), Some((0x9600_0021, address)));
    let fault = expect_fault(|| {
        // SAFETY: a load from the user section.
        unsafe { asm!("ldxr {0}, [{1}]", "clrex", out(reg) _, in(reg) address) }
    });
    check::equal("align.exclusive", fault.map(|f| (f.esr, f.far)), Some((0x9600_0021, address)));
}
