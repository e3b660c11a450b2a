use std::collections::HashMap;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;

/// 39 bits, 4 KiB granule, for both halves.
const TCR: u64 = 25 | 25 << 16 | 2 << 30;

fn on() -> Stage1 {
    Stage1 { sctlr: 1, tcr: TCR, ttbr: [0x4000_1000, 0x5_0000_4000_2000] }
}

/// Memory of doublewords.
fn memory_of(words: &[(u64, u64)]) -> impl Fn(u64) -> Option<u64> {
    let words: HashMap<u64, u64> = words.iter().copied().collect();
    move |at| words.get(&at).copied()
}

fn stage1_of(registers: &Stage1, va: u64, tables: &[(u64, u64)]) -> (String, Option<u64>) {
    let mut out = String::new();
    let walk = registers.walk(va, memory_of(tables));
    let ipa = stage1(&mut out, (registers, 0xff), va, &walk, |ipa| Some(ipa + 0x100_0000));
    (out, ipa)
}

#[test]
fn a_walk_of_stage_1_is_told_step_by_step() {
    let (said, ipa) = stage1_of(&on(), 0x4020_0123, &[(0x4000_1008, 0x4020_0401)]);
    assert_eq!(ipa, Some(0x4020_0123));
    let wanted = [
        "TTBR0_EL1 0x40001000 (ASID 0, root 0x40001000), 39 bits, 4 KiB granule, from level 1",
        "level 1  0x40001008 (PA 0x41001008): 0x0000000040200401  block of 1 GiB to 0x40000000, \
         AttrIndx 0 Normal write-back, EL1 read/write, EL0 none, non-shareable, AF",
        "VA 0x40200123 is IPA 0x40200123",
    ];
    assert_eq!(said.lines().collect::<Vec<_>>(), wanted);
    let (said, ipa) = stage1_of(&on(), 0xffff_ff80_0000_0000, &[(0x4000_2000, 0)]);
    assert_eq!(ipa, None);
    assert!(said.starts_with("TTBR1_EL1 0x5000040002000 (ASID 5, root 0x40002000)"), "{said}");
    assert!(said.contains("invalid: translation fault level 1"), "{said}");
    assert!(said.ends_with("a translation fault, which the guest itself takes\n"), "{said}");
}

#[test]
fn a_walk_that_does_not_begin_says_why() {
    let off = Stage1::default();
    let (said, ipa) = stage1_of(&off, 0x1234, &[]);
    assert_eq!(ipa, Some(0x1234));
    let why = "VA 0x1234 is the IPA: SCTLR_EL1.M is 0, the guest's translation is off\n";
    assert_eq!(said, why);
    let (said, ipa) = stage1_of(&on(), 1 << 45, &[]);
    assert_eq!(ipa, None);
    assert!(said.contains("is in neither half"), "{said}");
    let (said, ipa) = stage1_of(&on(), 0x4020_0000, &[]);
    assert_eq!(ipa, None);
    assert!(said.contains("has its table where the VM has no memory"), "{said}");
}

#[test]
fn a_walk_of_stage_2_says_what_nothing_means() {
    let regime = Regime { root: 0x5000, granule: 12, bits: 40, start: 1, tagged: false };
    let said = |ipa: u64, tables: &[(u64, u64)], is_memory| {
        let mut out = String::new();
        stage2(&mut out, &regime, &regime.walk(ipa, memory_of(tables)), ipa, is_memory);
        out.lines().last().unwrap_or_default().to_string()
    };
    let block = [(0x5008, 0x6003), (0x6008, 0x4260_07fd)];
    assert_eq!(said(0x4020_0010, &block, true), "IPA 0x40200010 is at PA 0x42600010");
    let none = [(0x5008, 0x6003), (0x6008, 0)];
    assert!(said(0x4020_0000, &none, true).contains("is nothing yet"));
    assert!(said(0x4020_0000, &none, false).contains("is a hole"));
    assert!(said(1 << 40, &[], false).contains("has too many bits"));
}

#[test]
fn registers_have_names_and_words() {
    let mut frame = Frame::reset(0x4020_0000, 7);
    frame.x[30] = 0x99;
    let mut out = String::new();
    let el1 = [("ESR_EL1", 0x9600_0010), ("SPSR_EL1", 0x3c5), ("FAR_EL1", 0xb00_0000)];
    registers(&mut out, &frame, el1.into_iter());
    let lines: Vec<_> = out.lines().collect();
    assert!(lines[0].starts_with("  x0  0000000000000007  x1  0000000000000000  x2  "));
    assert_eq!(lines[7].trim().split("  ").last(), Some("x30 0000000000000099"));
    let wanted = [
        "  PC  0000000040200000",
        "  PSTATE 0x3c5: EL1h, nzcv, masked DAIF",
        "  ESR_EL1        0000000096000010  EC 0x25 data abort at the same EL: read without a \
         syndrome, synchronous external abort",
        "  SPSR_EL1       00000000000003c5  EL1h, nzcv, masked DAIF",
        "  FAR_EL1        000000000b000000",
    ];
    assert_eq!(lines[8..], wanted);
}

/// The backtrace of a vCPU with these x29 and x30.
fn frames(stage1: Stage1, x29: u64, x30: u64, words: &[(u64, u64)]) -> Vec<String> {
    let mut frame = Frame::reset(0x1000, 0);
    (frame.x[29], frame.x[30]) = (x29, x30);
    let mut out = String::new();
    let mut backtrace = Backtrace::new(&mut out, &frame, stage1);
    let memory = memory_of(words);
    while backtrace.step(&mut out, &memory) {}
    out.lines().map(str::to_string).collect()
}

#[test]
fn a_backtrace_follows_frame_records() {
    let stack = [(0x100, 0x200), (0x108, 0x2000), (0x200, 0), (0x208, 0x3000)];
    assert_eq!(
        frames(Stage1::default(), 0x100, 0x2000, &stack),
        ["#0  0x0000000000001000", "#1  0x0000000000002000", "#2  0x0000000000003000"]
    );
    let leaf = frames(Stage1::default(), 0x100, 0x4000, &stack);
    let wanted = "    (x30 0x0000000000004000: its caller, if it has no frame record, or none yet)";
    assert_eq!(leaf[1], wanted);
    assert_eq!(frames(Stage1::default(), 0, 0, &[]).len(), 1);
    assert_eq!(frames(Stage1::default(), 0x104, 0, &[])[1], "(x29 0x104 is no frame record)");
    assert_eq!(frames(Stage1::default(), 0x300, 0, &[])[1], "(x29 0x300: nothing is mapped there)");
    // A record that names itself.
    let endless = frames(Stage1::default(), 0x100, 0, &[(0x100, 0x100), (0x108, 0x10)]);
    assert_eq!(endless.len(), DEPTH + 2);
    assert_eq!(endless.last().map(String::as_str), Some("(more frames follow)"));
}

#[test]
fn return_addresses_lose_their_signature() {
    // A page of the stack, in the high half, and signed return addresses in both halves.
    let tables = [(0x4000_2000, 0x4000_3003), (0x4000_3000, 0x7000_0401)];
    let stack = [
        (0x7000_0100, 0xffff_ff80_0000_0200),
        (0x7000_0108, 0x12b4_ff80_0000_1230),
        (0x7000_0200, 0),
        (0x7000_0208, 0x5634_0000_0020_0000),
    ];
    let words: Vec<_> = tables.into_iter().chain(stack).collect();
    let said = frames(on(), 0xffff_ff80_0000_0100, 0, &words);
    assert_eq!(said[1..], ["#1  0xffffff8000001230", "#2  0x0000000000200000"]);
}

#[test]
fn memory_is_shown_as_numbers_and_characters() {
    let mut out = String::new();
    memory(&mut out, 0x4000_0000, b"Mezzanine\0\x7f\xff  on");
    memory(&mut out, 0x4000_0010, b"!");
    let wanted = [
        "0x0040000000  4d 65 7a 7a 61 6e 69 6e 65 00 7f ff 20 20 6f 6e  |Mezzanine...  on|",
        "0x0040000010  21                                               |!|",
    ];
    assert_eq!(out.lines().collect::<Vec<_>>(), wanted);
    assert_eq!(milliseconds(62_500_000, 62_500_000), "1000.000 ms");
    assert_eq!(microseconds(3, 62_500_000), "0.048 us");
    assert_eq!(milliseconds(u64::MAX, 0), "18446744073709551615000.000 ms");
}
