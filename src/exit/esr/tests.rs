use std::collections::BTreeSet;
use std::string::ToString;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::pstate::{self, condition_passed, step_over};
use super::*;
use crate::memory::Ipa;

/// SPSR_EL2.M[4:0]: AArch32 User mode, the only AArch32 mode of EL0; and T: T32 instructions.
const A32_USER: u64 = 0b1_0000;
const T: u64 = 1 << 5;

/// HPFAR_EL2 for the page of `ipa`, as the CPU reports it.
fn hpfar(ipa: u64) -> u64 {
    ipa >> 12 << 4
}

fn line(esr: u64, far: u64, hpfar: u64) -> std::string::String {
    Report { esr: Esr::new(esr), far, hpfar }.to_string()
}

// Measured on a Cortex-A57.

#[test]
fn golden_hvc() {
    let esr = Esr::new(0x5a00_0042);
    assert_eq!(esr.ec(), Ec::HVC64);
    assert_eq!(esr.iss(), 0x42);
    assert_eq!(line(0x5a00_0042, 0, 0), "EC 0x16 HVC from AArch64: #0x42");
}

#[test]
fn golden_wfi() {
    let esr = Esr::new(0x07e0_0000);
    assert_eq!(esr.ec(), Ec::WFX);
    assert!(esr.il());
    assert!(!esr.waits_for_event());
    assert_eq!(line(0x07e0_0000, 0, 0), "EC 0x01 trapped WFI or WFE: WFI");
}

#[test]
fn golden_smc() {
    let esr = Esr::new(0x5e00_0003);
    assert_eq!(esr.ec(), Ec::SMC64);
    assert_eq!(esr.iss(), 3);
    assert_eq!(line(0x5e00_0003, 0, 0), "EC 0x17 SMC from AArch64: #0x3");
}

#[test]
fn golden_msr_sctlr_el1() {
    let esr = Esr::new(0x6230_0460);
    let access = SysRegAccess::new(esr);
    assert_eq!(esr.ec(), Ec::SYSREG);
    assert_eq!(access.register(), reg::SCTLR_EL1);
    assert!(!access.read());
    assert_eq!(access.rt(), 3);
    assert_eq!(
        line(0x6230_0460, 0, 0),
        "EC 0x18 trapped MSR, MRS or SYS: write of SCTLR_EL1 from x3"
    );
}

#[test]
fn golden_mrs_id_aa64pfr0_el1() {
    let access = SysRegAccess::new(Esr::new(0x6230_0069));
    assert_eq!(access.register(), SysReg::new(3, 0, 0, 4, 0));
    assert!(access.register().is_feature_id());
    assert!(access.read());
    assert_eq!(access.rt(), 3);
}

#[test]
fn golden_str_w5_to_a_device() {
    let esr = Esr::new(0x9385_0045);
    let abort = Abort::new(esr);
    assert_eq!(esr.ec(), Ec::DATA_ABORT_LOWER);
    assert!(abort.write() && !abort.stage1_walk() && !abort.cache_maintenance());
    assert!(abort.fault().is_translation());
    let access = abort.access().expect("decodable");
    assert_eq!((access.bytes(), access.rt(), access.write()), (4, 5, true));
    assert!(!access.sixty_four() && !access.sign_extend());
    assert_eq!(abort.ipa(0xffff_0000_0000_0018, hpfar(0x900_0000)), Some(Ipa::new(0x900_0018)));
    assert_eq!(
        line(0x9385_0045, 0x4000_0000, hpfar(0x900_0000)),
        "EC 0x24 data abort from a lower EL: write of 4 bytes from w5 at IPA 0x9000000, \
         translation fault level 1"
    );
}

#[test]
fn golden_ldrb_w6_from_a_device() {
    let access = Abort::new(Esr::new(0x9306_0005)).access().expect("decodable");
    assert_eq!((access.bytes(), access.rt(), access.write()), (1, 6, false));
    assert_eq!(
        line(0x9306_0005, 0x18, hpfar(0x900_0000)),
        "EC 0x24 data abort from a lower EL: read of 1 byte into w6 at IPA 0x9000018, \
         translation fault level 1"
    );
}

#[test]
fn golden_stp_has_no_syndrome() {
    let abort = Abort::new(Esr::new(0x9200_0045));
    assert_eq!(abort.access(), None);
    assert!(abort.write());
    assert_eq!(abort.ipa(0x10, hpfar(0x900_0000)), Some(Ipa::new(0x900_0010)));
    assert_eq!(
        line(0x9200_0045, 0x10, hpfar(0x900_0000)),
        "EC 0x24 data abort from a lower EL: write without a syndrome at IPA 0x9000010, \
         translation fault level 1"
    );
}

// Aborts.

#[test]
fn an_access_needs_isv_whatever_bit_10_says() {
    // The well-known slip tests `!(iss & 1 << 10) | (iss & 1 << 24)`, which is always true.
    for fnv in [0, 1 << 10] {
        let iss = 0x85_0045 | fnv;
        let without = Esr::compose(Ec::DATA_ABORT_LOWER, true, iss);
        let with = Esr::compose(Ec::DATA_ABORT_LOWER, true, iss | 1 << 24);
        assert_eq!(Abort::new(without).access(), None);
        assert!(Abort::new(with).access().is_some());
    }
}

#[test]
fn walks_maintenance_and_external_aborts_are_no_accesses() {
    let valid = 0x185_0045;
    for iss in [valid | 1 << 7, valid | 1 << 8, valid & !0x3f | 0x10, valid & !0x3f | 0x21] {
        let esr = Esr::compose(Ec::DATA_ABORT_LOWER, true, iss);
        assert_eq!(Abort::new(esr).access(), None, "{iss:#x}");
    }
    let permission = Esr::compose(Ec::DATA_ABORT_LOWER, true, valid & !0x3f | 0x0f);
    assert!(Abort::new(permission).access().is_some());
}

#[test]
fn the_ipa_is_known_for_stage_2_walks_only() {
    let far = 0x1234;
    let ipa = |fsc: u32| {
        Abort::new(Esr::compose(Ec::DATA_ABORT_LOWER, true, fsc)).ipa(far, hpfar(0x5_0000_0000))
    };
    for fsc in [0x00, 0x05, 0x0b, 0x2b] {
        assert_eq!(ipa(fsc), Some(Ipa::new(0x5_0000_0234)), "{fsc:#x}");
    }
    for fsc in [0x0d, 0x0f, 0x10, 0x15, 0x21, 0x30] {
        assert_eq!(ipa(fsc), None, "{fsc:#x}");
    }
    // S1PTW: also for permission faults, and without FAR's offset.
    assert_eq!(ipa(0x0f | 1 << 7), Some(Ipa::new(0x5_0000_0000)));
}

#[test]
fn hpfar_holds_40_bits_of_page_number() {
    let abort = Abort::new(Esr::compose(Ec::INSTRUCTION_ABORT_LOWER, true, 0x04));
    // NS (bit 63) and the reserved bits are not part of the address.
    let ipa = abort.ipa(0xfff, !0).expect("decodable");
    assert_eq!(ipa.get(), 0x000f_ffff_ffff_ffff);
}

#[test]
fn abort_lines_name_what_is_known() {
    let dabt = |iss| Esr::compose(Ec::DATA_ABORT_LOWER, true, iss).bits();
    assert_eq!(
        line(dabt(0x10 | 1 << 10), 0, 0),
        "EC 0x24 data abort from a lower EL: read without a syndrome at an unknown address, \
         synchronous external abort"
    );
    assert_eq!(
        line(dabt(0x86), 0x77, hpfar(0x900_0000)),
        "EC 0x24 data abort from a lower EL: stage-1 table walk, for a read at IPA 0x9000000, \
         translation fault level 2"
    );
    assert_eq!(
        line(dabt(0x4f), 0xffff_8000, 0),
        "EC 0x24 data abort from a lower EL: write without a syndrome at VA 0xffff8000, \
         permission fault level 3"
    );
    assert_eq!(
        line(dabt(0x1ff_8007), 0x8, hpfar(0x1000)),
        "EC 0x24 data abort from a lower EL: read of 8 bytes into xzr (sign-extended) at IPA \
         0x1008, translation fault level 3"
    );
    assert_eq!(
        line(Esr::compose(Ec::INSTRUCTION_ABORT_LOWER, true, 5).bits(), 4, hpfar(0x1000)),
        "EC 0x20 instruction abort from a lower EL: fetch at IPA 0x1004, translation fault level 1"
    );
    // EL2's own: no IPA, whatever HPFAR_EL2 still holds.
    assert_eq!(
        line(Esr::compose(Ec::DATA_ABORT_SAME, true, 0x47).bits(), 0x10, hpfar(0x1000)),
        "EC 0x25 data abort at the same EL: write without a syndrome at VA 0x10, \
         translation fault level 3"
    );
}

#[test]
fn each_fault_code_has_its_own_line_and_kind() {
    let faults: Vec<_> = (0..64).map(Fault::new).collect();
    let lines: BTreeSet<_> = faults.iter().map(ToString::to_string).collect();
    assert_eq!(lines.len(), 64);
    let with = |text: &str| faults.iter().filter(|f| f.to_string().contains(text)).count();
    assert_eq!((with("address size"), with("translation"), with("access flag")), (6, 6, 4));
    assert_eq!((with("permission"), with("external"), with("table walk")), (4, 7, 17));
    for fault in &faults {
        let line = fault.to_string();
        let starts = |texts: &[&str]| texts.iter().any(|text| line.starts_with(text));
        assert_eq!(fault.is_translation(), starts(&["translation"]), "{line}");
        assert_eq!(fault.is_stage2(), starts(&["translation", "access", "permission"]), "{line}");
        assert_eq!(fault.sets_hpfar(), starts(&["translation", "access", "address"]), "{line}");
        assert_eq!(fault.is_external(), line.contains("external abort"), "{line}");
    }
    for (code, line) in [
        (0x29, "address size fault level -1"),
        (0x2c, "address size fault level -2"),
        (0x2a, "translation fault level -2"),
        (0x2b, "translation fault level -1"),
        (0x12, "synchronous external abort on a table walk, level -2"),
        (0x17, "synchronous external abort on a table walk, level 3"),
        (0x1b, "synchronous parity or ECC error on a table walk, level -1"),
        (0x23, "granule protection fault on a table walk, level -1"),
        (0x3f, "reserved fault status 0x3f"),
    ] {
        assert_eq!(Fault::new(code).to_string(), line);
    }
    assert_eq!((Fault::EXTERNAL.code(), Fault::EXTERNAL_ON_WALK.code()), (0x10, 0x17));
}

/// An access as the syndrome of a data abort says it.
fn access(write: bool, size: u8, rt: u8, sign_extend: bool, sixty_four: bool) -> Access {
    let flags = u32::from(sign_extend) << 21 | u32::from(sixty_four) << 15 | u32::from(write) << 6;
    let iss = 1 << 24 | u32::from(size) << 22 | u32::from(rt) << 16 | flags | 5;
    Abort::new(Esr::compose(Ec::DATA_ABORT_LOWER, true, iss)).access().expect("decodable")
}

#[test]
fn loads_are_cut_and_extended() {
    let load = |size, sse, sf| access(false, size, 0, sse, sf);
    assert_eq!(load(0, false, false).loaded(0x1234_5680), 0x80);
    assert_eq!(load(0, true, false).loaded(0x80), 0xffff_ff80);
    assert_eq!(load(0, true, true).loaded(0x80), 0xffff_ffff_ffff_ff80);
    assert_eq!(load(1, true, true).loaded(0x7fff), 0x7fff);
    assert_eq!(load(2, true, true).loaded(0x8000_0000), 0xffff_ffff_8000_0000);
    assert_eq!(load(2, false, false).loaded(!0), 0xffff_ffff);
    assert_eq!(load(3, false, true).loaded(!0), !0);
    assert_eq!(access(true, 1, 0, false, false).stored(0xabcd_1234), 0x1234);
}

// Other classes.

#[test]
fn every_class_has_a_name_and_its_own_number() {
    for (i, class) in Ec::ALL.iter().enumerate() {
        assert_ne!(class.name(), "unallocated exception class");
        assert!(Ec::ALL.iter().skip(i + 1).all(|other| other != class), "{class}");
    }
    assert_eq!(Ec(0x02).to_string(), "EC 0x02 unallocated exception class");
}

/// The ISS of a write of `register` from X0, by the manual's positions.
fn sysreg_iss(register: SysReg) -> u32 {
    let [op0, op2, op1] = [register.op0(), register.op2(), register.op1()].map(u32::from);
    let [crn, crm] = [register.crn(), register.crm()].map(u32::from);
    op0 << 20 | op2 << 17 | op1 << 14 | crn << 10 | crm << 1
}

#[test]
fn sysreg_keys_match_and_print() {
    assert_eq!(SysReg::new(3, 0, 1, 0, 0), reg::SCTLR_EL1);
    assert_eq!(reg::ICC_SGI1R_EL1.to_string(), "ICC_SGI1R_EL1");
    assert_eq!(SysReg::new(3, 1, 15, 2, 7).to_string(), "S3_1_C15_C2_7");
    let r = SysReg::new(2, 3, 14, 9, 6);
    assert_eq!((r.op0(), r.op1(), r.crn(), r.crm(), r.op2()), (2, 3, 14, 9, 6));
    // MVFR0_EL1 is one; MIDR_EL1, S3_0_C0_C8_0 and CCSIDR_EL1 are none.
    assert!(SysReg::new(3, 0, 0, 3, 0).is_feature_id() && !reg::SCTLR_EL1.is_feature_id());
    for (op1, crm) in [(0, 0), (0, 8), (1, 0)] {
        assert!(!SysReg::new(3, op1, 0, crm, 0).is_feature_id());
    }
    assert!([0, 1, 3].into_iter().all(|op1| SysReg::new(3, op1, 0, 7, 6).is_id()));
    assert!(!SysReg::new(3, 2, 0, 0, 0).is_id() && !SysReg::new(3, 1, 0, 8, 0).is_id());
    // dc cisw, x2
    let esr = Esr::compose(Ec::SYSREG, true, sysreg_iss(reg::DC_CISW) | 2 << 5);
    assert_eq!(line(esr.bits(), 0, 0), "EC 0x18 trapped MSR, MRS or SYS: DC_CISW with x2");
}

#[test]
fn smaller_classes_print() {
    let of = |ec, iss| line(Esr::compose(ec, true, iss).bits(), 0x1003, 0);
    assert_eq!(of(Ec::UNKNOWN, 0), "EC 0x00 unknown reason");
    assert_eq!(
        of(Ec::WFX, 2 | 1 << 2 | 9 << 5),
        "EC 0x01 trapped WFI or WFE: WFIT until the time in x9"
    );
    // mrc p15, 0, r4, c9, c13, 2
    let mrc = 2 << 17 | 9 << 10 | 4 << 5 | 13 << 1 | 1;
    assert_eq!(
        of(Ec::CP15_MCR, mrc),
        "EC 0x03 trapped MCR or MRC (coproc 15): mrc p15, 0, w4, c9, c13, 2"
    );
    // mrrc p15, 1, r2, r3, c14
    assert_eq!(
        of(Ec::CP15_MCRR, 1 << 16 | 3 << 10 | 2 << 5 | 14 << 1 | 1),
        "EC 0x04 trapped MCRR or MRRC (coproc 15): mrrc p15, 1, w2, w3, c14"
    );
    assert_eq!(of(Ec::ERET, 3), "EC 0x1a trapped ERET: ERETAB");
    assert_eq!(of(Ec::PC_ALIGNMENT, 0), "EC 0x22 PC alignment fault: PC 0x1003");
    assert_eq!(of(Ec::BRK, 0xf000), "EC 0x3c BRK from AArch64: #0xf000");
    assert_eq!(
        of(Ec::WATCHPOINT_LOWER, 0x62),
        "EC 0x34 watchpoint from a lower EL: write at VA 0x1003"
    );
    assert_eq!(
        of(Ec::STEP_LOWER, 1 << 24 | 1 << 6),
        "EC 0x32 software step from a lower EL: stepped a load-exclusive"
    );
    assert_eq!(of(Ec::PAC_FAIL, 2), "EC 0x1c pointer authentication failure: data key A");
    assert_eq!(of(Ec(0x3f), 0x12), "EC 0x3f unallocated exception class: ISS 0x12");
}

#[test]
fn serror_severity_only_where_it_is_valid() {
    let print = |iss| line(Esr::compose(Ec::SERROR, true, iss).bits(), 0, 0);
    assert_eq!(print(0), "EC 0x2f SError: uncategorised");
    assert_eq!(print(3 << 10), "EC 0x2f SError: uncategorised");
    assert_eq!(print(0x11), "EC 0x2f SError: asynchronous, uncontainable");
    assert_eq!(print(0x11 | 1 << 10), "EC 0x2f SError: asynchronous, unrecoverable");
    assert_eq!(print(0x11 | 6 << 10), "EC 0x2f SError: asynchronous, corrected");
    assert_eq!(print(0x11 | 5 << 10), "EC 0x2f SError: asynchronous, reserved severity 5");
    assert_eq!(print(0x12), "EC 0x2f SError: DFSC 0x12");
    assert_eq!(print(1 << 24 | 0x11), "EC 0x2f SError: IMPLEMENTATION DEFINED syndrome 0x11");
}

// AArch32 at EL0.

#[test]
fn conditions() {
    use pstate::{C, N, V, Z};
    for (cond, flags, holds) in [
        (0x0, Z, true),
        (0x1, Z, false),
        (0x2, C, true),
        (0x3, C, false),
        (0x4, N, true),
        (0x6, V, true),
        (0x8, C, true),
        (0x8, C | Z, false),
        (0x9, C | Z, true),
        (0xa, N | V, true),
        (0xb, N, true),
        (0xc, N | V | Z, false),
        (0xd, N | V | Z, true),
        (0xe, 0, true),
        (0xf, 0, true),
    ] {
        let esr = Esr::compose(Ec::WFX, true, 1 << 24 | cond << 20);
        assert_eq!(condition_passed(esr, flags | A32_USER), holds, "{cond:x} {flags:x}");
        assert!(condition_passed(esr, flags), "AArch64 has no conditional traps");
        // A class without CV: the same bits mean something else.
        let hvc = Esr::compose(Ec::HVC32, true, 1 << 24 | cond << 20);
        assert!(condition_passed(hvc, flags | A32_USER));
    }
}

#[test]
fn a_t32_condition_comes_from_the_it_block() {
    use pstate::Z;
    let esr = Esr::compose(Ec::WFX, false, 0);
    let in_it = |it: u64, flags| A32_USER | T | (it & 3) << 25 | (it >> 2) << 10 | flags;
    assert!(condition_passed(esr, in_it(0, 0)));
    // ITE EQ, at its first instruction: condition EQ.
    assert!(condition_passed(esr, in_it(0x0c, Z)));
    assert!(!condition_passed(esr, in_it(0x0c, 0)));
}

#[test]
fn stepping_over() {
    use pstate::{BTYPE, EL1H, SS};
    let (a64, t16) = (Esr::compose(Ec::SYSREG, true, 0), Esr::compose(Ec::CP15_MCR, false, 0));
    assert_eq!(step_over(a64, 0x1000, EL1H | BTYPE | SS), (0x1004, EL1H));
    assert_eq!(step_over(a64, !3, EL1H), (0, EL1H));
    let state = |it: u64| A32_USER | T | (it & 3) << 25 | (it >> 2) << 10;
    assert_eq!(step_over(t16, 0x1000, state(0) | SS), (0x1002, state(0)));
    assert_eq!(step_over(t16, 0xffff_fffe, state(0x0c)), (0, state(0x18 & 0x1f)));
    assert_eq!(step_over(t16, 0, state(0x08)), (2, state(0)));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 16 } else { 2000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn anything_can_be_printed_and_stepped_over(esr: u64, far: u64, hpfar: u64, pstate: u64) {
        prop_assert!(!line(esr, far, hpfar).is_empty());
        prop_assert!(!line(esr, far, hpfar).contains('\n'));
        let (pc, after) = step_over(Esr::new(esr), far, pstate);
        prop_assert!(pc != far || pstate::is_aarch32(pstate));
        prop_assert_eq!(after & (pstate::NRW | pstate::NZCV), pstate & (pstate::NRW | pstate::NZCV));
        let _ = condition_passed(Esr::new(esr), pstate);
    }

    #[test]
    fn an_access_survives_its_composition(write: bool, size in 0u8..4, rt in 0u8..32, sse: bool, sf: bool, raw: u64) {
        let access = access(write, size, rt, sse, sf);
        prop_assert_eq!(access.write(), write);
        prop_assert_eq!(access.bytes(), 1 << size);
        prop_assert_eq!(access.rt(), rt);
        prop_assert_eq!(access.sign_extend(), sse);
        prop_assert_eq!(access.sixty_four(), sf);
        let mask = u64::MAX >> (64 - 8 * u32::from(access.bytes()));
        prop_assert_eq!(access.stored(raw), raw & mask);
        prop_assert_eq!(access.loaded(raw) & mask, if sse && !sf && size == 3 { raw & 0xffff_ffff } else { raw & mask });
    }

    #[test]
    fn a_key_is_its_operands(op0 in 0u8..4, op1 in 0u8..8, crn in 0u8..16, crm in 0u8..16, op2 in 0u8..8, rt in 0u32..32, read in 0u32..2) {
        let key = SysReg::new(op0, op1, crn, crm, op2);
        prop_assert_eq!((key.op0(), key.op1(), key.crn(), key.crm(), key.op2()), (op0, op1, crn, crm, op2));
        let access = SysRegAccess::new(Esr::compose(Ec::SYSREG, true, sysreg_iss(key) | rt << 5 | read));
        prop_assert_eq!(access.register(), key);
        prop_assert_eq!((u32::from(access.rt()), u32::from(access.read())), (rt, read));
    }
}
