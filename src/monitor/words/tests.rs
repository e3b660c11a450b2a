use std::format;
use std::string::{String, ToString};

use super::*;
use crate::memory::Pa;
use crate::memory::stage2::{vtcr, vttbr};

/// 39 bits, 4 KiB granule.
fn regime() -> Regime {
    Regime { root: 0, granule: 12, bits: 39, start: 1, tagged: false }
}

fn said(stage: Stage, level: u8, descriptor: u64) -> String {
    let mut out = String::new();
    step(&mut out, &regime(), stage, &Step { level, at: 0x4021_a000, descriptor }, None);
    let words = out.trim_end().split_once("  ").and_then(|(_, rest)| rest.split_once("  "));
    words.expect("a level, a value, words").1.into()
}

/// The words of docs/observe.md, which gdb's commands say.
#[test]
fn descriptors_are_said_as_gdb_says_them() {
    let mut line = String::new();
    let block = Step { level: 1, at: 0x4021_a000, descriptor: 0x0060_0000_0000_0401 };
    step(&mut line, &regime(), Stage::One(0xff00), &block, Some(0x4261_a000));
    assert_eq!(
        line,
        "level 1  0x4021a000 (PA 0x4261a000): 0x0060000000000401  block of 1 GiB to 0x0, \
         AttrIndx 0 Device-nGnRnE, EL1 read/write, EL0 none, PXN, UXN, non-shareable, AF\n"
    );
    assert_eq!(said(Stage::Two, 1, 0x4041_f003), "table at 0x4041f000");
    assert_eq!(said(Stage::Two, 2, 0), "invalid: translation fault level 2");
    assert_eq!(said(Stage::Two, 3, 1), "reserved encoding: translation fault level 3");
    assert_eq!(
        said(Stage::Two, 2, 0x0040_0000_4260_07fd),
        "block of 2 MiB to 0x42600000, Normal write-back, S2AP read/write, XN, inner shareable, AF"
    );
    assert_eq!(
        said(Stage::Two, 3, 0x0900_0047),
        "page of 4 KiB to 0x9000000, Device-nGnRE, S2AP read-only, non-shareable, \
         AF 0: access flag fault level 3"
    );
    assert_eq!(
        said(Stage::One(0), 1, 1 << 63 | 1 << 59 | 0x4041_f003),
        "table at 0x4041f000, NSTable, PXNTable"
    );
}

#[test]
fn memory_types_are_those_of_mair() {
    let of = |attribute: u64| {
        let words = said(Stage::One(attribute << 8), 2, 0x4020_0405);
        words.split(", ").nth(1).and_then(|word| word.strip_prefix("AttrIndx 1 ")).map(String::from)
    };
    for (attribute, words) in [
        (0x00, "Device-nGnRnE"),
        (0x04, "Device-nGnRE"),
        (0x0c, "Device-GRE"),
        (0x01, "reserved"),
        (0x44, "Normal non-cacheable"),
        (0xff, "Normal write-back"),
        (0xbb, "Normal write-through"),
        (0x77, "Normal write-back transient"),
        (0x33, "Normal write-through transient"),
    ] {
        assert_eq!(of(attribute).as_deref(), Some(words), "{attribute:#x}");
    }
    let mixed = said(Stage::One(0x4f << 8), 2, 0x4020_0405);
    assert!(mixed.contains("Normal inner write-back, outer non-cacheable"), "{mixed}");
}

#[test]
fn stage_2_is_what_the_hypervisor_makes_it() {
    let regime = Regime::stage2(vttbr(1, Pa::new(0x4041_8000)), vtcr(40, 2, false));
    assert_eq!((regime.root, regime.bits, regime.start), (0x4041_8000, 40, 1));
    assert_eq!(size(regime.granule).to_string(), "4 KiB");
    assert_eq!(size(29).to_string(), "512 MiB");
}

#[test]
fn pstate_is_in_words() {
    assert_eq!(pstate(0x3c5).to_string(), "EL1h, nzcv, masked DAIF");
    assert_eq!(pstate(0x6000_0004).to_string(), "EL1t, nZCv, nothing masked");
    assert_eq!(pstate(0x8040_1080).to_string(), "EL0, Nzcv, masked I, PAN, SSBS");
    assert_eq!(pstate(0x0020_0210).to_string(), "EL0 (AArch32), nzcv, nothing masked, SS");
}

#[test]
fn what_matters_of_sctlr_is_in_words() {
    let off = "MMU off, data cache off, instruction cache off";
    assert_eq!(sctlr(0x30d0_0800).to_string(), off);
    assert_eq!(sctlr(0x30d0_198d).to_string(), "MMU on, data cache on, instruction cache on, SA");
}

#[test]
fn a_syndrome_alone_has_no_address() {
    assert_eq!(
        syndrome(0x9385_0045).to_string(),
        "EC 0x24 data abort from a lower EL: write of 4 bytes from w5, translation fault level 1"
    );
    assert_eq!(syndrome(0x5600_0000 | 7).to_string(), "EC 0x15 SVC from AArch64: #0x7");
}

#[test]
fn a_field_says_what_it_is_and_what_it_should_be() {
    let table = [
        (0, u64::MAX, "HPMN", "counters"),
        (5, 1, "TPM", "all of them"),
        (6, 0, "TDE", "not here"),
        (10, 2, "BSU", "barriers"),
    ];
    let mut out = String::new();
    fields(&mut out, 0x806 | 1 << 6, &table);
    let wanted = [
        "  bit 0   HPMN     0x6  counters",
        "  bit 5   TPM      0x0 (stated 0x1)  all of them",
        "  bit 6   TDE      0x1 (stated 0x0)  not here",
        "  bit 10  BSU      0x2  barriers",
    ];
    assert_eq!(out, format!("{}\n", wanted.join("\n")));
}
