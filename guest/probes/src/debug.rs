//! Self-hosted debug: BRK, single step, hardware breakpoints and watchpoints belong to the guest
//! (ID_AA64DFR0_EL1.DebugVer says at least Armv8), and the OS lock works.

use crate::{check, program, user};
use core::arch::asm;
use guest_rt::vectors::expect_fault;
use guest_rt::{arch, el0, head, mrs, msr};

/// MDSCR_EL1.SS: step one instruction where SPSR.SS says so.
const MDSCR_SS: u64 = 1 << 0;
/// MDSCR_EL1.MDE: breakpoints and watchpoints on.
const MDSCR_MDE: u64 = 1 << 15;
/// SPSR_EL1.SS: run one instruction, then the step exception.
const SPSR_SS: u64 = 1 << 21;

program!(steps: "add x1, x0, #1", "add x1, x1, #1", "add x1, x1, #1");
program!(load: "nop", "ldr x1, [x0]");

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    let mut at = 0_u64;
    let fault = expect_fault(|| {
        // SAFETY: BRK changes nothing; its handler steps over it.
        unsafe { asm!("adr {}, 2f", "2: brk #0x77", out(reg) at) }
    });
    check::equal("debug.brk", fault.map(|f| (f.esr, f.elr)), Some((0xf200_0077, at)));

    os_lock();
    single_step();
    breakpoint();
    watchpoint();
}

fn os_lock() {
    msr!(OSLAR_EL1, 1);
    arch::isb();
    check::equal("debug.os-locked", mrs!(OSLSR_EL1) >> 1 & 1, 1);
    msr!(OSLAR_EL1, 0);
    arch::isb();
    check::equal("debug.os-unlocked", mrs!(OSLSR_EL1) >> 1 & 1, 0);
    msr!(OSDLR_EL1, 0);
}

fn single_step() {
    msr!(MDSCR_EL1, MDSCR_SS);
    arch::isb();
    let frame = user::run_with(steps, user::stack(), 10, el0::SPSR_EL0 | SPSR_SS);
    msr!(MDSCR_EL1, 0);
    arch::isb();
    // EC 0x32, IL, ISV, IFSC 0x22; one instruction has run.
    check::equal(
        "debug.step",
        (frame.esr, frame.elr, frame.x[1]),
        (0xcb00_0022, steps as *const () as u64 + 4, 11),
    );
    let frame = user::run(steps, 10);
    check::equal("debug.step-off", (frame.class(), frame.x[1]), (0x15, 13));
}

fn breakpoint() {
    let address = steps as *const () as u64 + 8;
    msr!(DBGBVR0_EL1, address);
    // DBGBCR: E, PMC = 0b10 (EL0), BAS = 0b1111, an address breakpoint.
    msr!(DBGBCR0_EL1, 1 | 0b10 << 1 | 0xf << 5);
    msr!(MDSCR_EL1, MDSCR_MDE);
    arch::isb();
    let frame = user::run(steps, 10);
    msr!(DBGBCR0_EL1, 0);
    msr!(MDSCR_EL1, 0);
    arch::isb();
    // EC 0x30, IFSC 0x22.
    check::equal(
        "debug.breakpoint",
        (frame.esr, frame.elr, frame.x[1]),
        (0xc200_0022, address, 12),
    );
}

fn watchpoint() {
    let address = user::stack() as u64 - 64;
    msr!(DBGWVR0_EL1, address);
    // DBGWCR: E, PAC = 0b10 (EL0), LSC = 0b11 (loads and stores), BAS: eight bytes.
    msr!(DBGWCR0_EL1, 1 | 0b10 << 1 | 0b11 << 3 | 0xff << 5);
    msr!(MDSCR_EL1, MDSCR_MDE);
    arch::isb();
    let frame = user::run(load, address);
    msr!(DBGWCR0_EL1, 0);
    msr!(MDSCR_EL1, 0);
    arch::isb();
    // EC 0x34, DFSC 0x22.
    check::equal(
        "debug.watchpoint",
        (frame.esr & 0xffff_ff3f, frame.far, frame.elr),
        (0xd200_0022, address, load as *const () as u64 + 4),
    );
}
