//! Flattened device trees, read safely.
//!
//! This is the one module through which the hypervisor reads a device tree, be it the machine's
//! (from x0 at boot) or the VM description (from the initrd). Whoever wrote the bytes, nothing
//! here panics, loops for ever or reads outside the blob: [`Fdt::new`] checks everything once,
//! and only a blob that passed can be walked.
//!
//! The walk allocates nothing and never copies a property's value, so that a blob with guest
//! images of a hundred megabytes in it costs no more than its number of nodes and properties.
//!
//! # Where `fdt-rs` works, and where it is stood in for
//!
//! [`fdt_rs`] reads the header and steps through properties and the ends of nodes
//! ([`DevTreeParseIter`]). Of its release 0.4.5 the following is known, and handled here:
//!
//! - it trusts the blob, and its debug assertions and unchecked reads panic on some malformed
//!   ones: `check` goes through the whole structure block first, and it sees only what passed;
//! - it takes a blob cut short as good: the header's `totalsize` is compared with the bytes;
//! - it fails on node names of 30 bytes and more, which the specification allows and firmware
//!   writes: names of nodes are read here;
//! - it wants bytes behind the last token: `FDT_END` is read here;
//! - its iterator of `/memreserve/` gives entries that cannot be read: see [`Reservations`].
//!
//! Source: Devicetree Specification v0.4, chapter 5 (flattened format), and section 2.3 for the
//! standard properties.

mod check;
mod error;
mod node;
mod property;
mod reg;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

pub use error::{FdtError, Odd, StructureFault};
pub use node::{Children, Node, Nodes, Properties};
pub use property::{Cells, Property, Strings, Value};
pub use reg::Reg;

use core::ffi::CStr;

use fdt_rs::base::DevTree;
use fdt_rs::base::parse::{DevTreeParseIter, ParsedTok};
use fdt_rs::prelude::FallibleIterator;

/// Bytes of a version 17 header: what must be readable before anything is known of a blob.
pub const HEADER_SIZE: usize = 40;
/// Nodes may nest this deep, the root included; as in Linux and in `vm-fdt`.
pub const MAX_DEPTH: usize = 64;

const FDT_BEGIN_NODE: u32 = 1;
const FDT_END_NODE: u32 = 2;
const FDT_PROP: u32 = 3;
const FDT_NOP: u32 = 4;
const FDT_END: u32 = 9;

/// A device tree blob that has been checked from its first to its last token.
#[derive(Clone, Copy)]
pub struct Fdt<'a> {
    tree: DevTree<'a>,
    /// Offset of the root's `FDT_BEGIN_NODE` in the blob.
    root: u32,
}

impl<'a> Fdt<'a> {
    /// The size in bytes of the blob that starts with these bytes, by its header; at least
    /// [`HEADER_SIZE`] bytes must be given. For a caller who has only an address.
    pub fn total_size(header: &[u8]) -> Result<usize, FdtError> {
        check::total_size(header)
    }

    /// Checks a blob: header, the bounds of its blocks, and every token of the structure block.
    ///
    /// `bytes` may be longer than the blob, and must be aligned to four bytes (the specification
    /// asks for eight, and a blob within a property has four).
    pub fn new(bytes: &'a [u8]) -> Result<Self, FdtError> {
        let (blob, root) = check::check(bytes)?;
        // SAFETY: `check` has seen that the slice is aligned to 4 bytes and exactly `totalsize`
        // bytes long, that the header's blocks lie within it, and that the structure block is
        // well-formed: all that `DevTree` asks of its callers.
        let tree = unsafe { DevTree::new(blob) }.map_err(|_| FdtError::Library)?;
        Ok(Self { tree, root })
    }

    /// The blob, exactly `totalsize` bytes.
    pub fn blob(&self) -> &'a [u8] {
        self.tree.buf()
    }

    /// The root node.
    pub fn root(&self) -> Node<'a> {
        Node::at(*self, self.root)
    }

    /// Every node, a parent before its children, in the blob's order.
    pub fn nodes(&self) -> Nodes<'a> {
        Nodes::new(*self, self.root)
    }

    /// The node at `path`. A component without a unit address matches the first node of that
    /// name (`/memory` finds `/memory@40000000`); a path that does not begin with `/` begins
    /// with an alias, as `serial0` or `soc/uart@0` do.
    pub fn node(&self, path: &str) -> Option<Node<'a>> {
        if let Some(rest) = path.strip_prefix('/') {
            return self.root().descend(rest);
        }
        let (alias, rest) = path.split_once('/').unwrap_or((path, ""));
        let target = self.node("/aliases")?.property(alias)?.string()?;
        self.root().descend(target.strip_prefix('/')?)?.descend(rest)
    }

    /// The node whose `phandle` is `handle`.
    pub fn phandle(&self, handle: u32) -> Option<Node<'a>> {
        self.nodes().find(|node| node.phandle() == Some(handle))
    }

    /// The entries of `/memreserve/`: memory that must be left alone.
    pub fn reservations(&self) -> Reservations<'a> {
        let entries = self.blob().get(self.tree.off_mem_rsvmap()..);
        Reservations(entries.unwrap_or(&[]))
    }

    /// The strings block: names of properties.
    fn strings(&self) -> &'a [u8] {
        let strings = self.blob().get(self.tree.off_dt_strings()..);
        strings.and_then(|bytes| bytes.get(..self.tree.size_dt_strings() as usize)).unwrap_or(&[])
    }

    /// The name of the node whose `FDT_BEGIN_NODE` lies at `offset`.
    fn name(&self, offset: u32) -> Option<&'a str> {
        c_string(self.blob().get(offset.checked_add(4)? as usize..)?)
    }

    /// The token at `offset`, which is moved behind it; `None` at the end.
    fn token(&self, offset: &mut u32) -> Option<Token<'a>> {
        loop {
            match word(self.blob(), *offset as usize)? {
                FDT_BEGIN_NODE => {
                    let name = self.name(*offset)?;
                    // Token, name, NUL, padding to the next token.
                    *offset = offset.checked_add(4 + name.len() as u32 + 4)? & !3;
                    return Some(Token::Begin);
                }
                FDT_END => return None,
                _ => {
                    let mut tokens = DevTreeParseIter { offset: *offset as usize, fdt: &self.tree };
                    let token = tokens.next().ok()??;
                    *offset = tokens.offset as u32;
                    match token {
                        ParsedTok::Prop(property) => {
                            let name = self.strings().get(property.name_offset..)?;
                            return Some(Token::Property(Property::new(name, property.prop_buf)));
                        }
                        ParsedTok::EndNode => return Some(Token::End),
                        ParsedTok::Nop => {}
                        ParsedTok::BeginNode(_) => return None,
                    }
                }
            }
        }
    }
}

impl core::fmt::Debug for Fdt<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "Fdt({} bytes)", self.blob().len())
    }
}

/// What the structure block is made of.
enum Token<'a> {
    Begin,
    Property(Property<'a>),
    End,
}

/// The `/memreserve/` entries of a blob: (address, size) in bytes, up to the entry of zeros;
/// those of size zero left out.
///
/// Source: Devicetree Specification v0.4, section 5.3.
#[derive(Clone)]
pub struct Reservations<'a>(&'a [u8]);

impl Iterator for Reservations<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        loop {
            let (entry, rest) = self.0.split_first_chunk::<16>()?;
            self.0 = rest;
            let number = u128::from_be_bytes(*entry);
            if number == 0 {
                self.0 = &[];
            }
            let (address, size) = ((number >> 64) as u64, number as u64);
            if size != 0 {
                return Some((address, size));
            }
        }
    }
}

/// The big-endian 32-bit word at `offset`.
fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let four = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_be_bytes(*four))
}

/// The NUL-terminated text at the start of `bytes`.
fn c_string(bytes: &[u8]) -> Option<&str> {
    CStr::from_bytes_until_nul(bytes).ok()?.to_str().ok()
}
