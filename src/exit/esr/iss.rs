//! The smaller instruction specific syndromes, one type per encoding.

use super::Esr;

const fn bit(iss: u32, n: u32) -> bool {
    iss >> n & 1 != 0
}

const fn bits(iss: u32, low: u32, count: u32) -> u8 {
    (iss >> low & ((1 << count) - 1)) as u8
}

macro_rules! iss {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        #[repr(transparent)]
        pub struct $name(u32);

        impl $name {
            /// Takes the ISS of `esr`, whose class the caller has looked at.
            #[inline]
            pub const fn new(esr: Esr) -> Self {
                Self(esr.iss())
            }
        }
    };
}

/// Which of the waiting instructions was trapped: TI, bits 1:0.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WfKind {
    /// Wait for interrupt.
    Wfi,
    /// Wait for event.
    Wfe,
    /// Wait for interrupt, with a time limit (FEAT_WFxT).
    Wfit,
    /// Wait for event, with a time limit (FEAT_WFxT).
    Wfet,
}

iss! {
    /// A trapped WFI, WFE, WFIT or WFET (EC 0x01).
    Wfx
}

impl Wfx {
    /// TI, bits 1:0: which instruction.
    #[inline]
    pub const fn kind(self) -> WfKind {
        match self.0 & 3 {
            0 => WfKind::Wfi,
            1 => WfKind::Wfe,
            2 => WfKind::Wfit,
            _ => WfKind::Wfet,
        }
    }

    /// Rn, bits 9:5, where RV, bit 2, says that it is valid: the register with the time limit
    /// (a value of CNTVCT_EL0) of WFIT and WFET.
    #[inline]
    pub const fn rt(self) -> Option<u8> {
        if bit(self.0, 2) { Some(bits(self.0, 5, 5)) } else { None }
    }
}

iss! {
    /// A trapped MCR, MRC or VMRS of AArch32 (EC 0x03, 0x05, 0x08).
    Coprocessor
}

impl Coprocessor {
    /// Opc1, bits 16:14.
    pub const fn opc1(self) -> u8 {
        bits(self.0, 14, 3)
    }

    /// CRn, bits 13:10.
    pub const fn crn(self) -> u8 {
        bits(self.0, 10, 4)
    }

    /// CRm, bits 4:1.
    pub const fn crm(self) -> u8 {
        bits(self.0, 1, 4)
    }

    /// Opc2, bits 19:17.
    pub const fn opc2(self) -> u8 {
        bits(self.0, 17, 3)
    }

    /// Rt, bits 9:5, as the AArch64 register that it is seen as.
    pub const fn rt(self) -> u8 {
        bits(self.0, 5, 5)
    }

    /// Direction, bit 0: a read, MRC.
    pub const fn read(self) -> bool {
        bit(self.0, 0)
    }
}

iss! {
    /// A trapped MCRR or MRRC of AArch32 (EC 0x04, 0x0c).
    CoprocessorPair
}

impl CoprocessorPair {
    /// Opc1, bits 19:16.
    pub const fn opc1(self) -> u8 {
        bits(self.0, 16, 4)
    }

    /// CRm, bits 4:1.
    pub const fn crm(self) -> u8 {
        bits(self.0, 1, 4)
    }

    /// Rt, bits 9:5: the low word.
    pub const fn rt(self) -> u8 {
        bits(self.0, 5, 5)
    }

    /// Rt2, bits 14:10: the high word.
    pub const fn rt2(self) -> u8 {
        bits(self.0, 10, 5)
    }

    /// Direction, bit 0: a read, MRRC.
    pub const fn read(self) -> bool {
        bit(self.0, 0)
    }
}

iss! {
    /// A pointer authentication failure (EC 0x1c, FEAT_FPAC).
    Pauth
}

impl Pauth {
    /// Bit 1: a data key, not an instruction key.
    pub const fn data_key(self) -> bool {
        bit(self.0, 1)
    }

    /// Bit 0: a B key, not an A key.
    pub const fn b_key(self) -> bool {
        bit(self.0, 0)
    }
}

iss! {
    /// A software step exception (EC 0x32, 0x33).
    Step
}

impl Step {
    /// EX, bit 6, where ISV, bit 24, says that it is valid: a load-exclusive was stepped.
    pub const fn exclusive(self) -> Option<bool> {
        if bit(self.0, 24) { Some(bit(self.0, 6)) } else { None }
    }
}

/// How bad an asynchronous error is: AET, bits 12:10 (FEAT_RAS).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Severity {
    /// Uncontainable: anything may be wrong now.
    Uncontainable,
    /// Unrecoverable: contained, but the interrupted software can't go on.
    Unrecoverable,
    /// Restartable: the interrupted software can go on; the error is still there.
    Restartable,
    /// Recoverable, if software finds and repairs what is wrong.
    Recoverable,
    /// Corrected by the hardware.
    Corrected,
    /// A value that the manual does not allocate.
    Reserved(u8),
}

iss! {
    /// An SError (EC 0x2f).
    SError
}

impl SError {
    /// IDS, bit 24: the rest of the syndrome is IMPLEMENTATION DEFINED.
    pub const fn implementation_defined(self) -> bool {
        bit(self.0, 24)
    }

    /// The syndrome's 24 bits, whatever they mean.
    pub const fn raw(self) -> u32 {
        self.0 & 0xff_ffff
    }

    /// DFSC, bits 5:0: 0x11 is an asynchronous error with a severity, 0 is uncategorised.
    pub const fn dfsc(self) -> u8 {
        bits(self.0, 0, 6)
    }

    /// EA, bit 9: the external abort's type, IMPLEMENTATION DEFINED.
    pub const fn external_abort_type(self) -> bool {
        bit(self.0, 9)
    }

    /// AET, bits 12:10: valid only where IDS is 0 and DFSC says "asynchronous SError", 0x11.
    pub const fn severity(self) -> Option<Severity> {
        if self.implementation_defined() || self.dfsc() != 0x11 {
            return None;
        }
        Some(match bits(self.0, 10, 3) {
            0 => Severity::Uncontainable,
            1 => Severity::Unrecoverable,
            2 => Severity::Restartable,
            3 => Severity::Recoverable,
            6 => Severity::Corrected,
            other => Severity::Reserved(other),
        })
    }
}
