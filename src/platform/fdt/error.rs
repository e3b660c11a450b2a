//! What can be wrong with a blob, and with a property in a good one.

use core::fmt;

use thiserror::Error;

use super::{HEADER_SIZE, MAX_DEPTH, Node, Value};

/// Why a blob is no device tree. Numbers are bytes, and offsets count from the blob's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FdtError {
    /// Fewer bytes than a header: how many.
    #[error("device tree: found {0} bytes, wanted a header of {HEADER_SIZE}")]
    TooShort(usize),
    /// Not aligned to four bytes: its address.
    #[error("device tree: found it at {0:#x}, wanted an address aligned to 4 bytes")]
    Misaligned(usize),
    /// Another magic number.
    #[error("device tree: found magic {0:#x}, wanted 0xd00dfeed")]
    Magic(u32),
    /// Another version: its own, and the one that it is compatible with.
    #[error("device tree: found version {0}, compatible with {1}, wanted version 17")]
    Version(u32, u32),
    /// A total size that is less than a header or more than there is: both.
    #[error("device tree: totalsize: found {0} bytes, wanted 40 to {1}, all there are")]
    TotalSize(usize, usize),
    /// A block that does not lie within the blob: its name, offset, size, and the blob's size.
    #[error("device tree: {0}: found {2} bytes at {1:#x}, wanted it within {3:#x}")]
    Block(&'static str, usize, usize, usize),
    /// A block that is not aligned: its name and offset.
    #[error("device tree: {0}: found it at {1:#x}, wanted a multiple of its unit")]
    BlockAlignment(&'static str, usize),
    /// A memory reservation block that nothing ends: its offset.
    #[error("device tree: memory reservations at {0:#x}: found no end, wanted a zero entry")]
    ReservationsEnd(usize),
    /// A fault in the structure block: the offset of the token, and what is wrong.
    #[error("device tree: offset {0:#x}: {1}")]
    Structure(usize, StructureFault),
    /// `fdt-rs` refuses what the check let pass.
    #[error("device tree: found a header that fdt-rs refuses, wanted a valid one")]
    Library,
}

/// What can be wrong with a token of the structure block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum StructureFault {
    /// No such token: its number.
    #[error("found token {0:#x}, wanted 1, 2, 3, 4 or 9")]
    Token(u32),
    /// The block ends before it.
    #[error("found the structure's end, wanted a token")]
    Truncated,
    /// A node's name is not printable ASCII up to a NUL.
    #[error("found no node name, wanted printable ASCII and NUL")]
    NodeName,
    /// A property's name is not: its offset in the strings block.
    #[error("found no property name at {0:#x}, wanted printable ASCII and NUL")]
    PropertyName(usize),
    /// A property's value is longer than what is left: both.
    #[error("found a property of {0} bytes, wanted at most {1}")]
    PropertyLength(usize, usize),
    /// A property outside a node, or behind a child of its node.
    #[error("found a property, wanted it in a node and before its children")]
    PropertyPlace,
    /// A second root.
    #[error("found a second root node, wanted one")]
    SecondRoot,
    /// A node nested deeper than `MAX_DEPTH`.
    #[error("found a node, wanted at most {MAX_DEPTH} levels")]
    TooDeep,
    /// The end, with this many nodes open.
    #[error("found the end with {0} nodes open, wanted none")]
    Unclosed(usize),
    /// A node's end, with none open.
    #[error("found a node's end, wanted a node open there")]
    Unopened,
    /// The end, without a root.
    #[error("found no root node, wanted one")]
    NoRoot,
}

/// A property that is missing or is not what its reader needs: node, property, found, wanted.
#[derive(Clone, Copy, Debug)]
pub struct Odd<'a> {
    /// The node that has, or should have, the property.
    pub node: Node<'a>,
    /// The property's name.
    pub property: &'a str,
    /// Its value, or `None` where it is missing.
    pub found: Option<Value<'a>>,
    /// What should be there.
    pub wanted: &'static str,
}

impl fmt::Display for Odd<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}: found ", self.node, self.property)?;
        match self.found {
            Some(value) => write!(f, "{value}")?,
            None => write!(f, "no such property")?,
        }
        write!(f, ", wanted {}", self.wanted)
    }
}
