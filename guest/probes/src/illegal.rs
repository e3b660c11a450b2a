//! An illegal exception return (Arm DDI 0487, D1.6.4): the CPU stays at EL1 with PSTATE.IL set,
//! and the next instruction raises an exception of class 0x0e.

use crate::check;
use core::arch::asm;
use guest_rt::vectors::expect_fault;
use guest_rt::{arch, head};

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    for (name, mode) in [
        ("illegal.el3h", 0b01101),
        ("illegal.el2h", 0b01001),
        ("illegal.el2t", 0b01000),
        ("illegal.reserved-m1", 0b00110),
        ("illegal.aarch32-svc", 0b10011),
        ("illegal.aarch32-hyp", 0b11010),
    ] {
        let mut at = 0_u64;
        let fault = expect_fault(|| {
            // SAFETY: the return goes to the next instruction but one, which raises the exception
            // and is skipped. Interrupts stay masked: D A I F are set in the SPSR.
            unsafe {
                asm!("adr {0}, 2f", "msr ELR_EL1, {0}", "msr SPSR_EL1, {1}", "eret", "2: nop",
                    out(reg) at, in(reg) 0x3c0_u64 | mode);
            }
        });
        let seen = fault.map(|f| (f.esr, f.elr, f.spsr >> 20 & 1, f.count));
        check::equal(name, seen, Some((0x3a00_0000, at, 1, 1)));
        check::equal("illegal.still-el1", arch::current_el(), 1);
    }
}
