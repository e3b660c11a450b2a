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
    /// A fault of these parts.
    pub fn new(
        node: impl Display,
        property: impl Display,
        found: impl Display,
        wanted: impl Display,
    ) -> Self {
        Self(format!("{node}: {property}: found {found}, wanted {wanted}"))
    }

    /// The fault of a property, or of the description itself, that is no device tree.
    pub fn blob(node: impl Display, property: &str, error: FdtError) -> Self {
        let FdtError { at, what, found, wanted } = error;
        Self::new(node, property, format_args!("{what} {found:#x} at offset {at:#x}"), wanted)
    }
}

impl From<Odd<'_>> for Fault {
    fn from(odd: Odd<'_>) -> Self {
        Self(format!("{odd}"))
    }
}
