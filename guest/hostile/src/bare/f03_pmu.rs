//! The performance monitors, which would count what others do: UNDEFINED, from EL0 too.

use crate::tools::{saw_read, saw_write};
use guest_rt::mrs;
use guest_rt::vectors::class;
use probes::scan::encoding;
use probes::{check, program, user};

program!(count_at_el0: "mrs x1, S3_3_C9_C13_0");
program!(enable_at_el0: "msr S3_3_C9_C12_0, x0");

/// The attack.
pub fn attack() {
    // ID_AA64DFR0_EL1.PMUVer, ID_DFR0_EL1.PerfMon.
    check::equal("pmu.not-offered", mrs!(ID_AA64DFR0_EL1) >> 8 & 0xf, 0);
    check::equal("pmu.not-offered-to-aarch32", mrs!(ID_DFR0_EL1) >> 24 & 0xf, 0);
    let groups = [(0, 9, 14..15), (3, 9, 12..15), (3, 14, 8..16)];
    for (op1, crn, crms) in groups {
        for register in crms.flat_map(|crm| (0..8).map(move |op2| encoding(3, op1, crn, crm, op2)))
        {
            saw_read("pmu", register);
            saw_write("pmu", register, !0);
        }
    }
    for (name, program) in [
        ("pmu.el0-counts", count_at_el0 as guest_rt::el0::User),
        ("pmu.el0-enables", enable_at_el0),
    ] {
        // The hardware has PMUSERENR_EL0, and it says EC 0x18; else it is UNDEFINED.
        let frame = user::run(program, 1);
        check::that(name, matches!(frame.class(), 0 | class::SYSREG), "an exception to EL1");
    }
}
