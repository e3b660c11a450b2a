//! The probes that end by themselves on one CPU, and how many checks each makes at the least.
//!
//! They run with virtual time counted by instructions: each gives an interrupt a millisecond or two
//! to come, and a busy host may take QEMU away for longer than that.

/// A guest program that reports by `PASS`, `FAIL` and `END`.
#[derive(Clone, Copy)]
pub struct Probe {
    /// Its name in `target/guests`.
    pub name: &'static str,
    /// The least number of checks, so that one that skips its work does not pass.
    pub checks: u64,
    /// Whether its bare reference needs somebody at EL2 or above who answers SMC.
    pub calls_firmware: bool,
}

const fn probe(name: &'static str, checks: u64) -> Probe {
    Probe { name, checks, calls_firmware: false }
}

/// All of them.
pub const PROBES: [Probe; 18] = [
    probe("hvc", 9),
    Probe { calls_firmware: true, ..probe("smc", 7) },
    probe("wfi", 12),
    probe("sysreg", 67),
    probe("dabort", 40),
    probe("iabort", 6),
    probe("isv0", 246),
    probe("fp", 5),
    probe("svc", 6),
    probe("align", 6),
    probe("debug", 7),
    probe("illegal", 12),
    probe("serror", 4),
    probe("fiq", 8),
    probe("pl011", 27),
    probe("gic", 65),
    probe("timer", 49),
    probe("setway", 5),
];
