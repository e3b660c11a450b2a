//! All classes in one enum, and the line that a person reads.

use core::fmt;

use super::{
    Coprocessor, CoprocessorPair, DataAbort, Ec, Esr, InstructionAbort, Pauth, SError, Step,
    SysRegAccess, Wfx,
};

/// Every exception class with what its syndrome says. For printing and for tests: the exit path
/// decodes only what it needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[allow(missing_docs, reason = "fields are named as in the ISS, the variants as the classes")]
pub enum Syndrome {
    /// EC 0x00: mostly an UNDEFINED instruction.
    Unknown,
    Wfx(Wfx),
    Cp15(Coprocessor),
    Cp15Pair(CoprocessorPair),
    Cp14(Coprocessor),
    Cp14Pair(CoprocessorPair),
    Cp14Ldc,
    FpAccess,
    Vmrs(Coprocessor),
    PauthTrap,
    BranchTarget {
        btype: u8,
    },
    IllegalState,
    Svc {
        imm: u16,
    },
    Hvc {
        imm: u16,
    },
    Smc {
        imm: u16,
    },
    Smc32,
    SysReg(SysRegAccess),
    SveAccess,
    Eret {
        authenticated: bool,
        b_key: bool,
    },
    PauthFail(Pauth),
    SmeAccess {
        reason: u8,
    },
    InstructionAbort(InstructionAbort),
    DataAbort(DataAbort),
    PcAlignment,
    SpAlignment,
    FpException {
        valid: bool,
        flags: u8,
    },
    SError(SError),
    Breakpoint,
    SoftwareStep(Step),
    Watchpoint {
        write: bool,
    },
    Brk {
        imm: u16,
    },
    Bkpt32 {
        imm: u16,
    },
    VectorCatch32,
    /// Classes of features that no guest is offered, and unallocated ones: the raw ISS.
    Other {
        iss: u32,
    },
}

impl Syndrome {
    /// Decodes `esr`. Total: each of the 2^64 values has a meaning.
    pub const fn decode(esr: Esr) -> Self {
        let iss = esr.iss();
        let imm = esr.imm16();
        match esr.ec() {
            Ec::UNKNOWN => Self::Unknown,
            Ec::WFX => Self::Wfx(Wfx::new(esr)),
            Ec::CP15_MCR => Self::Cp15(Coprocessor::new(esr)),
            Ec::CP15_MCRR => Self::Cp15Pair(CoprocessorPair::new(esr)),
            Ec::CP14_MCR => Self::Cp14(Coprocessor::new(esr)),
            Ec::CP14_MRRC => Self::Cp14Pair(CoprocessorPair::new(esr)),
            Ec::CP14_LDC => Self::Cp14Ldc,
            Ec::FP_ACCESS => Self::FpAccess,
            Ec::VMRS => Self::Vmrs(Coprocessor::new(esr)),
            Ec::PAUTH => Self::PauthTrap,
            Ec::BRANCH_TARGET => Self::BranchTarget { btype: (iss & 3) as u8 },
            Ec::ILLEGAL_STATE => Self::IllegalState,
            Ec::SVC32 | Ec::SVC64 => Self::Svc { imm },
            Ec::HVC32 | Ec::HVC64 => Self::Hvc { imm },
            Ec::SMC64 => Self::Smc { imm },
            Ec::SMC32 => Self::Smc32,
            Ec::SYSREG => Self::SysReg(SysRegAccess::new(esr)),
            Ec::SVE => Self::SveAccess,
            Ec::ERET => Self::Eret { authenticated: iss & 2 != 0, b_key: iss & 1 != 0 },
            Ec::PAC_FAIL => Self::PauthFail(Pauth::new(esr)),
            Ec::SME => Self::SmeAccess { reason: (iss & 7) as u8 },
            Ec::INSTRUCTION_ABORT_LOWER | Ec::INSTRUCTION_ABORT_SAME => {
                Self::InstructionAbort(InstructionAbort::new(esr))
            }
            Ec::DATA_ABORT_LOWER | Ec::DATA_ABORT_SAME => Self::DataAbort(DataAbort::new(esr)),
            Ec::PC_ALIGNMENT => Self::PcAlignment,
            Ec::SP_ALIGNMENT => Self::SpAlignment,
            Ec::FP32 | Ec::FP64 => {
                Self::FpException { valid: iss & 1 << 23 != 0, flags: (iss & 0x9f) as u8 }
            }
            Ec::SERROR => Self::SError(SError::new(esr)),
            Ec::BREAKPOINT_LOWER | Ec::BREAKPOINT_SAME => Self::Breakpoint,
            Ec::STEP_LOWER | Ec::STEP_SAME => Self::SoftwareStep(Step::new(esr)),
            Ec::WATCHPOINT_LOWER | Ec::WATCHPOINT_SAME => {
                Self::Watchpoint { write: iss & 1 << 6 != 0 }
            }
            Ec::BRK => Self::Brk { imm },
            Ec::BKPT32 => Self::Bkpt32 { imm },
            Ec::VECTOR_CATCH32 => Self::VectorCatch32,
            _ => Self::Other { iss },
        }
    }
}

/// The three registers of an exception, to be printed as one line:
/// `EC 0x24 data abort from a lower EL: write of 4 bytes from w5 at IPA 0x9000000, translation
/// fault level 1`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Report {
    /// ESR_ELx.
    pub esr: Esr,
    /// FAR_ELx, the faulting virtual address, where the class has one.
    pub far: u64,
    /// HPFAR_EL2; 0 for an exception that EL2 itself took, which has no IPA.
    pub hpfar: u64,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { esr, far, .. } = *self;
        write!(f, "{}", esr.ec())?;
        match Syndrome::decode(esr) {
            Syndrome::Unknown | Syndrome::IllegalState | Syndrome::SpAlignment => Ok(()),
            Syndrome::FpAccess | Syndrome::SveAccess | Syndrome::PauthTrap => Ok(()),
            Syndrome::Breakpoint | Syndrome::VectorCatch32 => Ok(()),
            Syndrome::Cp14Ldc | Syndrome::Smc32 => Ok(()),
            Syndrome::Wfx(wfx) => match wfx.rt() {
                Some(rt) => write!(f, ": {:?} until the time in {}", wfx.kind(), X(rt)),
                None => write!(f, ": {:?}", wfx.kind()),
            },
            Syndrome::Cp15(cp) => coprocessor(f, 15, cp),
            Syndrome::Cp14(cp) => coprocessor(f, 14, cp),
            Syndrome::Vmrs(cp) => coprocessor(f, 10, cp),
            Syndrome::Cp15Pair(cp) => coprocessor_pair(f, 15, cp),
            Syndrome::Cp14Pair(cp) => coprocessor_pair(f, 14, cp),
            Syndrome::BranchTarget { btype } => write!(f, ": BTYPE {btype:#04b}"),
            Syndrome::Svc { imm }
            | Syndrome::Hvc { imm }
            | Syndrome::Smc { imm }
            | Syndrome::Brk { imm }
            | Syndrome::Bkpt32 { imm } => write!(f, ": #{imm:#x}"),
            Syndrome::SysReg(access) => sysreg(f, access),
            Syndrome::Eret { authenticated, b_key } => f.write_str(match (authenticated, b_key) {
                (false, _) => ": ERET",
                (true, false) => ": ERETAA",
                (true, true) => ": ERETAB",
            }),
            Syndrome::PauthFail(fail) => write!(
                f,
                ": {} key {}",
                if fail.data_key() { "data" } else { "instruction" },
                if fail.b_key() { 'B' } else { 'A' }
            ),
            Syndrome::SmeAccess { reason } => write!(f, ": SMTC {reason}"),
            Syndrome::InstructionAbort(abort) => self.instruction_abort(f, abort),
            Syndrome::DataAbort(abort) => self.data_abort(f, abort),
            Syndrome::PcAlignment => write!(f, ": PC {far:#x}"),
            Syndrome::FpException { valid: true, flags } => write!(f, ": flags {flags:#04x}"),
            Syndrome::FpException { valid: false, .. } => f.write_str(": flags not valid"),
            Syndrome::SError(serror) => error(f, serror),
            Syndrome::SoftwareStep(step) => f.write_str(match step.exclusive() {
                Some(true) => ": stepped a load-exclusive",
                _ => "",
            }),
            Syndrome::Watchpoint { write } => {
                write!(f, ": {} at VA {far:#x}", if write { "write" } else { "read" })
            }
            Syndrome::Other { iss } => write!(f, ": ISS {iss:#x}"),
        }
    }
}

impl Report {
    fn data_abort(&self, f: &mut fmt::Formatter<'_>, abort: DataAbort) -> fmt::Result {
        let direction = if abort.write() { "write" } else { "read" };
        match abort.access() {
            Some(access) => {
                let bytes = access.bytes();
                let (s, preposition) = (
                    if bytes == 1 { "" } else { "s" },
                    if access.write() { "from" } else { "into" },
                );
                write!(f, ": {direction} of {bytes} byte{s} {preposition} ")?;
                if access.sixty_four() {
                    write!(f, "{}", X(access.rt()))?;
                } else {
                    write!(f, "{}", W(access.rt()))?;
                }
                if access.sign_extend() {
                    f.write_str(" (sign-extended)")?;
                }
            }
            None if abort.cache_maintenance() => f.write_str(": cache maintenance")?,
            None if abort.stage1_walk() => write!(f, ": stage-1 table walk, for a {direction}")?,
            None => write!(f, ": {direction} without a syndrome")?,
        }
        self.place(f, abort.ipa(self.far, self.hpfar), abort.far_not_valid())?;
        write!(f, ", {}", abort.fault())
    }

    fn instruction_abort(
        &self,
        f: &mut fmt::Formatter<'_>,
        abort: InstructionAbort,
    ) -> fmt::Result {
        f.write_str(if abort.stage1_walk() {
            ": stage-1 table walk, for a fetch"
        } else {
            ": fetch"
        })?;
        self.place(f, abort.ipa(self.far, self.hpfar), abort.far_not_valid())?;
        write!(f, ", {}", abort.fault())
    }

    /// Where: the IPA for an exception from a lower EL that knows it, else the virtual address.
    fn place(
        &self,
        f: &mut fmt::Formatter<'_>,
        ipa: Option<crate::memory::Ipa>,
        far_not_valid: bool,
    ) -> fmt::Result {
        let lower = matches!(self.esr.ec(), Ec::DATA_ABORT_LOWER | Ec::INSTRUCTION_ABORT_LOWER);
        match ipa {
            Some(ipa) if lower => write!(f, " at IPA {ipa}"),
            _ if far_not_valid => f.write_str(" at an unknown address"),
            _ => write!(f, " at VA {:#x}", self.far),
        }
    }
}

fn sysreg(f: &mut fmt::Formatter<'_>, access: SysRegAccess) -> fmt::Result {
    let (register, rt) = (access.register(), X(access.rt()));
    match (register.op0(), access.read()) {
        (1, _) => write!(f, ": {register} with {rt}"),
        (_, true) => write!(f, ": read of {register} into {rt}"),
        (_, false) => write!(f, ": write of {register} from {rt}"),
    }
}

fn coprocessor(f: &mut fmt::Formatter<'_>, number: u8, cp: Coprocessor) -> fmt::Result {
    let name = if cp.read() { "mrc" } else { "mcr" };
    let (opc1, crn, crm, opc2) = (cp.opc1(), cp.crn(), cp.crm(), cp.opc2());
    write!(f, ": {name} p{number}, {opc1}, {}, c{crn}, c{crm}, {opc2}", W(cp.rt()))
}

fn coprocessor_pair(f: &mut fmt::Formatter<'_>, number: u8, cp: CoprocessorPair) -> fmt::Result {
    let name = if cp.read() { "mrrc" } else { "mcrr" };
    let (opc1, crm) = (cp.opc1(), cp.crm());
    write!(f, ": {name} p{number}, {opc1}, {}, {}, c{crm}", W(cp.rt()), W(cp.rt2()))
}

fn error(f: &mut fmt::Formatter<'_>, serror: SError) -> fmt::Result {
    if serror.implementation_defined() {
        return write!(f, ": IMPLEMENTATION DEFINED syndrome {:#x}", serror.raw());
    }
    match serror.severity() {
        Some(severity) => write!(f, ": asynchronous, {severity:?}"),
        None if serror.dfsc() == 0 => f.write_str(": uncategorised"),
        None => write!(f, ": DFSC {:#04x}", serror.dfsc()),
    }
}

/// Prints a register number as Xn.
struct X(u8);

impl fmt::Display for X {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            31 => f.write_str("xzr"),
            n => write!(f, "x{n}"),
        }
    }
}

/// Prints a register number as Wn.
struct W(u8);

impl fmt::Display for W {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            31 => f.write_str("wzr"),
            n => write!(f, "w{n}"),
        }
    }
}
