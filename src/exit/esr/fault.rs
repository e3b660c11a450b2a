//! Fault status codes: DFSC and IFSC of the abort syndromes.

use core::fmt;

/// What went wrong with a memory access: DFSC or IFSC, ISS bits 5:0 (Arm DDI 0487, ESR_ELx, ISS
/// encoding for an exception from a Data Abort). Levels are those of the translation tables: 0
/// to 3, and −1 and −2 with FEAT_LPA2 and FEAT_D128.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// An address has bits above the configured size.
    AddressSize(i8),
    /// No valid descriptor: for a device of ours, the normal case.
    Translation(i8),
    /// The descriptor's access flag is 0.
    AccessFlag(i8),
    /// The descriptor forbids this access.
    Permission(i8),
    /// The bus answered with an error.
    External,
    /// The bus answered with an error while the tables were walked.
    ExternalOnWalk(i8),
    /// A parity or ECC error.
    Parity,
    /// A parity or ECC error while the tables were walked.
    ParityOnWalk(i8),
    /// FEAT_MTE: the tags differ.
    TagCheck,
    /// Misaligned access, to device memory or with SCTLR.A set.
    Alignment,
    /// Granule protection fault.
    GranuleProtection,
    /// Granule protection fault on a walk.
    GranuleProtectionOnWalk(i8),
    /// Two TLB entries match: tables were changed without break-before-make.
    TlbConflict,
    /// Hardware could not update the access flag or dirty state atomically.
    UnsupportedAtomicUpdate,
    /// IMPLEMENTATION DEFINED, lockdown.
    Lockdown,
    /// Exclusive or atomic access to memory that does not support it.
    UnsupportedExclusive,
    /// A code that the manual does not allocate.
    Reserved(u8),
}

impl Fault {
    /// Decodes a six-bit fault status code; higher bits are ignored.
    pub const fn decode(fsc: u32) -> Self {
        let fsc = (fsc & 0x3f) as u8;
        let level = (fsc & 3) as i8;
        match fsc {
            0x00..=0x03 => Self::AddressSize(level),
            0x04..=0x07 => Self::Translation(level),
            0x08..=0x0b => Self::AccessFlag(level),
            0x0c..=0x0f => Self::Permission(level),
            0x10 => Self::External,
            0x11 => Self::TagCheck,
            0x12 => Self::ExternalOnWalk(-2),
            0x13 => Self::ExternalOnWalk(-1),
            0x14..=0x17 => Self::ExternalOnWalk(level),
            0x18 => Self::Parity,
            0x1b => Self::ParityOnWalk(-1),
            0x1c..=0x1f => Self::ParityOnWalk(level),
            0x21 => Self::Alignment,
            0x22 => Self::GranuleProtectionOnWalk(-2),
            0x23 => Self::GranuleProtectionOnWalk(-1),
            0x24..=0x27 => Self::GranuleProtectionOnWalk(level),
            0x28 => Self::GranuleProtection,
            0x29 => Self::AddressSize(-1),
            0x2a => Self::Translation(-2),
            0x2b => Self::Translation(-1),
            0x2c => Self::AddressSize(-2),
            0x30 => Self::TlbConflict,
            0x31 => Self::UnsupportedAtomicUpdate,
            0x34 => Self::Lockdown,
            0x35 => Self::UnsupportedExclusive,
            other => Self::Reserved(other),
        }
    }

    /// The six-bit fault status code: the inverse of [`Fault::decode`].
    ///
    /// Levels that the manual has no code for are taken as the nearest that it has.
    pub const fn code(self) -> u8 {
        match self {
            Self::AddressSize(-2) => 0x2c,
            Self::AddressSize(-1) => 0x29,
            Self::AddressSize(level) => level_code(0x00, level),
            Self::Translation(-2) => 0x2a,
            Self::Translation(-1) => 0x2b,
            Self::Translation(level) => level_code(0x04, level),
            Self::AccessFlag(level) => level_code(0x08, level),
            Self::Permission(level) => level_code(0x0c, level),
            Self::External => 0x10,
            Self::TagCheck => 0x11,
            Self::ExternalOnWalk(-2) => 0x12,
            Self::ExternalOnWalk(-1) => 0x13,
            Self::ExternalOnWalk(level) => level_code(0x14, level),
            Self::Parity => 0x18,
            Self::ParityOnWalk(-1) => 0x1b,
            Self::ParityOnWalk(level) => level_code(0x1c, level),
            Self::Alignment => 0x21,
            Self::GranuleProtectionOnWalk(-2) => 0x22,
            Self::GranuleProtectionOnWalk(-1) => 0x23,
            Self::GranuleProtectionOnWalk(level) => level_code(0x24, level),
            Self::GranuleProtection => 0x28,
            Self::TlbConflict => 0x30,
            Self::UnsupportedAtomicUpdate => 0x31,
            Self::Lockdown => 0x34,
            Self::UnsupportedExclusive => 0x35,
            Self::Reserved(code) => code & 0x3f,
        }
    }

    /// Whether stage 2 refused the access for its tables' sake, so that HPFAR_EL2 holds the IPA:
    /// a translation, access flag or address size fault. For a permission fault HPFAR_EL2 is
    /// UNKNOWN (DDI 0487, HPFAR_EL2), and for all others the IPA is not known to begin with.
    pub const fn sets_hpfar(self) -> bool {
        matches!(self, Self::AddressSize(_) | Self::Translation(_) | Self::AccessFlag(_))
    }
}

/// `base` with `level` in its two low bits.
const fn level_code(base: u8, level: i8) -> u8 {
    base | match level {
        ..=0 => 0,
        1 => 1,
        2 => 2,
        3.. => 3,
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::AddressSize(level) => write!(f, "address size fault level {level}"),
            Self::Translation(level) => write!(f, "translation fault level {level}"),
            Self::AccessFlag(level) => write!(f, "access flag fault level {level}"),
            Self::Permission(level) => write!(f, "permission fault level {level}"),
            Self::External => f.write_str("synchronous external abort"),
            Self::ExternalOnWalk(level) => {
                write!(f, "synchronous external abort on a table walk, level {level}")
            }
            Self::Parity => f.write_str("synchronous parity or ECC error"),
            Self::ParityOnWalk(level) => {
                write!(f, "synchronous parity or ECC error on a table walk, level {level}")
            }
            Self::TagCheck => f.write_str("synchronous tag check fault"),
            Self::Alignment => f.write_str("alignment fault"),
            Self::GranuleProtection => f.write_str("granule protection fault"),
            Self::GranuleProtectionOnWalk(level) => {
                write!(f, "granule protection fault on a table walk, level {level}")
            }
            Self::TlbConflict => f.write_str("TLB conflict"),
            Self::UnsupportedAtomicUpdate => f.write_str("unsupported atomic hardware update"),
            Self::Lockdown => f.write_str("lockdown fault"),
            Self::UnsupportedExclusive => f.write_str("unsupported exclusive or atomic access"),
            Self::Reserved(code) => write!(f, "reserved fault status {code:#04x}"),
        }
    }
}
