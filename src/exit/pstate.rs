//! PSTATE as SPSR_ELx holds it (Arm DDI 0487, SPSR_EL2), and what becomes of it and of the PC
//! when an instruction was emulated.
//!
//! Two layouts share one register. Bit 4 (nRW) says which: 0 is AArch64, 1 is AArch32, which a
//! guest of ours can only be at EL0, since HCR_EL2.RW makes its EL1 AArch64.

use super::esr::Esr;

/// M[4]: the exception came from AArch32.
pub const NRW: u64 = 1 << 4;
/// SP (AArch64): the level's own stack pointer, not SP_EL0. EL0 has 0.
pub const SP: u64 = 1;
/// M[4:0]: EL1 on SP_EL1.
pub const EL1H: u64 = 0b0101;
/// D, A, I and F: debug exceptions, SError, IRQ and FIQ masked. In AArch32 D is E, the data
/// endianness.
pub const DAIF: u64 = 0xf << 6;
/// BTYPE (AArch64): what kind of branch led to this instruction, for FEAT_BTI.
pub const BTYPE: u64 = 0b11 << 10;
/// SSBS (AArch64): speculative store bypass is safe. Bit 23 in AArch32.
pub const SSBS: u64 = 1 << 12;
/// SS: a software step is active and its instruction has not been executed yet.
pub const SS: u64 = 1 << 21;
/// PAN: privileged accesses to EL0's memory fault.
pub const PAN: u64 = 1 << 22;
/// DIT: data-independent timing. Bit 24 in SPSR_ELx for both execution states.
pub const DIT: u64 = 1 << 24;
/// V, the overflow flag.
pub const V: u64 = 1 << 28;
/// C, the carry flag.
pub const C: u64 = 1 << 29;
/// Z, the zero flag.
pub const Z: u64 = 1 << 30;
/// N, the negative flag.
pub const N: u64 = 1 << 31;
/// The four condition flags.
pub const NZCV: u64 = N | Z | C | V;

/// SCTLR_EL1.EE, bit 25: data is big-endian at EL1 (and E0E, bit 24, at EL0).
const SCTLR_EE: u64 = 1 << 25;
/// SCTLR_EL1.E0E.
const SCTLR_E0E: u64 = 1 << 24;
/// E of AArch32: data is big-endian. In AArch64 this is D.
const E: u64 = 1 << 9;

/// IT[1:0] of AArch32 in bits 26:25, IT[7:2] in bits 15:10.
const IT_MASK: u64 = 0b11 << 25 | 0b11_1111 << 10;

/// Whether the exception came from AArch32 (which is EL0 then).
pub const fn is_aarch32(pstate: u64) -> bool {
    pstate & NRW != 0
}

/// Whether loads and stores are little-endian at EL1 and at EL0 alike, and code is AArch64: so it
/// is with nearly every guest.
pub const fn is_plain(pstate: u64, sctlr_el1: u64) -> bool {
    sctlr_el1 & (SCTLR_EE | SCTLR_E0E) == 0 && !is_aarch32(pstate)
}

/// Whether loads and stores are big-endian: `BigEndian()` of the pseudocode.
pub const fn is_big_endian(pstate: u64, sctlr_el1: u64) -> bool {
    match (is_aarch32(pstate), level(pstate)) {
        (true, _) => pstate & E != 0,
        (false, 0) => sctlr_el1 & SCTLR_E0E != 0,
        (false, _) => sctlr_el1 & SCTLR_EE != 0,
    }
}

/// The exception level the PSTATE stands for: 0 to 3.
pub const fn level(pstate: u64) -> u8 {
    if is_aarch32(pstate) { 0 } else { (pstate >> 2 & 3) as u8 }
}

/// AArch32's ITSTATE, the progress through a T32 IT block: 0 outside of one.
const fn itstate(pstate: u64) -> u8 {
    ((pstate >> 25 & 0b11) | (pstate >> 10 & 0b11_1111) << 2) as u8
}

/// Steps over the instruction that ELR points at, as its execution would have done.
///
/// Returns the new (PC, PSTATE). Not for HVC and SVC, whose ELR is past the instruction already.
/// In AArch64 that is PC + 4 and BTYPE = 0; in AArch32 the length comes from ESR.IL and ITSTATE
/// moves on. PSTATE.SS goes to 0, so that a guest which single-steps itself gets its step
/// exception after the emulated instruction instead of one instruction late (DDI 0487,
/// "Software Step exceptions", SSAdvance).
pub const fn step_over(esr: Esr, pc: u64, pstate: u64) -> (u64, u64) {
    if !is_aarch32(pstate) {
        return (pc.wrapping_add(4), pstate & !(BTYPE | SS));
    }
    step_over_a32(esr, pc, pstate)
}

#[cold]
const fn step_over_a32(esr: Esr, pc: u64, pstate: u64) -> (u64, u64) {
    let pc = pc.wrapping_add(if esr.il() { 4 } else { 2 }) & 0xffff_ffff;
    let it = it_advance(itstate(pstate)) as u64;
    let pstate = pstate & !(IT_MASK | SS);
    (pc, pstate | (it & 0b11) << 25 | (it >> 2) << 10)
}

/// `ITAdvance()` of the pseudocode: the last instruction of the block leaves it.
const fn it_advance(it: u8) -> u8 {
    if it & 0b111 == 0 { 0 } else { (it & 0b1110_0000) | (it << 1 & 0b1_1111) }
}

/// `ConditionHolds()` of the pseudocode: does the A32 condition `cond` hold for these flags?
const fn condition_holds(cond: u8, pstate: u64) -> bool {
    let n = pstate & N != 0;
    let z = pstate & Z != 0;
    let c = pstate & C != 0;
    let v = pstate & V != 0;
    let holds = match cond >> 1 & 7 {
        0 => z,
        1 => c,
        2 => n,
        3 => v,
        4 => c && !z,
        5 => n == v,
        6 => n == v && !z,
        _ => return true,
    };
    holds != (cond & 1 != 0)
}

/// Whether a trapped instruction would have been executed at all.
///
/// A trap on a conditional AArch32 instruction may be taken although its condition fails (it is
/// IMPLEMENTATION DEFINED). Such an instruction is a NOP: step over it and emulate nothing. CV
/// says whether COND is valid; where it isn't, the instruction was T32 and its condition is that
/// of the IT block (DDI 0487, ISS encodings with CV and COND).
pub const fn condition_passed(esr: Esr, pstate: u64) -> bool {
    !is_aarch32(pstate) || condition_passed_a32(esr, pstate)
}

#[cold]
const fn condition_passed_a32(esr: Esr, pstate: u64) -> bool {
    if !esr.ec().has_condition() {
        return true;
    }
    let iss = esr.iss();
    let cond = if iss & 1 << 24 != 0 {
        (iss >> 20 & 0xf) as u8
    } else {
        match itstate(pstate) {
            0 => return true,
            it => it >> 4,
        }
    };
    condition_holds(cond, pstate)
}
