//! What can be wrong with a blob, and with a property in a good one.

use core::fmt;

use super::{Node, Value};

/// Why a blob is no device tree. Offsets are in bytes from the blob's start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each variant's fields are named for its line of Display"
)]
pub enum FdtError {
    TooShort {
        found: usize,
    },
    Misaligned {
        address: usize,
    },
    Magic {
        found: u32,
    },
    Version {
        version: u32,
        compatible: u32,
    },
    TotalSize {
        total: usize,
        available: usize,
    },
    Block {
        block: &'static str,
        offset: usize,
        size: usize,
        total: usize,
    },
    BlockAlignment {
        block: &'static str,
        offset: usize,
    },
    ReservationsEnd {
        offset: usize,
    },
    Token {
        offset: usize,
        found: u32,
    },
    Truncated {
        offset: usize,
    },
    NodeName {
        offset: usize,
    },
    PropertyName {
        offset: usize,
        name: usize,
    },
    PropertyLength {
        offset: usize,
        length: usize,
        left: usize,
    },
    PropertyPlace {
        offset: usize,
    },
    SecondRoot {
        offset: usize,
    },
    TooDeep {
        offset: usize,
    },
    Unclosed {
        offset: usize,
        depth: usize,
    },
    Unopened {
        offset: usize,
    },
    NoRoot,
    Library,
}

impl fmt::Display for FdtError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "device tree: ")?;
        match *self {
            Self::TooShort { found } => {
                write!(
                    f,
                    "found {found} bytes, wanted a header of {} bytes",
                    super::HEADER_SIZE
                )
            }
            Self::Misaligned { address } => {
                write!(
                    f,
                    "found it at {address:#x}, wanted an address aligned to 4 bytes"
                )
            }
            Self::Magic { found } => write!(f, "found magic {found:#x}, wanted 0xd00dfeed"),
            Self::Version {
                version,
                compatible,
            } => write!(
                f,
                "found version {version}, compatible with {compatible}, wanted version 17"
            ),
            Self::TotalSize { total, available } => write!(
                f,
                "totalsize: found {total} bytes, wanted 40 to {available}, the bytes there are"
            ),
            Self::Block {
                block,
                offset,
                size,
                total,
            } => write!(
                f,
                "{block}: found {size} bytes at offset {offset:#x}, wanted them within {total:#x}"
            ),
            Self::BlockAlignment { block, offset } => {
                write!(
                    f,
                    "{block}: found it at offset {offset:#x}, wanted a multiple of its unit"
                )
            }
            Self::ReservationsEnd { offset } => write!(
                f,
                "memory reservations: found the blob's end after offset {offset:#x}, \
                 wanted an entry of zeros"
            ),
            Self::Token { offset, found } => {
                write!(
                    f,
                    "offset {offset:#x}: found token {found:#x}, wanted 1, 2, 3, 4 or 9"
                )
            }
            Self::Truncated { offset } => {
                write!(
                    f,
                    "offset {offset:#x}: found the structure's end, wanted a token"
                )
            }
            Self::NodeName { offset } => {
                write!(
                    f,
                    "offset {offset:#x}: found no node name, wanted printable ASCII and NUL"
                )
            }
            Self::PropertyName { offset, name } => write!(
                f,
                "offset {offset:#x}: found no property name at {name:#x} of the strings, \
                 wanted printable ASCII and NUL"
            ),
            Self::PropertyLength {
                offset,
                length,
                left,
            } => write!(
                f,
                "offset {offset:#x}: found a property of {length} bytes, wanted at most {left}"
            ),
            Self::PropertyPlace { offset } => write!(
                f,
                "offset {offset:#x}: found a property, wanted it in a node and before its children"
            ),
            Self::SecondRoot { offset } => {
                write!(
                    f,
                    "offset {offset:#x}: found a second root node, wanted one"
                )
            }
            Self::TooDeep { offset } => write!(
                f,
                "offset {offset:#x}: found a node nested too deep, wanted at most {} levels",
                super::MAX_DEPTH
            ),
            Self::Unclosed { offset, depth } => {
                write!(
                    f,
                    "offset {offset:#x}: found the end with {depth} nodes open, wanted none"
                )
            }
            Self::Unopened { offset } => {
                write!(
                    f,
                    "offset {offset:#x}: found a node's end, wanted a node open there"
                )
            }
            Self::NoRoot => write!(f, "found no root node, wanted one"),
            Self::Library => write!(f, "found a header that fdt-rs refuses, wanted a valid one"),
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
