//! Extensions of the architecture that a guest is not offered: UNDEFINED, registers and
//! instructions (XSA-351). And two registers that QEMU's `max` has though they are not offered,
//! out of reach of any trap: they are switched.

use crate::tools::{self, Seen, execute, saw, saw_read, saw_write};
use crate::variant;
use guest_rt::{arch, msr};
use probes::scan::{self, encoding};

/// TPIDR2_EL0 of SME, DISR_EL1 of RAS.
pub const UNTRAPPED: [scan::Encoding; 2] = [encoding(3, 3, 13, 0, 5), encoding(3, 0, 12, 1, 1)];

/// Name, op1, CRn, CRm: op2 goes from 0 to 7.
const REGISTERS: [(&str, usize, usize, usize); 15] = [
    ("amu", 3, 13, 2),
    ("amu", 3, 13, 4),
    ("amu", 3, 13, 12),
    ("spe", 0, 9, 9),
    ("spe", 0, 9, 10),
    ("trbe", 0, 9, 11),
    ("lor", 0, 10, 4),
    ("mpam", 0, 10, 5),
    ("mpam", 4, 10, 4),
    ("ras", 0, 5, 3),
    ("ras", 0, 5, 4),
    ("ras", 0, 5, 5),
    ("sve-sme-trf", 0, 1, 2),
    ("el2", 4, 1, 1),
    ("el3", 6, 1, 1),
];

/// What the assembler would want an extension for.
const INSTRUCTIONS: [(&str, u32); 8] = [
    ("cntb", 0x04a0_e3e0),
    ("ptrue", 0x2518_e3e0),
    ("ldr-z", 0x8580_4000),
    ("rdsvl", 0x04bf_5820),
    ("smstart", 0xd503_477f),
    ("smc-without-el3", 0xd4c0_0000),
    ("irg", 0x9ac0_1000),
    ("ld64b", 0xf83f_d000),
];

/// The attack.
pub fn attack() {
    msr!(CPACR_EL1, 3 << 20 | 3 << 16 | 3 << 24); // FP, SVE, SME not trapped by EL1
    arch::isb();
    for (area, op1, crn, crm) in REGISTERS {
        for op2 in 0..8 {
            let family = variant!("extensions.{area}");
            saw_read(&family, encoding(3, op1, crn, crm, op2));
            saw_write(&family, encoding(3, op1, crn, crm, op2), !0);
        }
    }
    for (name, instruction) in INSTRUCTIONS {
        let address = guest_rt::mmu::layout().bss.start;
        let (x, fault) = execute(&[instruction], [address, 0, 0, 0]);
        saw(&variant!("extensions.{name}"), Seen(fault.map_or(Ok(x[0]), Err)));
    }
    for register in UNTRAPPED {
        if scan::try_read(register).is_ok() {
            tools::hold("extensions", &[register], 60);
        }
    }
}
