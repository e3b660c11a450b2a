//! ACTLR_EL1 and the space of IMPLEMENTATION DEFINED registers and instructions. By the book they
//! are UNDEFINED here (HCR_EL2.TIDCP); QEMU 7.2 doesn't look at that bit, and has some that are
//! constant or ignore what is written.

use crate::tools::{self, Seen, execute, saw};
use crate::variant;
use probes::check;
use probes::scan::{self, encoding};

/// The attack.
pub fn attack() {
    tools::saw_read("impdef", encoding(3, 0, 1, 0, 1)); // ACTLR_EL1
    tools::saw_write("impdef", encoding(3, 0, 1, 0, 1), !0);
    tools::saw_read("impdef", encoding(3, 0, 1, 0, 1));
    let (mut tried, mut kept, mut odd) = (0, 0, 0);
    for op1 in 0..8 {
        for crn in [11, 15] {
            let (mut reads, mut writes) = (0_u64, 0_u64);
            for n in 0..128 {
                let register = encoding(3, op1, crn, n >> 3, n & 7);
                tried += 1;
                let before = scan::try_read(register);
                for ones in [0x5555_5555_5555_5555, !0x5555_5555_5555_5555] {
                    match scan::try_write(register, ones) {
                        Ok(()) => writes += 1,
                        Err(fault) => odd += u64::from(fault.esr != 1 << 25),
                    }
                }
                match before {
                    Ok(value) => {
                        reads += 1;
                        kept += u64::from(scan::try_read(register).ok() != Some(value));
                    }
                    Err(fault) => odd += u64::from(fault.esr != 1 << 25),
                }
            }
            saw(&variant!("impdef.s3_{op1}_c{crn}"), format_args!("{reads} {writes}"));
        }
        // SYS and SYSL, of which the implementer's are CRn = 11 and 15 as well.
        for crn in [11_u32, 15] {
            let mut faults = 0;
            for n in 0..128_u32 {
                let fields = (op1 as u32) << 16 | crn << 12 | (n >> 3) << 8 | (n & 7) << 5;
                for instruction in [0xd508_0000, 0xd528_0000] {
                    faults += u32::from(execute(&[instruction | fields], [0; 4]).1.is_some());
                }
            }
            saw(&variant!("impdef.sys_{op1}_c{crn}"), faults);
        }
    }
    check::equal("impdef.tried", tried, 2048);
    check::equal("impdef.undefined-or-there", odd, 0);
    // What would be kept would be another VM's to find.
    check::equal("impdef.nothing-kept", kept, 0);
    saw("impdef.el0", Seen(Ok(tools_at_el0())));
}

probes::program!(at_el0: "mrs x1, S3_3_C15_C2_0");

fn tools_at_el0() -> u64 {
    probes::user::run(at_el0, 0).esr
}
