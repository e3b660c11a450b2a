//! Family 31: CPUs with the same ASID and different tables, and with TLB maintenance that is for
//! one CPU alone: no translation crosses from one to another (`probes::asid`). And a performance
//! counter that counts at EL2, too, could tell of a neighbour by a hypercall: there is none.

use probes::{asid, check, scan};

/// PMEVTYPER0_EL0, PMCCFILTR_EL0, PMCNTENSET_EL0, PMCR_EL0.
const COUNTERS: [scan::Encoding; 4] = [
    scan::encoding(3, 3, 14, 12, 0),
    scan::encoding(3, 3, 14, 15, 7),
    scan::encoding(3, 3, 9, 12, 1),
    scan::encoding(3, 3, 9, 12, 0),
];

/// The attack.
pub fn attack() {
    asid::checks();
    // ID_AA64DFR0_EL1.PMUVer.
    let version = guest_rt::mrs!(ID_AA64DFR0_EL1) >> 8 & 0xf;
    check::that("asid.pmu-hidden", matches!(version, 0 | 15), "no PMU");
    for register in COUNTERS {
        // NSH, to count at EL2.
        let wrote = scan::try_write(register, 1 << 27 | 1).is_err();
        let name = crate::variant!("asid.pmu-{}", scan::Name(register));
        check::that(&name, wrote, "UNDEFINED");
    }
}
