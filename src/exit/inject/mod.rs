//! Exceptions that a guest takes to EL1, computed.
//!
//! The hypervisor can't make the CPU take an exception to EL1: it does by hand what the hardware
//! does, `AArch64.TakeException` of the Arm ARM's pseudocode (DDI 0487, "Shared pseudocode",
//! and D1, "Exception entry"), and enters the guest at the vector. [`take`] is that function;
//! [`Exception`] is what it takes, with a constructor for each that we have a use for: they are
//! all synchronous, because list registers bring a guest its interrupts and HCR_EL2.VSE its
//! SErrors.
//!
//! The vector is not always VBAR_EL1 + 0x200. Where the guest *was* chooses among four groups:
//!
//! ```text
//!             from EL1 on SP_EL0   EL1 on SP_EL1   EL0 AArch64   EL0 AArch32
//! Synchronous       0x000              0x200          0x400         0x600
//! ```

use super::esr::{Abort, Ec, Esr, Fault};
use super::pstate;

/// SCTLR_EL1.SPAN, bit 23: 0 sets PSTATE.PAN on an exception to EL1 (FEAT_PAN; else RES1).
const SCTLR_SPAN: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS, bit 44: PSTATE.SSBS on an exception to EL1 (FEAT_SSBS).
const SCTLR_DSSBS: u64 = 1 << 44;

/// An exception for EL1: what ESR_EL1 and FAR_EL1 will say.
///
/// Classes come in two flavours, "from a lower EL" and "at the same EL": [`take`] chooses by
/// where the guest was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// The syndrome.
    pub esr: Esr,
    /// The faulting address, for classes that have one.
    pub far: Option<u64>,
}

impl Exception {
    /// EC 0x00, what an UNDEFINED instruction gets: the answer to whatever the guest was not
    /// offered.
    pub const fn unknown() -> Self {
        Self { esr: Esr::compose(Ec::UNKNOWN, true, 0), far: None }
    }

    /// What a bus answers where nothing is: the stage-2 abort (`esr`, `far`) of EL2 turned into
    /// a synchronous external abort for the guest, of data or of instruction as it was.
    ///
    /// If the guest's own table walk went there (S1PTW), it is an external abort *on a walk*.
    /// EL2 is told the level of stage 2, never that of stage 1: 3 is reported, the level where
    /// most walks end.
    pub const fn external_abort(esr: Esr, far: u64) -> Self {
        let walk = Abort::new(esr).stage1_walk();
        let fault = if walk { Fault::EXTERNAL_ON_WALK } else { Fault::EXTERNAL };
        let iss = esr.iss() & !0x3f | fault.code() as u32;
        Self::reflect(Esr::compose(esr.ec(), true, iss), far)
    }

    /// The guest's own exception, which only our trap configuration brought to EL2 (debug with
    /// MDCR_EL2.TDE, an external abort with HCR_EL2.TEA, …): class and syndrome stay, and what
    /// only EL2 is told is taken out.
    pub const fn reflect(esr: Esr, far: u64) -> Self {
        let (il, iss, has_far) = match esr.ec() {
            // A data abort without ISV always has IL = 1, as an instruction abort has.
            Ec::DATA_ABORT_LOWER
            | Ec::DATA_ABORT_SAME
            | Ec::INSTRUCTION_ABORT_LOWER
            | Ec::INSTRUCTION_ABORT_SAME => {
                (true, esr.iss() & Abort::FOR_EL1, !Abort::new(esr).far_not_valid())
            }
            Ec::PC_ALIGNMENT | Ec::WATCHPOINT_LOWER | Ec::WATCHPOINT_SAME => {
                (esr.il(), esr.iss(), true)
            }
            _ => (esr.il(), esr.iss(), false),
        };
        let far = if has_far { Some(far) } else { None };
        Self { esr: Esr::compose(esr.ec(), il, iss), far }
    }
}

/// The vCPU at the moment of the exception.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Context {
    /// The preferred return address of the exception, for ELR_EL1.
    pub pc: u64,
    /// PSTATE in the form of SPSR_EL2.
    pub pstate: u64,
    /// VBAR_EL1, the base of the guest's vectors.
    pub vbar_el1: u64,
    /// SCTLR_EL1.
    pub sctlr_el1: u64,
    /// FEAT_PAN: PSTATE.PAN is set unless SCTLR_EL1.SPAN says otherwise.
    pub pan: bool,
    /// FEAT_SSBS: PSTATE.SSBS becomes SCTLR_EL1.DSSBS.
    pub ssbs: bool,
}

/// The vCPU after the exception: all that it changes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Entry {
    /// Where the guest goes on: for ELR_EL2.
    pub pc: u64,
    /// In which state: for SPSR_EL2.
    pub pstate: u64,
    /// SPSR_EL1: the state before.
    pub spsr_el1: u64,
    /// ELR_EL1: the preferred return address.
    pub elr_el1: u64,
    /// ESR_EL1.
    pub esr_el1: u64,
    /// FAR_EL1, unless it keeps its value.
    pub far_el1: Option<u64>,
}

/// Takes `exception` to EL1 from `at`: `AArch64.TakeException(EL1, …)` of the pseudocode.
///
/// Total and pure: any PSTATE gives an entry. EL1 is AArch64 (HCR_EL2.RW = 1).
pub const fn take(exception: Exception, at: &Context) -> Entry {
    let (from_el1, aarch32) = (pstate::level(at.pstate) != 0, pstate::is_aarch32(at.pstate));
    let vector = match (from_el1, aarch32) {
        (false, true) => 0x600,
        (false, false) => 0x400,
        (true, _) if at.pstate & 1 != 0 => 0x200,
        (true, _) => 0x000,
    };
    Entry {
        // VBAR_EL1[10:0] are RES0.
        pc: (at.vbar_el1 & !0x7ff).wrapping_add(vector),
        pstate: pstate_at_entry(at),
        spsr_el1: at.pstate,
        elr_el1: if aarch32 { at.pc & 0xffff_ffff } else { at.pc },
        esr_el1: at_level(exception.esr, from_el1),
        far_el1: exception.far,
    }
}

/// Bit 26, the lowest of EC, tells "same EL" from "lower EL" in the classes that come in pairs.
const fn at_level(esr: Esr, same: bool) -> u64 {
    match Ec(esr.ec().0 & !1) {
        Ec::INSTRUCTION_ABORT_LOWER
        | Ec::DATA_ABORT_LOWER
        | Ec::BREAKPOINT_LOWER
        | Ec::STEP_LOWER
        | Ec::WATCHPOINT_LOWER => esr.bits() & !(1 << 26) | (same as u64) << 26,
        _ => esr.bits(),
    }
}

/// PSTATE in the handler. The flags and DIT stay, PAN stays or is set; all interrupts and debug
/// exceptions are masked; IL, SS, BTYPE, UAO, and AArch32's T, IT, Q, GE and E are cleared. What
/// FEAT_MTE and FEAT_NMI add is left out, since no guest is offered them.
const fn pstate_at_entry(at: &Context) -> u64 {
    let mut new = at.pstate & (pstate::NZCV | pstate::DIT | pstate::PAN);
    new |= pstate::EL1H | pstate::DAIF;
    if at.pan && at.sctlr_el1 & SCTLR_SPAN == 0 {
        new |= pstate::PAN;
    }
    if at.ssbs && at.sctlr_el1 & SCTLR_DSSBS != 0 {
        new |= pstate::SSBS;
    }
    new
}

#[cfg(test)]
mod tests;
