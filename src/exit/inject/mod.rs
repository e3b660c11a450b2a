//! Exceptions that a guest takes to EL1, computed.
//!
//! The hypervisor can't make the CPU take an exception to EL1: it does by hand what the hardware
//! does, `AArch64.TakeException` of the Arm ARM's pseudocode (DDI 0487, "Shared pseudocode",
//! and D1, "Exception entry"), and enters the guest at the vector. [`take`] is that function;
//! [`Exception`] is what it takes, with a constructor for each kind that we have a use for.
//!
//! The vector is not always VBAR_EL1 + 0x200. Where the guest *was* chooses among four groups:
//!
//! ```text
//!             from EL1 on SP_EL0   EL1 on SP_EL1   EL0 AArch64   EL0 AArch32
//! Synchronous       0x000              0x200          0x400         0x600
//! IRQ               0x080              0x280          0x480         0x680
//! FIQ               0x100              0x300          0x500         0x700
//! SError            0x180              0x380          0x580         0x780
//! ```

use super::esr::{DataAbort, Ec, Esr, Fault, InstructionAbort};
use super::pstate;

/// SCTLR_EL1.SPAN, bit 23: 0 sets PSTATE.PAN on an exception to EL1 (FEAT_PAN; else RES1).
const SCTLR_SPAN: u64 = 1 << 23;
/// SCTLR_EL1.DSSBS, bit 44: PSTATE.SSBS on an exception to EL1 (FEAT_SSBS).
const SCTLR_DSSBS: u64 = 1 << 44;
/// SCTLR_EL1.SPINTMASK, bit 62: 1 leaves PSTATE.ALLINT clear on an exception (FEAT_NMI).
const SCTLR_SPINTMASK: u64 = 1 << 62;

/// ISS of an abort: the bits that EL1 is told too. ISV, SAS, SSE, SRT, SF and AR are for EL2
/// alone, as is S1PTW.
const ABORT_FNV: u32 = 1 << 10;
const ABORT_CM: u32 = 1 << 8;
const ABORT_WNR: u32 = 1 << 6;
const ABORT_FOR_EL1: u32 = ABORT_FNV | 1 << 9 | ABORT_CM | ABORT_WNR | 0x3f;

/// The four kinds of exception, one vector each in a group of the vector table.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// Caused by the instruction.
    Synchronous,
    /// Interrupt.
    Irq,
    /// Fast interrupt: Group 0 of the GIC.
    Fiq,
    /// System error: an asynchronous abort.
    SError,
}

impl Kind {
    const fn offset(self) -> u64 {
        match self {
            Self::Synchronous => 0x000,
            Self::Irq => 0x080,
            Self::Fiq => 0x100,
            Self::SError => 0x180,
        }
    }
}

/// An exception for EL1: its kind and what ESR_EL1 and FAR_EL1 will say.
///
/// Classes that come in two flavours, "from a lower EL" and "at the same EL", are built as the
/// former; [`take`] corrects them by where the guest was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Exception {
    /// The kind of exception.
    pub kind: Kind,
    /// The syndrome; not written to ESR_EL1 for IRQ and FIQ.
    pub esr: Esr,
    /// The faulting address, for classes that have one.
    pub far: Option<u64>,
}

impl Exception {
    const fn synchronous(esr: Esr, far: Option<u64>) -> Self {
        Self { kind: Kind::Synchronous, esr, far }
    }

    /// EC 0x00, what an UNDEFINED instruction gets: the answer to whatever the guest was not
    /// offered.
    pub const fn unknown() -> Self {
        Self::synchronous(Esr::compose(Ec::UNKNOWN, true, 0), None)
    }

    /// EC 0x0e, the Illegal Execution state: PSTATE.IL was set.
    pub const fn illegal_state() -> Self {
        Self::synchronous(Esr::compose(Ec::ILLEGAL_STATE, true, 0), None)
    }

    /// EC 0x22 for the misaligned `pc`.
    pub const fn pc_alignment(pc: u64) -> Self {
        Self::synchronous(Esr::compose(Ec::PC_ALIGNMENT, true, 0), Some(pc))
    }

    /// EC 0x26: SP was not a multiple of 16 when used as a base.
    pub const fn sp_alignment() -> Self {
        Self::synchronous(Esr::compose(Ec::SP_ALIGNMENT, true, 0), None)
    }

    /// EC 0x15. The PC given to [`take`] has to be past the SVC.
    pub const fn svc(imm: u16) -> Self {
        Self::synchronous(Esr::compose(Ec::SVC64, true, imm as u32), None)
    }

    /// EC 0x3c, with the PC on the BRK.
    pub const fn brk(imm: u16) -> Self {
        Self::synchronous(Esr::compose(Ec::BRK, true, imm as u32), None)
    }

    /// EC 0x07, an access to FP, SIMD or SVE that the guest's own CPACR_EL1 forbids. `trap` is
    /// the syndrome of the access as EL2 saw it: its length and condition are passed on.
    pub const fn fp_access(trap: Esr) -> Self {
        const CV_COND: u32 = 0x1f << 20;
        Self::synchronous(Esr::compose(Ec::FP_ACCESS, trap.il(), trap.iss() & CV_COND), None)
    }

    /// EC 0x24: a data abort without instruction syndrome. `far` is `None` where the address
    /// isn't known (FnV), which is for external aborts only.
    pub const fn data_abort(fault: Fault, far: Option<u64>, write: bool) -> Self {
        let fnv = if far.is_none() { ABORT_FNV } else { 0 };
        let wnr = if write { ABORT_WNR } else { 0 };
        let iss = fnv | wnr | fault.code() as u32;
        Self::synchronous(Esr::compose(Ec::DATA_ABORT_LOWER, true, iss), far)
    }

    /// EC 0x20: an instruction abort.
    pub const fn instruction_abort(fault: Fault, far: Option<u64>) -> Self {
        let fnv = if far.is_none() { ABORT_FNV } else { 0 };
        let iss = fnv | fault.code() as u32;
        Self::synchronous(Esr::compose(Ec::INSTRUCTION_ABORT_LOWER, true, iss), far)
    }

    /// What a bus answers where nothing is: the stage-2 abort (`esr`, `far`) of EL2 turned into
    /// a synchronous external abort for the guest, of data or of instruction as it was.
    ///
    /// If the guest's own table walk went there (S1PTW), it is an external abort *on a walk*.
    /// EL2 is told the level of stage 2, never that of stage 1: 3 is reported, the level where
    /// most walks end.
    pub const fn external_abort(esr: Esr, far: u64) -> Self {
        let data = DataAbort::new(esr);
        let fault = if data.stage1_walk() { Fault::ExternalOnWalk(3) } else { Fault::External };
        let far = if data.far_not_valid() { None } else { Some(far) };
        match esr.ec() {
            Ec::INSTRUCTION_ABORT_LOWER | Ec::INSTRUCTION_ABORT_SAME => {
                Self::instruction_abort(fault, far)
            }
            _ => {
                let mut abort = Self::data_abort(fault, far, data.write());
                if data.cache_maintenance() {
                    abort.esr = Esr::new(abort.esr.bits() | ABORT_CM as u64);
                }
                abort
            }
        }
    }

    /// The guest's own exception, which only our trap configuration brought to EL2 (debug with
    /// MDCR_EL2.TDE, an external abort with HCR_EL2.TEA, …): class and syndrome stay, and what
    /// only EL2 is told is taken out.
    pub const fn reflect(esr: Esr, far: u64) -> Self {
        let esr = Esr::new(esr.bits() & 0xffff_ffff);
        let (iss, far) = match esr.ec() {
            Ec::DATA_ABORT_LOWER | Ec::DATA_ABORT_SAME => {
                let valid = !DataAbort::new(esr).far_not_valid();
                (esr.iss() & ABORT_FOR_EL1, if valid { Some(far) } else { None })
            }
            Ec::INSTRUCTION_ABORT_LOWER | Ec::INSTRUCTION_ABORT_SAME => {
                let valid = !InstructionAbort::new(esr).far_not_valid();
                (esr.iss() & ABORT_FOR_EL1, if valid { Some(far) } else { None })
            }
            Ec::PC_ALIGNMENT | Ec::WATCHPOINT_LOWER | Ec::WATCHPOINT_SAME => (esr.iss(), Some(far)),
            Ec::SERROR => return Self::serror(esr.iss()),
            _ => (esr.iss(), None),
        };
        // A data abort without ISV always has IL = 1.
        let il = esr.il() || matches!(esr.ec(), Ec::DATA_ABORT_LOWER | Ec::DATA_ABORT_SAME);
        Self::synchronous(Esr::compose(esr.ec(), il, iss), far)
    }

    /// EC 0x2f with the given ISS. The hardware does this for a pending virtual SError
    /// (HCR_EL2.VSE) as soon as the guest unmasks it; this is for the case that it has.
    pub const fn serror(iss: u32) -> Self {
        Self { kind: Kind::SError, esr: Esr::compose(Ec::SERROR, true, iss), far: None }
    }

    /// An IRQ, which has no syndrome. The hardware does this for list registers.
    pub const fn irq() -> Self {
        Self { kind: Kind::Irq, esr: Esr::new(0), far: None }
    }

    /// An FIQ, which has no syndrome.
    pub const fn fiq() -> Self {
        Self { kind: Kind::Fiq, esr: Esr::new(0), far: None }
    }
}

/// Features of the vCPU that change what an exception does to PSTATE.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Features {
    /// FEAT_PAN: PSTATE.PAN is set unless SCTLR_EL1.SPAN says otherwise.
    pub pan: bool,
    /// FEAT_SSBS: PSTATE.SSBS becomes SCTLR_EL1.DSSBS.
    pub ssbs: bool,
    /// FEAT_MTE: PSTATE.TCO is set.
    pub mte: bool,
    /// FEAT_NMI: PSTATE.ALLINT becomes the inverse of SCTLR_EL1.SPINTMASK.
    pub nmi: bool,
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
    /// What the vCPU has.
    pub features: Features,
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
    /// ESR_EL1, unless it keeps its value (IRQ, FIQ).
    pub esr_el1: Option<u64>,
    /// FAR_EL1, unless it keeps its value.
    pub far_el1: Option<u64>,
}

/// Takes `exception` to EL1 from `at`: `AArch64.TakeException(EL1, …)` of the pseudocode.
///
/// Total and pure: any PSTATE gives an entry. EL1 is AArch64 (HCR_EL2.RW = 1).
pub const fn take(exception: Exception, at: &Context) -> Entry {
    let from_el1 = pstate::level(at.pstate) != 0;
    let group = match (from_el1, pstate::is_aarch32(at.pstate)) {
        (false, true) => 0x600,
        (false, false) => 0x400,
        (true, _) if at.pstate & 1 != 0 => 0x200,
        (true, _) => 0x000,
    };
    // VBAR_EL1[10:0] are RES0.
    let pc = (at.vbar_el1 & !0x7ff).wrapping_add(group + exception.kind.offset());
    let esr_el1 = match exception.kind {
        Kind::Irq | Kind::Fiq => None,
        _ => Some(at_level(exception.esr, from_el1).bits()),
    };
    let aarch32 = pstate::is_aarch32(at.pstate);
    Entry {
        pc,
        pstate: pstate_at_entry(at),
        spsr_el1: at.pstate,
        elr_el1: if aarch32 { at.pc & 0xffff_ffff } else { at.pc },
        esr_el1,
        far_el1: exception.far,
    }
}

/// Bit 26, the lowest of EC, tells "same EL" from "lower EL" in the classes that come in pairs.
const fn at_level(esr: Esr, same: bool) -> Esr {
    const SAME: u64 = 1 << 26;
    match Ec(esr.ec().0 & !1) {
        Ec::INSTRUCTION_ABORT_LOWER
        | Ec::DATA_ABORT_LOWER
        | Ec::BREAKPOINT_LOWER
        | Ec::STEP_LOWER
        | Ec::WATCHPOINT_LOWER => {
            Esr::new(if same { esr.bits() | SAME } else { esr.bits() & !SAME })
        }
        _ => esr,
    }
}

/// PSTATE in the handler. The flags and DIT stay, PAN stays or is set; all interrupts and debug
/// exceptions are masked; IL, SS, BTYPE, UAO, and AArch32's T, IT, Q, GE and E are cleared.
const fn pstate_at_entry(at: &Context) -> u64 {
    let Context { pstate, sctlr_el1, features, .. } = *at;
    let mut new = pstate & (pstate::NZCV | pstate::DIT | pstate::PAN);
    new |= pstate::EL1H | pstate::DAIF;
    if features.pan && sctlr_el1 & SCTLR_SPAN == 0 {
        new |= pstate::PAN;
    }
    if features.ssbs && sctlr_el1 & SCTLR_DSSBS != 0 {
        new |= pstate::SSBS;
    }
    if features.mte {
        new |= pstate::TCO;
    }
    if features.nmi && sctlr_el1 & SCTLR_SPINTMASK == 0 {
        new |= pstate::ALLINT;
    }
    new
}

#[cfg(test)]
mod tests;
