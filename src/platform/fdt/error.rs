//! What can be wrong with a blob, and with a property in a good one.

use core::fmt;

use super::{Node, Value};

/// Why a blob is no device tree. Numbers are bytes, and offsets count from the blob's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FdtError {
    /// Fewer bytes than a header: how many.
    TooShort(usize),
    /// Not aligned to four bytes: its address.
    Misaligned(usize),
    /// Another magic number.
    Magic(u32),
    /// Another version: its own, and the one that it is compatible with.
    Version(u32, u32),
    /// A total size that is less than a header or more than there is: both.
    TotalSize(usize, usize),
    /// A block that does not lie within the blob: its name, offset, size, and the blob's size.
    Block(&'static str, usize, usize, usize),
    /// A block that is not aligned: its name and offset.
    BlockAlignment(&'static str, usize),
    /// A memory reservation block that nothing ends: its offset.
    ReservationsEnd(usize),
    /// A fault in the structure block: the offset of the token, and what is wrong.
    Structure(usize, StructureFault),
    /// `fdt-rs` refuses what the check let pass.
    Library,
}

/// What can be wrong with a token of the structure block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StructureFault {
    /// No such token: its number.
    Token(u32),
    /// The block ends before it.
    Truncated,
    /// A node's name is not printable ASCII up to a NUL.
    NodeName,
    /// A property's name is not: its offset in the strings block.
    PropertyName(usize),
    /// A property's value is longer than what is left: both.
    PropertyLength(usize, usize),
    /// A property outside a node, or behind a child of its node.
    PropertyPlace,
    /// A second root.
    SecondRoot,
    /// A node nested deeper than `MAX_DEPTH`.
    TooDeep,
    /// The end, with this many nodes open.
    Unclosed(usize),
    /// A node's end, with none open.
    Unopened,
    /// The end, without a root.
    NoRoot,
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device tree: ")?;
        match *self {
            Self::TooShort(found) => {
                write!(
                    f,
                    "found {found} bytes, wanted a header of {}",
                    super::HEADER_SIZE
                )
            }
            Self::Misaligned(address) => {
                write!(
                    f,
                    "found it at {address:#x}, wanted an address aligned to 4 bytes"
                )
            }
            Self::Magic(found) => write!(f, "found magic {found:#x}, wanted 0xd00dfeed"),
            Self::Version(own, old) => {
                write!(
                    f,
                    "found version {own}, compatible with {old}, wanted version 17"
                )
            }
            Self::TotalSize(total, available) => {
                write!(
                    f,
                    "totalsize: found {total} bytes, wanted 40 to {available}, all there are"
                )
            }
            Self::Block(block, offset, size, total) => {
                write!(
                    f,
                    "{block}: found {size} bytes at {offset:#x}, wanted it within {total:#x}"
                )
            }
            Self::BlockAlignment(block, offset) => {
                write!(
                    f,
                    "{block}: found it at {offset:#x}, wanted a multiple of its unit"
                )
            }
            Self::ReservationsEnd(offset) => {
                write!(
                    f,
                    "memory reservations at {offset:#x}: found no end, wanted a zero entry"
                )
            }
            Self::Structure(offset, fault) => write!(f, "offset {offset:#x}: {fault}"),
            Self::Library => write!(f, "found a header that fdt-rs refuses, wanted a valid one"),
        }
    }
}

impl fmt::Display for StructureFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const NAME: &str = "wanted printable ASCII and NUL";
        match *self {
            Self::Token(found) => write!(f, "found token {found:#x}, wanted 1, 2, 3, 4 or 9"),
            Self::Truncated => write!(f, "found the structure's end, wanted a token"),
            Self::NodeName => write!(f, "found no node name, {NAME}"),
            Self::PropertyName(at) => write!(f, "found no property name at {at:#x}, {NAME}"),
            Self::PropertyLength(found, left) => {
                write!(
                    f,
                    "found a property of {found} bytes, wanted at most {left}"
                )
            }
            Self::PropertyPlace => {
                write!(
                    f,
                    "found a property, wanted it in a node and before its children"
                )
            }
            Self::SecondRoot => write!(f, "found a second root node, wanted one"),
            Self::TooDeep => write!(
                f,
                "found a node, wanted at most {} levels",
                super::MAX_DEPTH
            ),
            Self::Unclosed(open) => write!(f, "found the end with {open} nodes open, wanted none"),
            Self::Unopened => write!(f, "found a node's end, wanted a node open there"),
            Self::NoRoot => write!(f, "found no root node, wanted one"),
        }
    }
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
        write!(f, "{}: {}: found ", self.node.path(), self.property)?;
        match self.found {
            Some(value) => write!(f, "{value}")?,
            None => write!(f, "no such property")?,
        }
        write!(f, ", wanted {}", self.wanted)
    }
}
