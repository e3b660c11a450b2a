//! How often each vCPU came back from its guest, by kind.

use core::fmt;

use crate::trace::format::KINDS;

macro_rules! exits {
    ($($(#[$doc:meta])* $kind:ident,)*) => {
        /// The counts of one vCPU. It prints as those that are not 0.
        #[derive(Default)]
        pub struct Exits { $($(#[$doc])* pub $kind: u64,)* }

        impl Exits {
            /// Each kind's name and count, in the order of `trace::format::Kind`.
            pub const fn kinds(&self) -> [(&'static str, u64); KINDS] {
                [$((stringify!($kind), self.$kind)),*]
            }
        }

        impl fmt::Display for Exits {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                let kinds = self.kinds();
                let all = kinds.iter().fold(0u64, |all, (_, count)| all.wrapping_add(*count));
                write!(f, "{all} exits")?;
                let mut before = ": ";
                for (kind, count) in kinds.iter().filter(|(_, count)| *count != 0) {
                    write!(f, "{before}{count} {kind}")?;
                    before = ", ";
                }
                Ok(())
            }
        }
    };
}

exits! {
    /// HVC or SMC.
    calls,
    /// A trapped register or system instruction.
    registers,
    /// A load or store of a device, by its syndrome.
    devices,
    /// Any other data abort: a first touch of memory, an access without syndrome, nothing there.
    aborts,
    /// An abort of a fetch.
    fetches,
    /// WFI or WFE.
    waits,
    /// The first use of FP or SIMD since it was loaded.
    fp,
    /// Any other exception of its own.
    others,
    /// A physical interrupt.
    interrupts,
    /// A physical SError.
    serrors,
}

#[cfg(test)]
mod tests;
