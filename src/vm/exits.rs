//! How often each vCPU came back from its guest, by kind.

use core::fmt;

/// Each kind, and what many of it are called.
macro_rules! kinds {
    ($($(#[$doc:meta])* $kind:ident $name:literal,)*) => {
        /// Why it came back.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum Kind { $($(#[$doc])* $kind,)* }

        const NAMES: &[&str] = &[$($name),*];
    };
}

kinds! {
    /// HVC or SMC.
    Call "calls",
    /// A trapped register or system instruction.
    Register "registers",
    /// A load or store of a device, by its syndrome.
    Device "devices",
    /// Any other data abort: a first touch of memory, an access without syndrome, nothing there.
    Data "other data aborts",
    /// A fetch.
    Fetch "fetches",
    /// WFI or WFE.
    Wait "waits",
    /// The first use of FP or SIMD since it was loaded.
    Fp "FP",
    /// Any other exception of its own.
    Other "others",
    /// A physical interrupt.
    Interrupt "interrupts",
    /// A physical SError.
    SError "SErrors",
}

/// The counts of one vCPU. It prints as those that are not 0.
#[derive(Default)]
pub struct Exits([u64; NAMES.len()]);

impl Exits {
    /// One more.
    #[inline(always)]
    pub fn count(&mut self, kind: Kind) {
        let count = &mut self.0[kind as usize];
        *count = count.wrapping_add(1);
    }
}

impl fmt::Display for Exits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = self.0.iter().fold(0u64, |all, count| all.wrapping_add(*count));
        write!(f, "{all} exits")?;
        let mut before = ": ";
        for (count, name) in self.0.iter().zip(NAMES).filter(|(count, _)| **count != 0) {
            write!(f, "{before}{count} {name}")?;
            before = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
