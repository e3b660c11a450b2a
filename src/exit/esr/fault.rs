//! Fault status codes: DFSC and IFSC of the abort syndromes.

use core::fmt;

/// What went wrong with a memory access: DFSC or IFSC, ISS bits 5:0 (Arm DDI 0487, ESR_ELx, ISS
/// encoding for an exception from a Data Abort).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Fault(u8);

impl Fault {
    /// The bus answered with an error.
    pub const EXTERNAL: Self = Self(0x10);
    /// The bus answered with an error while a descriptor of level 3 was fetched.
    pub const EXTERNAL_ON_WALK: Self = Self(0x17);

    /// The fault of an abort's ISS.
    pub const fn new(iss: u32) -> Self {
        Self((iss & 0x3f) as u8)
    }

    /// The six-bit fault status code.
    pub const fn code(self) -> u8 {
        self.0
    }

    /// A translation fault: no valid descriptor. For a device of ours, the normal case.
    pub const fn is_translation(self) -> bool {
        matches!(self.0, 0x04..=0x07 | 0x2a | 0x2b)
    }

    /// A fault that stage 2 may raise: its descriptor is invalid, lacks the access flag, or
    /// forbids this access.
    pub const fn is_stage2(self) -> bool {
        matches!(self.0, 0x08..=0x0f) || self.is_translation()
    }

    /// The bus answered with an error, to the access or to a table walk.
    pub const fn is_external(self) -> bool {
        matches!(self.0, 0x10 | 0x12..=0x17)
    }

    /// Whether HPFAR_EL2 holds the IPA: after a translation, access flag or address size fault.
    /// For a permission fault HPFAR_EL2 is UNKNOWN (DDI 0487, HPFAR_EL2), and for all others the
    /// IPA is not known to begin with.
    pub const fn sets_hpfar(self) -> bool {
        matches!(self.0, 0x00..=0x0b | 0x29..=0x2c)
    }
}

impl fmt::Display for Fault {
    /// The fault in words, with the level of the translation tables: 0 to 3, and −1 and −2 with
    /// FEAT_LPA2 and FEAT_D128.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let low = (self.0 & 3) as i8;
        let (name, level) = match self.0 {
            0x00..=0x03 => ("address size fault level", Some(low)),
            0x29 => ("address size fault level", Some(-1)),
            0x2c => ("address size fault level", Some(-2)),
            0x04..=0x07 => ("translation fault level", Some(low)),
            0x2a..=0x2b => ("translation fault level", Some(low - 4)),
            0x08..=0x0b => ("access flag fault level", Some(low)),
            0x0c..=0x0f => ("permission fault level", Some(low)),
            0x10 => ("synchronous external abort", None),
            0x12..=0x13 => ("synchronous external abort on a table walk, level", Some(low - 4)),
            0x14..=0x17 => ("synchronous external abort on a table walk, level", Some(low)),
            0x18 => ("synchronous parity or ECC error", None),
            0x1b => ("synchronous parity or ECC error on a table walk, level", Some(-1)),
            0x1c..=0x1f => ("synchronous parity or ECC error on a table walk, level", Some(low)),
            0x11 => ("synchronous tag check fault", None),
            0x21 => ("alignment fault", None),
            0x28 => ("granule protection fault", None),
            0x22..=0x23 => ("granule protection fault on a table walk, level", Some(low - 4)),
            0x24..=0x27 => ("granule protection fault on a table walk, level", Some(low)),
            0x30 => ("TLB conflict", None),
            0x31 => ("unsupported atomic hardware update", None),
            0x34 => ("lockdown fault", None),
            0x35 => ("unsupported exclusive or atomic access", None),
            code => return write!(f, "reserved fault status {code:#04x}"),
        };
        f.write_str(name)?;
        level.map_or(Ok(()), |level| write!(f, " {level}"))
    }
}
