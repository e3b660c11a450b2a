//! Exception syndromes, decoded: a pure function of (ESR_EL2, FAR_EL2, HPFAR_EL2).
//!
//! ESR_EL2 (Arm DDI 0487, "ESR_EL2, Exception Syndrome Register") says why the CPU came to EL2:
//!
//! ```text
//!  63      56 55   32 31    26 25 24                        0
//! +----------+-------+--------+--+---------------------------+
//! |   RES0   | ISS2  |   EC   |IL|            ISS            |
//! +----------+-------+--------+--+---------------------------+
//! ```
//!
//! The exit path switches on [`Esr::ec`] and wraps the ISS in the one type that its class needs
//! ([`SysReg`], [`DataAbort`], [`Wfx`], …). These types are the bare number: each question is a
//! shift and a mask, and what isn't asked costs nothing. [`Syndrome`] holds all classes in one
//! enum, and [`Report`] prints one line, for people.

mod abort;
mod class;
mod fault;
mod iss;
mod syndrome;
mod sysreg;

pub use abort::{Access, DataAbort, InstructionAbort, gpr, set_gpr};
pub use class::Ec;
pub use fault::Fault;
pub use iss::{Coprocessor, CoprocessorPair, Pauth, SError, Severity, Step, WfKind, Wfx};
pub use syndrome::{Report, Syndrome};
pub use sysreg::{SysReg, SysRegAccess, reg};

/// An exception syndrome, the value of ESR_EL2 (or ESR_EL1: the layout is the same).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(transparent)]
pub struct Esr(u64);

impl Esr {
    /// Wraps the register's value.
    #[inline]
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// Puts a syndrome together: `iss` is cut to its 25 bits.
    pub const fn compose(ec: Ec, il: bool, iss: u32) -> Self {
        Self((ec.0 as u64 & 0x3f) << 26 | (il as u64) << 25 | (iss & 0x1ff_ffff) as u64)
    }

    /// The register's value.
    #[inline]
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// EC, bits 31:26: the exception class.
    #[inline]
    pub const fn ec(self) -> Ec {
        Ec((self.0 >> 26 & 0x3f) as u8)
    }

    /// IL, bit 25: the trapped instruction is four bytes long. Always 1 where the length means
    /// nothing (SError, instruction abort, alignment, data abort without ISV, illegal state,
    /// debug but BRK, EC 0).
    #[inline]
    pub const fn il(self) -> bool {
        self.0 & 1 << 25 != 0
    }

    /// ISS, bits 24:0: what the class has to say.
    #[inline]
    pub const fn iss(self) -> u32 {
        (self.0 & 0x1ff_ffff) as u32
    }

    /// Length in bytes of the trapped instruction, from IL: 2 for a T32 halfword, else 4.
    #[inline]
    pub const fn instruction_length(self) -> u64 {
        if self.il() { 4 } else { 2 }
    }

    /// The 16-bit immediate of HVC, SVC, SMC (AArch64), BRK and BKPT: ISS bits 15:0.
    #[inline]
    pub const fn imm16(self) -> u16 {
        (self.0 & 0xffff) as u16
    }
}

/// What ELR_ELx points at after an exception: see [`Ec::elr_points_at`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ReturnAddress {
    /// At the instruction that trapped or faulted. Returning there executes it again; after an
    /// emulation the hypervisor steps over it ([`super::pstate::step_over`]).
    Instruction,
    /// Past the instruction that asked for the exception.
    Past,
    /// At the next instruction to execute. The exception has nothing to do with it.
    Interrupted,
}

#[cfg(test)]
mod tests;
