use proptest::prelude::*;

use super::*;
use crate::exit::pstate::*;

const VBAR: u64 = 0xffff_0000_4008_0800;

/// SPSR_EL2.M[4:0]: EL0, EL1 on SP_EL0, and AArch32 User mode.
const EL0T: u64 = 0b0_0000;
const EL1T: u64 = 0b0_0100;
const A32_USER: u64 = 0b1_0000;
/// Fields of SPSR_EL2 that no exception to EL1 carries on.
const T: u64 = 1 << 5;
const D: u64 = 1 << 9;
const IL: u64 = 1 << 20;
const UAO: u64 = 1 << 23;

fn at(pstate: u64) -> Context {
    Context {
        pc: 0xffff_0000_4009_1234,
        pstate,
        vbar_el1: VBAR,
        sctlr_el1: SCTLR_SPAN,
        pan: false,
        ssbs: false,
    }
}

#[test]
fn the_vector_depends_on_where_the_guest_was() {
    for (pstate, group) in [(EL1T, 0x000), (EL1H, 0x200), (EL0T, 0x400), (A32_USER | T, 0x600)] {
        let entry = take(Exception::unknown(), &at(pstate | N));
        assert_eq!(entry.pc, VBAR + group, "{pstate:#x}");
        assert_eq!(entry.pstate, N | DAIF | EL1H);
        assert_eq!(entry.spsr_el1, pstate | N);
    }
}

#[test]
fn reserved_bits_of_vbar_and_its_wrap_do_no_harm() {
    let context = Context { vbar_el1: !0, ..at(EL0T) };
    assert_eq!(take(Exception::unknown(), &context).pc, 0xffff_ffff_ffff_fc00);
}

#[test]
fn el1h_synchronous() {
    let entry = take(Exception::unknown(), &at(EL1H | Z | C));
    assert_eq!(
        entry,
        Entry {
            pc: VBAR + 0x200,
            pstate: 0x6000_03c5,
            spsr_el1: 0x6000_0005,
            elr_el1: 0xffff_0000_4009_1234,
            esr_el1: 0x0200_0000,
            far_el1: None,
        }
    );
}

#[test]
fn aarch32_state_does_not_reach_the_handler() {
    // Flags, Q, IT, GE, E, T, DIT, SSBS (bit 23 in AArch32), all set.
    let pstate = 0xff8f_fe30 | T | A32_USER;
    let entry = take(Exception::unknown(), &Context { pc: 0xdead_0000_8000, ..at(pstate) });
    assert_eq!(entry.pstate, NZCV | DIT | DAIF | EL1H);
    assert_eq!(entry.spsr_el1, pstate);
    assert_eq!(entry.elr_el1, 0x0000_8000);
}

#[test]
fn what_an_exception_clears() {
    let entry =
        take(Exception::reflect(Esr::new(0x3a00_0000), 0), &at(EL1H | IL | SS | BTYPE | UAO | D));
    assert_eq!(entry.pstate, DAIF | EL1H);
    assert_eq!(entry.esr_el1, 0x3a00_0000);
}

#[test]
fn dit_stays_and_pan_stays() {
    let entry = take(Exception::unknown(), &at(EL1H | DIT | PAN));
    assert_eq!(entry.pstate, DIT | PAN | DAIF | EL1H);
}

#[test]
fn pan_follows_span() {
    let take = |sctlr_el1, pan| {
        take(Exception::unknown(), &Context { sctlr_el1, pan, ..at(EL1H) }).pstate & PAN
    };
    assert_eq!(take(0, true), PAN);
    assert_eq!(take(SCTLR_SPAN, true), 0);
    assert_eq!(take(0, false), 0);
}

#[test]
fn ssbs_follows_dssbs() {
    let take = |sctlr_el1, ssbs| {
        take(Exception::unknown(), &Context { sctlr_el1, ssbs, ..at(EL1H | SSBS) }).pstate & SSBS
    };
    assert_eq!(take(SCTLR_DSSBS, true), SSBS);
    assert_eq!(take(0, true), 0);
    assert_eq!(take(SCTLR_DSSBS, false), 0);
}

#[test]
fn external_aborts_for_each_level_and_kind() {
    // str w5, [nowhere] from EL1, as measured: 0x93850045.
    let write = Exception::external_abort(Esr::new(0x9385_0045), 0x1000_0000);
    let entry = take(write, &at(EL1H));
    assert_eq!(entry.esr_el1, 0x9600_0050);
    assert_eq!(entry.far_el1, Some(0x1000_0000));
    assert_eq!(take(write, &at(EL1T)).esr_el1, 0x9600_0050);
    assert_eq!(take(write, &at(EL0T)).esr_el1, 0x9200_0050);
    assert_eq!(take(write, &at(A32_USER)).esr_el1, 0x9200_0050);
    // A fetch.
    let fetch = Exception::external_abort(Esr::new(0x8200_0005), 0x1000_0000);
    assert_eq!(take(fetch, &at(EL1H)).esr_el1, 0x8600_0010);
    assert_eq!(take(fetch, &at(EL0T)).esr_el1, 0x8200_0010);
    // The guest's own tables lie in nowhere.
    let walk = Exception::external_abort(Esr::new(0x9200_0085), 0x77);
    assert_eq!(take(walk, &at(EL1H)).esr_el1, 0x9600_0017);
    // Cache maintenance: CM and WnR.
    let cache = Exception::external_abort(Esr::new(0x9200_0145), 0x77);
    assert_eq!(take(cache, &at(EL1H)).esr_el1, 0x9600_0150);
    // FAR unknown: said so, and FAR_EL1 left alone.
    let unknown = take(Exception::external_abort(Esr::new(0x9200_0410), 0x77), &at(EL1H));
    assert_eq!((unknown.esr_el1, unknown.far_el1), (0x9600_0410, None));
}

#[test]
fn reflected_exceptions_lose_what_is_for_el2_alone() {
    let take = |esr, pstate| take(Exception::reflect(Esr::new(esr), 0x77), &at(pstate));
    // A data abort with syndrome, taken to EL2 in AArch32 halfword code.
    let abort = take(0x9185_8010 | 1 << 6, EL0T);
    assert_eq!((abort.esr_el1, abort.far_el1), (0x9200_0050, Some(0x77)));
    // BRK keeps its number, and FAR_EL1 its value.
    let brk = take(0xf200_f000, EL1H);
    assert_eq!((brk.esr_el1, brk.far_el1), (0xf200_f000, None));
    // Watchpoint and step: same EL, lower EL.
    assert_eq!(take(0xd200_0062, EL1H).esr_el1, 0xd600_0062);
    assert_eq!(take(0xd200_0062, EL1H).far_el1, Some(0x77));
    assert_eq!(take(0xca00_0022, EL1T).esr_el1, 0xce00_0022);
    assert_eq!(take(0xca00_0022, EL0T).esr_el1, 0xca00_0022);
}

#[test]
fn syndromes_as_the_manual_gives_them() {
    assert_eq!(Exception::unknown().esr.bits(), 0x0200_0000);
    // Misaligned PC: FAR_EL1 is the PC. Misaligned SP, and an SVC: none, and all of the ISS.
    let reflect = |esr| Exception::reflect(Esr::new(esr), 0x1002);
    assert_eq!(reflect(0x8a00_0000).far, Some(0x1002));
    for esr in [0x9a00_0000, 0x5600_0042] {
        assert_eq!((reflect(esr).esr.bits(), reflect(esr).far), (esr, None));
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 16 } else { 2000 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_state_gives_a_proper_entry(pc: u64, pstate: u64, vbar_el1: u64, sctlr_el1: u64, esr: u64, far: u64, pan: bool, ssbs: bool) {
        let context = Context { pc, pstate, vbar_el1, sctlr_el1, pan, ssbs };
        for exception in [
            Exception::unknown(),
            Exception::external_abort(Esr::new(esr), far),
            Exception::reflect(Esr::new(esr), far),
        ] {
            let entry = take(exception, &context);
            prop_assert_eq!(entry.pstate & 0x1f, EL1H);
            prop_assert_eq!(entry.pstate & DAIF, DAIF);
            prop_assert_eq!(entry.pstate & (IL | SS | BTYPE | UAO), 0);
            prop_assert_eq!(entry.pstate & NZCV, pstate & NZCV);
            prop_assert_eq!(entry.pstate >> 32, 0);
            prop_assert_eq!(entry.pc & !0x7ff, vbar_el1 & !0x7ff);
            prop_assert_eq!(entry.pc & 0x7f, 0);
            prop_assert_eq!(entry.spsr_el1, pstate);
        }
    }
}
