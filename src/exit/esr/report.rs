//! The line that a person reads.

use core::fmt;

use super::{Abort, Ec, Esr, SysRegAccess};

/// Keys of pointer authentication, by the ISS of [`Ec::PAC_FAIL`].
const KEYS: [&str; 4] = ["instruction key A", "instruction key B", "data key A", "data key B"];

/// The three registers of an exception, to be printed as one line:
/// `EC 0x24 data abort from a lower EL: write of 4 bytes from w5 at IPA 0x9000000, translation
/// fault level 1`. Total: each value of the registers has a line. The alternate form, `{:#}`, is for a
/// syndrome that stands alone: it leaves the addresses out.
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
        let direction = if self.field(6, 6) == 1 { "write" } else { "read" };
        write!(f, "{}", esr.ec())?;
        match esr.ec() {
            Ec::WFX => self.wfx(f),
            Ec::CP15_MCR => self.coprocessor(f, 15),
            Ec::CP14_MCR => self.coprocessor(f, 14),
            Ec::VMRS => self.coprocessor(f, 10),
            Ec::CP15_MCRR => self.coprocessor_pair(f, 15),
            Ec::CP14_MRRC => self.coprocessor_pair(f, 14),
            Ec::BRANCH_TARGET => write!(f, ": BTYPE {:#04b}", self.field(1, 0)),
            Ec::SVC32 | Ec::SVC64 | Ec::HVC32 | Ec::HVC64 | Ec::SMC64 | Ec::BRK | Ec::BKPT32 => {
                write!(f, ": #{:#x}", self.field(15, 0))
            }
            Ec::SYSREG => self.sysreg(f),
            Ec::ERET => self.kind(f, ["ERET", "ERET", "ERETAA", "ERETAB"]),
            Ec::PAC_FAIL => self.kind(f, KEYS),
            Ec::SME => write!(f, ": SMTC {}", self.field(2, 0)),
            Ec::INSTRUCTION_ABORT_LOWER | Ec::INSTRUCTION_ABORT_SAME => self.abort(f, "fetch"),
            Ec::DATA_ABORT_LOWER | Ec::DATA_ABORT_SAME => self.abort(f, direction),
            Ec::PC_ALIGNMENT if f.alternate() => Ok(()),
            Ec::PC_ALIGNMENT => write!(f, ": PC {far:#x}"),
            // TFV: whether the flags say which exceptions there were.
            Ec::FP32 | Ec::FP64 if self.field(23, 23) == 0 => f.write_str(": flags not valid"),
            Ec::FP32 | Ec::FP64 => write!(f, ": flags {:#04x}", self.field(7, 0) & 0x9f),
            Ec::SERROR => self.serror(f),
            // ISV, and EX: a load-exclusive was stepped.
            Ec::STEP_LOWER | Ec::STEP_SAME if self.field(24, 24) & self.field(6, 6) == 1 => {
                f.write_str(": stepped a load-exclusive")
            }
            Ec::WATCHPOINT_LOWER | Ec::WATCHPOINT_SAME => {
                write!(f, ": {direction}")?;
                if f.alternate() { Ok(()) } else { write!(f, " at VA {far:#x}") }
            }
            Ec::UNKNOWN | Ec::ILLEGAL_STATE | Ec::SP_ALIGNMENT | Ec::FP_ACCESS | Ec::SVE => Ok(()),
            Ec::PAUTH | Ec::CP14_LDC | Ec::SMC32 | Ec::VECTOR_CATCH32 => Ok(()),
            Ec::BREAKPOINT_LOWER | Ec::BREAKPOINT_SAME | Ec::STEP_LOWER | Ec::STEP_SAME => Ok(()),
            // Of features that no guest is offered, and unallocated.
            _ => write!(f, ": ISS {:#x}", esr.iss()),
        }
    }
}

impl Report {
    /// Bits `high:low` of the ISS.
    const fn field(&self, high: u32, low: u32) -> u32 {
        self.esr.iss() >> low & ((1 << (high - low + 1)) - 1)
    }

    /// What bits 1:0 of the ISS say.
    fn kind(&self, f: &mut fmt::Formatter<'_>, kinds: [&str; 4]) -> fmt::Result {
        write!(f, ": {}", kinds[self.field(1, 0) as usize & 3])
    }

    /// RV, bit 2: Rn holds the time, a value of CNTVCT_EL0, until which WFIT and WFET wait.
    fn wfx(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.kind(f, ["WFI", "WFE", "WFIT", "WFET"])?;
        if self.field(2, 2) == 0 {
            return Ok(());
        }
        write!(f, " until the time in {}", gpr('x', self.field(9, 5)))
    }

    /// MCR and MRC of AArch32, and VMRS, whose fields are the same.
    fn coprocessor(&self, f: &mut fmt::Formatter<'_>, number: u8) -> fmt::Result {
        let name = if self.field(0, 0) == 1 { "mrc" } else { "mcr" };
        let (opc1, rt, crn) = (self.field(16, 14), gpr('w', self.field(9, 5)), self.field(13, 10));
        let (crm, opc2) = (self.field(4, 1), self.field(19, 17));
        write!(f, ": {name} p{number}, {opc1}, {rt}, c{crn}, c{crm}, {opc2}")
    }

    /// MCRR and MRRC of AArch32.
    fn coprocessor_pair(&self, f: &mut fmt::Formatter<'_>, number: u8) -> fmt::Result {
        let name = if self.field(0, 0) == 1 { "mrrc" } else { "mcrr" };
        let (low, high) = (gpr('w', self.field(9, 5)), gpr('w', self.field(14, 10)));
        let (opc1, crm) = (self.field(19, 16), self.field(4, 1));
        write!(f, ": {name} p{number}, {opc1}, {low}, {high}, c{crm}")
    }

    fn sysreg(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let access = SysRegAccess::new(self.esr);
        let (register, rt) = (access.register(), gpr('x', access.rt().into()));
        match (register.op0(), access.read()) {
            (1, _) => write!(f, ": {register} with {rt}"),
            (_, true) => write!(f, ": read of {register} into {rt}"),
            (_, false) => write!(f, ": write of {register} from {rt}"),
        }
    }

    /// IDS, bit 24: all of it is IMPLEMENTATION DEFINED. AET, bits 12:10, is how bad an
    /// asynchronous error is, and valid where DFSC says that it is one (FEAT_RAS).
    fn serror(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.field(24, 24) == 1 {
            return write!(f, ": IMPLEMENTATION DEFINED syndrome {:#x}", self.field(23, 0));
        }
        match (self.field(5, 0), self.field(12, 10)) {
            (0x11, 0) => f.write_str(": asynchronous, uncontainable"),
            (0x11, 1) => f.write_str(": asynchronous, unrecoverable"),
            (0x11, 2) => f.write_str(": asynchronous, restartable"),
            (0x11, 3) => f.write_str(": asynchronous, recoverable"),
            (0x11, 6) => f.write_str(": asynchronous, corrected"),
            (0x11, other) => write!(f, ": asynchronous, reserved severity {other}"),
            (0, _) => f.write_str(": uncategorised"),
            (dfsc, _) => write!(f, ": DFSC {dfsc:#04x}"),
        }
    }

    /// What was done: a "read", a "write" or a "fetch". Where: the IPA for an exception from a
    /// lower EL that knows it, else the virtual address. Why not.
    fn abort(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        let abort = Abort::new(self.esr);
        match abort.access() {
            None if abort.cache_maintenance() => f.write_str(": cache maintenance")?,
            None if abort.stage1_walk() => write!(f, ": stage-1 table walk, for a {what}")?,
            _ if what == "fetch" => f.write_str(": fetch")?,
            None => write!(f, ": {what} without a syndrome")?,
            Some(access) => {
                let bytes = access.bytes();
                let s = if bytes == 1 { "" } else { "s" };
                let preposition = if access.write() { "from" } else { "into" };
                let rt = gpr(if access.sixty_four() { 'x' } else { 'w' }, access.rt().into());
                let sign = if access.sign_extend() { " (sign-extended)" } else { "" };
                write!(f, ": {what} of {bytes} byte{s} {preposition} {rt}{sign}")?;
            }
        }
        let lower = matches!(self.esr.ec(), Ec::DATA_ABORT_LOWER | Ec::INSTRUCTION_ABORT_LOWER);
        match abort.ipa(self.far, self.hpfar) {
            _ if f.alternate() => {}
            Some(ipa) if lower => write!(f, " at IPA {ipa}")?,
            _ if abort.far_not_valid() => f.write_str(" at an unknown address")?,
            _ => write!(f, " at VA {:#x}", self.far)?,
        }
        write!(f, ", {}", abort.fault())
    }
}

/// A register by its letter and number: Xn or Wn.
fn gpr(letter: char, number: u32) -> impl fmt::Display {
    fmt::from_fn(move |f| match number {
        31 => write!(f, "{letter}zr"),
        n => write!(f, "{letter}{n}"),
    })
}
