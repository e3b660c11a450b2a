//! Errata of the CPUs that concern a hypervisor, by MIDR_EL1, and what is done about each. A
//! guest's kernel finds its own by the same register. Source: Arm's Software Developers Errata
//! Notices of each core.

use log::debug;

/// An erratum: core, the revisions that have it, and what is done.
struct Erratum {
    number: &'static str,
    /// MIDR_EL1.PartNum; the implementer is Arm.
    part: u64,
    /// The last revision that has it, as variant << 4 | revision.
    until: u64,
    title: &'static str,
    remedy: &'static str,
}

const A53: u64 = 0xd03;
const A55: u64 = 0xd05;
const A57: u64 = 0xd07;
const A72: u64 = 0xd08;
const A76: u64 = 0xd0b;
const ALL: u64 = 0xff;

const SPECULATIVE_AT: &str = "a speculative AT while registers are switched can fill the TLB";
/// Done on every core: it costs two writes of TCR_EL1 and an ISB.
const NO_WALKS: &str = "TCR_EL1.EPD0 and EPD1 are set meanwhile (exit/guest.rs, el2/cache.rs)";

#[rustfmt::skip]
const ERRATA: &[Erratum] = &[
    Erratum { number: "1319537", part: A57, until: ALL, title: SPECULATIVE_AT, remedy: NO_WALKS },
    Erratum { number: "1319367", part: A72, until: ALL, title: SPECULATIVE_AT, remedy: NO_WALKS },
    Erratum { number: "1530924", part: A53, until: ALL, title: SPECULATIVE_AT, remedy: NO_WALKS },
    Erratum { number: "1530923", part: A55, until: 0x20, title: SPECULATIVE_AT, remedy: NO_WALKS },
    Erratum { number: "1165522", part: A76, until: 0x20, title: SPECULATIVE_AT, remedy: NO_WALKS },
    Erratum { number: "819472", part: A53, until: 0x01,
        title: "a clean by address may lose a store to the line",
        remedy: "EL2 cleans with DC CIVAC only (el2/cache.rs)" },
    Erratum { number: "843419", part: A53, until: 0x04,
        title: "a load or store after ADRP at the end of a page may go astray",
        remedy: "the linker keeps such pairs apart" },
];

/// Says, to those who want to know, which of them this CPU has.
pub fn tell(midr: u64) {
    let revision = midr >> 16 & 0xf0 | midr & 0xf;
    let is_arm = midr >> 24 & 0xff == 0x41;
    let part = midr >> 4 & 0xfff;
    for one in ERRATA.iter().filter(|one| is_arm && one.part == part && revision <= one.until) {
        debug!("erratum {}: {}: {}", one.number, one.title, one.remedy);
    }
}
