//! Debug registers: breakpoints at the vectors and watchpoints on all memory that a neighbour has
//! too, single steps, locks. They are this VM's alone (XSA-93).

use crate::tools::{pause, saw, saw_read, saw_write};
use guest_rt::{arch, mrs, msr, vectors};
use probes::scan::{self, Encoding, encoding};
use probes::{check, debug};

/// A register of the kind 4 (BVR), 5 (BCR), 6 (WVR), 7 (WCR).
fn numbered(kind: usize, n: usize) -> Encoding {
    encoding(2, 0, 0, n, kind)
}

/// MDSCR_EL1: SS, KDE, MDE.
const SS: u64 = 1;
const KDE: u64 = 1 << 13;
const MDE: u64 = 1 << 15;
/// At EL0 and EL1: PMC, and PAC, = 0b11.
const LEVELS: u64 = 0b11 << 1;

/// The attack. Its own debug exceptions are masked at EL1 (PSTATE.D), as a kernel's are at boot.
pub fn attack() {
    debug::checks();
    msr!(OSLAR_EL1, 0);
    let dfr0 = mrs!(ID_AA64DFR0_EL1);
    let (breakpoints, watchpoints) = (dfr0 >> 12 & 0xf, dfr0 >> 20 & 0xf);
    for n in 0..16 {
        for kind in 4..8 {
            saw_write("debug", numbered(kind, n), 0);
        }
    }
    // The vectors lie at the same address in each of these guests.
    for n in 0..=breakpoints as usize {
        let _ = scan::try_write(numbered(4, n), vectors::table() + 0x80 * n as u64 + 0x200);
        let _ = scan::try_write(numbered(5, n), 1 | LEVELS | 0xf << 5);
    }
    // MASK = 31: two GiB, all of the RAM that a small VM has; then each at half of it.
    for n in 0..=watchpoints as usize {
        let _ = scan::try_write(numbered(6, n), 0);
        let _ = scan::try_write(numbered(7, n), 1 | LEVELS | 0b11 << 3 | 0xff << 5 | 31 << 24);
    }
    for (name, control) in [
        ("debug.break-and-watch", KDE | MDE),
        ("debug.step", SS | KDE),
        ("debug.all", SS | KDE | MDE),
    ] {
        msr!(MDSCR_EL1, control);
        arch::isb();
        let kept = (0..60).all(|round| {
            pause(round);
            mrs!(MDSCR_EL1) == control
        });
        check::that(name, kept, "MDSCR_EL1 as written");
    }
    msr!(MDSCR_EL1, 0);
    arch::isb();
    let kept = (0..=breakpoints as usize).all(|n| {
        scan::try_read(numbered(4, n)).ok() == Some(vectors::table() + 0x80 * n as u64 + 0x200)
    });
    check::that("debug.breakpoints-kept", kept, "addresses as written");
    for n in 0..16 {
        for kind in [5, 7] {
            let _ = scan::try_write(numbered(kind, n), 0);
        }
    }
    locks();
}

/// The locks, the debug channel, external debug: what a kernel may find in the way.
fn locks() {
    for (op1, crn, crm, op2) in [
        (0, 0, 2, 0),  // MDCCINT_EL1
        (0, 0, 3, 2),  // OSDTRTX_EL1
        (0, 0, 6, 2),  // OSECCR_EL1
        (0, 1, 0, 0),  // MDRAR_EL1
        (0, 1, 1, 4),  // OSLSR_EL1
        (0, 7, 8, 6),  // DBGCLAIMSET_EL1
        (0, 7, 9, 6),  // DBGCLAIMCLR_EL1
        (0, 7, 14, 6), // DBGAUTHSTATUS_EL1
        (3, 0, 1, 0),  // MDCCSR_EL0
        (3, 0, 4, 0),  // DBGDTR_EL0
        (3, 0, 5, 0),  // DBGDTRRX_EL0
        (4, 0, 7, 0),  // DBGVCR32_EL2
    ] {
        saw_read("debug", encoding(2, op1, crn, crm, op2));
    }
    for value in [1, 0] {
        msr!(OSLAR_EL1, value);
        arch::isb();
        pause(1);
        saw(&crate::variant!("debug.lock-{value}"), mrs!(OSLSR_EL1) >> 1 & 1);
    }
    // HLT halts for an external debugger alone; as a semihosting call it would be QEMU's.
    let hlt = crate::tools::execute(&[0xd45e_0000], [0x18, 0, 0, 0]).1;
    check::equal("debug.hlt-f000-undefined", hlt.map(|fault| fault.esr), Some(1 << 25));
}
