//! The exception class, ESR_ELx.EC: every value that the Arm ARM allocates.

use core::fmt;

/// An exception class, ESR_ELx.EC (bits 31:26).
///
/// A number with names, so that `match esr.ec() { Ec::HVC64 => … }` compiles to a jump table and
/// an unallocated value is nothing special.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Ec(pub u8);

macro_rules! classes {
    ($($value:literal $name:ident $text:literal,)*) => {
        impl Ec {
            $(#[doc = $text] pub const $name: Self = Self($value);)*

            /// What the class is, in the words of the Arm ARM's table of EC values.
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                    _ => "unallocated exception class",
                }
            }

            /// Every allocated class.
            #[cfg(test)]
            pub(super) const ALL: &'static [Self] = &[$(Self::$name),*];
        }
    };
}

classes! {
    0x00 UNKNOWN "unknown reason",
    0x01 WFX "trapped WFI or WFE",
    0x03 CP15_MCR "trapped MCR or MRC (coproc 15)",
    0x04 CP15_MCRR "trapped MCRR or MRRC (coproc 15)",
    0x05 CP14_MCR "trapped MCR or MRC (coproc 14)",
    0x06 CP14_LDC "trapped LDC or STC (coproc 14)",
    0x07 FP_ACCESS "trapped access to SVE, SIMD or floating point",
    0x08 VMRS "trapped VMRS of an ID register",
    0x09 PAUTH "trapped pointer authentication",
    0x0a LS64 "trapped LD64B or ST64B",
    0x0c CP14_MRRC "trapped MRRC (coproc 14)",
    0x0d BRANCH_TARGET "branch target exception",
    0x0e ILLEGAL_STATE "illegal execution state",
    0x11 SVC32 "SVC from AArch32",
    0x12 HVC32 "HVC from AArch32",
    0x13 SMC32 "SMC from AArch32",
    0x14 SYSREG128 "trapped MSRR, MRRS or 128-bit SYS",
    0x15 SVC64 "SVC from AArch64",
    0x16 HVC64 "HVC from AArch64",
    0x17 SMC64 "SMC from AArch64",
    0x18 SYSREG "trapped MSR, MRS or SYS",
    0x19 SVE "trapped access to SVE",
    0x1a ERET "trapped ERET",
    0x1b TSTART "TSTART at EL0",
    0x1c PAC_FAIL "pointer authentication failure",
    0x1d SME "trapped access to SME",
    0x1e GPC "granule protection check",
    0x1f IMPDEF_EL3 "IMPLEMENTATION DEFINED exception to EL3",
    0x20 INSTRUCTION_ABORT_LOWER "instruction abort from a lower EL",
    0x21 INSTRUCTION_ABORT_SAME "instruction abort at the same EL",
    0x22 PC_ALIGNMENT "PC alignment fault",
    0x24 DATA_ABORT_LOWER "data abort from a lower EL",
    0x25 DATA_ABORT_SAME "data abort at the same EL",
    0x26 SP_ALIGNMENT "SP alignment fault",
    0x27 MEMORY_COPY "memory copy or set exception",
    0x28 FP32 "floating-point exception from AArch32",
    0x2c FP64 "floating-point exception from AArch64",
    0x2d GCS "guarded control stack exception",
    0x2f SERROR "SError",
    0x30 BREAKPOINT_LOWER "breakpoint from a lower EL",
    0x31 BREAKPOINT_SAME "breakpoint at the same EL",
    0x32 STEP_LOWER "software step from a lower EL",
    0x33 STEP_SAME "software step at the same EL",
    0x34 WATCHPOINT_LOWER "watchpoint from a lower EL",
    0x35 WATCHPOINT_SAME "watchpoint at the same EL",
    0x38 BKPT32 "BKPT from AArch32",
    0x3a VECTOR_CATCH32 "vector catch from AArch32",
    0x3c BRK "BRK from AArch64",
    0x3d PROFILING "profiling exception",
}

impl Ec {
    /// Whether the ISS has CV and COND in bits 24:20: the trapped instruction may have been
    /// conditional AArch32 code.
    pub const fn has_condition(self) -> bool {
        // WFX, those from CP15_MCR to VMRS, and CP14_MRRC.
        matches!(self.0, 0x01 | 0x03..=0x08 | 0x0c)
    }
}

impl fmt::Display for Ec {
    /// `EC 0x24 data abort from a lower EL`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EC {:#04x} {}", self.0, self.name())
    }
}
