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
//! ([`SysRegAccess`], [`Abort`]). These types are the bare number: each question is a shift and a
//! mask, and what isn't asked costs nothing. [`Report`] prints every class, as one line for
//! people.

/// Accessors of a register's fields, written as the manual writes them: `name[9:5]` is a number,
/// `name[0]` a flag.
macro_rules! fields {
    () => {};
    ($(#[$doc:meta])* $name:ident[$bit:literal]; $($rest:tt)*) => {
        $(#[$doc])*
        pub const fn $name(self) -> bool {
            self.0 >> $bit & 1 != 0
        }
        fields! { $($rest)* }
    };
    ($(#[$doc:meta])* $name:ident[$high:literal:$low:literal]; $($rest:tt)*) => {
        $(#[$doc])*
        pub const fn $name(self) -> u8 {
            (self.0 >> $low & ((1 << ($high - $low + 1)) - 1)) as u8
        }
        fields! { $($rest)* }
    };
}

mod abort;
mod class;
mod fault;
mod report;
mod sysreg;

pub use abort::{Abort, Access};
pub use class::Ec;
pub use fault::Fault;
pub use report::Report;
pub use sysreg::{SysReg, SysRegAccess, reg};

/// An exception syndrome, the value of ESR_EL2 (or ESR_EL1: the layout is the same).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Esr(u64);

impl Esr {
    /// Wraps the register's value.
    pub const fn new(bits: u64) -> Self {
        Self(bits)
    }

    /// Puts a syndrome together: `iss` is cut to its 25 bits.
    pub const fn compose(ec: Ec, il: bool, iss: u32) -> Self {
        Self((ec.0 as u64 & 0x3f) << 26 | (il as u64) << 25 | (iss & 0x1ff_ffff) as u64)
    }

    /// The register's value.
    pub const fn bits(self) -> u64 {
        self.0
    }

    /// EC, bits 31:26: the exception class.
    pub const fn ec(self) -> Ec {
        Ec((self.0 >> 26 & 0x3f) as u8)
    }

    /// ISS, bits 24:0: what the class has to say.
    pub const fn iss(self) -> u32 {
        (self.0 & 0x1ff_ffff) as u32
    }

    fields! {
        /// IL, bit 25: the trapped instruction is four bytes long, not a T32 halfword. Always 1
        /// where the length means nothing (SError, instruction abort, alignment, data abort
        /// without ISV, illegal state, debug but BRK, EC 0).
        il[25];
        /// TI, bit 0, of EC 0x01: the instruction was WFE or WFET, which wait for an event, not
        /// WFI or WFIT.
        waits_for_event[0];
    }
}

#[cfg(test)]
mod tests;
