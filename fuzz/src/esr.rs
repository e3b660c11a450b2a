//! Syndromes, decoded, against the tables of Arm DDI 0487, "ESR_EL2", read bit by bit; and
//! exceptions for EL1 against `AArch64.TakeException` of its pseudocode.

use crate::input::Input;
use mezzanine::exit::esr::{Abort, Esr, Report, SysRegAccess};
use mezzanine::exit::inject::{Context, Exception, take};
use mezzanine::exit::pstate;

/// A load or store: bytes, sign, register, X register, write.
type Access = (u8, bool, u8, bool, bool);

/// What is decoded of a data abort.
#[derive(Debug, PartialEq)]
struct Facts {
    access: Option<Access>,
    usual: Option<(Access, u64)>,
    ipa: Option<u64>,
    /// Op0, Op1, CRn, CRm, Op2, Rt, read: of a trapped system register.
    sysreg: (u8, u8, u8, u8, u8, u8, bool),
}

/// Takes the bytes for the registers of exceptions.
pub fn run(data: &[u8]) {
    with(data, ours);
}

fn with(data: &[u8], decode: impl Fn(u64, u64, u64) -> Facts) {
    let mut input = Input::new(data);
    while !input.is_empty() {
        let iss = u64::from(input.u32() & 0x1ff_ffff);
        // Data aborts above all.
        let ec = input.pick(&[0x24, 0x24, 0x20, 0x18, 0x25, 0x3c, 0x01, 0x2f]);
        let esr = if input.flag() { input.u64() } else { ec << 26 | iss | 1 << 25 };
        let (far, hpfar) = (input.u64(), input.u64());
        let pstate = u64::from(input.u32());
        assert_eq!(decode(esr, far, hpfar), book(esr, far, hpfar), "{esr:#x}");
        let line = Report { esr: Esr::new(esr), far, hpfar }.to_string();
        assert!(!line.is_empty() && !line.contains('\n'), "{line}");
        let (pc, after) = pstate::step_over(Esr::new(esr), far, pstate);
        let a32 = pstate & 0x10 != 0;
        let length = if a32 && esr >> 25 & 1 == 0 { 2 } else { 4 };
        let whole = if a32 { 0xffff_ffff } else { u64::MAX };
        assert_eq!(pc, far.wrapping_add(length) & whole);
        assert_eq!(after & 0xf000_03df, pstate & 0xf000_03df);
        let _ = pstate::condition_passed(Esr::new(esr), pstate);
        let sctlr_el1 = input.u64();
        let (pan, ssbs) = (input.flag(), input.flag());
        let at = Context { pc: far, pstate, vbar_el1: hpfar, sctlr_el1, pan, ssbs };
        for exception in [
            Exception::unknown(),
            Exception::external_abort(Esr::new(esr), far),
            Exception::reflect(Esr::new(esr), far),
        ] {
            check_entry(exception, &at);
        }
    }
}

fn ours(esr: u64, far: u64, hpfar: u64) -> Facts {
    let abort = Abort::new(Esr::new(esr));
    let facts = |access: mezzanine::exit::esr::Access| {
        let (bytes, sign, rt) = (access.bytes(), access.sign_extend(), access.rt());
        (bytes, sign, rt, access.sixty_four(), access.write())
    };
    let access = SysRegAccess::new(Esr::new(esr));
    let key = access.register();
    Facts {
        access: abort.access().map(facts),
        usual: abort.usual_access(far, hpfar).map(|(access, ipa)| (facts(access), ipa.get())),
        ipa: abort.ipa(far, hpfar).map(|ipa| ipa.get()),
        sysreg: (key.op0(), key.op1(), key.crn(), key.crm(), key.op2(), access.rt(), access.read()),
    }
}

fn book(esr: u64, far: u64, hpfar: u64) -> Facts {
    let bit = |n: u32| esr >> n & 1 == 1;
    let field = |high: u32, low: u32| (esr >> low & ((1 << (high - low + 1)) - 1)) as u8;
    // DFSC: address size, translation, access flag, permission, of levels -2 to 3.
    let (size, translation, flag, permission) = match field(5, 0) {
        0..=3 | 0x29 | 0x2c => (true, false, false, false),
        4..=7 | 0x2a | 0x2b => (false, true, false, false),
        8..=0xb => (false, false, true, false),
        0xc..=0xf => (false, false, false, true),
        _ => (false, false, false, false),
    };
    let (isv, cm, s1ptw) = (bit(24), bit(8), bit(7));
    let access = (1 << field(23, 22), bit(21), field(20, 16), bit(15), bit(6));
    let is_ours = !cm && !s1ptw && (translation || flag || permission);
    // HPFAR_EL2.FIPA, bits 43:4, is IPA[51:12].
    let page = (hpfar >> 4 & 0xff_ffff_ffff) << 12;
    let ipa = if s1ptw {
        Some(page)
    } else {
        (size || translation || flag).then_some(page + (far & 0xfff))
    };
    let access = (isv && is_ours).then_some(access);
    let usual = if field(5, 2) == 1 { access.zip(ipa) } else { None };
    let sysreg = (
        field(21, 20),
        field(16, 14),
        field(13, 10),
        field(4, 1),
        field(19, 17),
        field(9, 5),
        bit(0),
    );
    Facts { access, usual, ipa, sysreg }
}

fn check_entry(exception: Exception, at: &Context) {
    let entry = take(exception, at);
    let bit = |n: u32| at.pstate >> n & 1;
    let group = match (bit(4), at.pstate >> 2 & 3, bit(0)) {
        (1, ..) => 0x600,
        (0, 0, _) => 0x400,
        (_, _, 1) => 0x200,
        _ => 0,
    };
    assert_eq!(entry.pc, (at.vbar_el1 >> 11 << 11).wrapping_add(group));
    let span = at.sctlr_el1 >> 23 & 1;
    let pan = if at.pan && span == 0 { 1 } else { bit(22) };
    let ssbs = if at.ssbs { at.sctlr_el1 >> 44 & 1 } else { 0 };
    let flags = at.pstate & 0xf000_0000;
    let wanted = flags | bit(24) << 24 | pan << 22 | ssbs << 12 | 0x3c5;
    assert_eq!(entry.pstate, wanted, "PSTATE from {:#x}", at.pstate);
    assert_eq!((entry.spsr_el1, entry.far_el1), (at.pstate, exception.far));
    assert_eq!(entry.elr_el1, if bit(4) == 1 { at.pc & 0xffff_ffff } else { at.pc });
    // Of the classes in pairs only the lowest bit may change.
    assert_eq!((entry.esr_el1 ^ exception.esr.bits()) & !(1 << 26), 0);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bite::assert_bites;

    /// `(!(iss & 1 << 10) | (iss & 1 << 24)) != 0` is always true: an LDP without syndrome would
    /// be taken for an access. More than one hypervisor has it.
    #[test]
    fn the_well_known_slip_is_found() {
        assert_bites("esr", run, |data| {
            with(data, |esr, far, hpfar| {
                let always = (!(esr & 1 << 10) | (esr & 1 << 24)) != 0;
                let with_isv = if always { esr | 1 << 24 } else { esr };
                Facts { access: ours(with_isv, far, hpfar).access, ..ours(esr, far, hpfar) }
            });
        });
    }

    #[test]
    fn an_ipa_without_its_lowest_bit_is_found() {
        assert_bites("esr", run, |data| {
            with(data, |esr, far, hpfar| ours(esr, far, hpfar & !0x10))
        });
    }
}
