//! What can be wrong with a VM description.

use alloc::format;
use alloc::string::String;
use core::fmt::Display;

use thiserror::Error;

use crate::platform::fdt::{FdtError, Odd};

/// Why a description or a VM of it is refused: a line of node, property, what was found and what
/// was wanted, with the numbers that a person needs.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Fault(String);

impl Fault {
    /// A fault at a place, which is a node and mostly a property of it.
    pub fn new(place: impl Display, found: impl Display, wanted: impl Display) -> Self {
        Self(format!("{place}: found {found}, wanted {wanted}"))
    }

    /// The same, with the place in which its own place is.
    pub fn within(self, place: impl Display) -> Self {
        Self(format!("{place}: {self}"))
    }
}

impl From<Odd<'_>> for Fault {
    fn from(odd: Odd<'_>) -> Self {
        Self(format!("{odd}"))
    }
}

impl From<FdtError> for Fault {
    fn from(error: FdtError) -> Self {
        Self(format!("{error}"))
    }
}

impl From<vm_fdt::Error> for Fault {
    /// The writer refuses only what no tree should bring about.
    fn from(error: vm_fdt::Error) -> Self {
        Self(format!("found what cannot be written ({error}), wanted another tree"))
    }
}
