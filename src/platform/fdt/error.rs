//! What can be wrong with a blob, and with a property in a good one.

use thiserror::Error;

use super::{Node, Property};

/// Why a blob is no device tree. Numbers are bytes, and offsets count from the blob's start. Who
/// knows what should have been a device tree puts that before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("offset {at:#x}: found {what} {found:#x}, wanted {wanted}")]
pub struct FdtError {
    /// The offset of the header's field or of the token that is wrong.
    pub at: usize,
    /// What was found there.
    pub what: &'static str,
    /// Its number: a value, an offset, a size or a depth.
    pub found: usize,
    /// What should be there.
    pub wanted: &'static str,
}

/// A property that is missing or is not what its reader needs.
#[derive(Clone, Copy, Debug, Error)]
#[error("{node}: {property}: found {found}, wanted {wanted}")]
pub struct Odd<'a> {
    /// The node that has, or should have, the property.
    pub node: Node<'a>,
    /// The property's name.
    pub property: &'a str,
    /// What is there.
    pub found: Found<'a>,
    /// What should be there.
    pub wanted: &'static str,
}

/// What is found where something else is wanted.
#[derive(Clone, Copy, Debug, Error)]
pub enum Found<'a> {
    /// A property, which prints as its value.
    #[error("{0}")]
    Property(Property<'a>),
    /// The node does not have the property.
    #[error("no such property")]
    NoProperty,
    /// No node that may be used has the property as it should be.
    #[error("no usable node")]
    NoNode,
    /// One range of a list: its first byte and its size.
    #[error("{1:#x} bytes at {0:#x}")]
    Range(u64, u64),
}
