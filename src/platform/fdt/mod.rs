//! Flattened device trees, read safely.
//!
//! This is the one module through which the hypervisor reads a device tree, be it the machine's
//! (from x0 at boot) or the VM description (from the initrd). Whoever wrote the bytes, nothing
//! here panics, loops for ever or reads outside the blob: [`Fdt::new`] goes through all of it once
//! with the same reader that serves every walk later, and only a blob that passed can be walked.
//!
//! The walk allocates nothing and never copies a property's value, so that a blob with guest
//! images of a hundred megabytes in it costs no more than its number of nodes and properties.
//!
//! # Where `fdt-rs` works, and where it is stood in for
//!
//! [`fdt_rs`] reads the header and steps through properties and the ends of nodes
//! ([`DevTreeParseIter`]). Of its release 0.4.5 the following is known, and handled here:
//!
//! - it takes a blob cut short as good: the header's `totalsize` is compared with the bytes;
//! - it fails on node names of 30 bytes and more, which the specification allows and firmware
//!   writes: names of nodes are read here;
//! - it wants bytes behind the last token, or its debug assertions panic: `FDT_END` is read here,
//!   and another token must follow before it sees one;
//! - it lets a value go on behind the structure block, and looks at no name: both are checked here;
//! - its iterator of `/memreserve/` gives entries that cannot be read: see [`Reservations`].
//!
//! Source: Devicetree Specification v0.4, chapter 5 (flattened format), and section 2.3 for the
//! standard properties.

mod error;
mod node;
mod property;
mod reg;
#[cfg(test)]
mod tests;

pub use error::{FdtError, Found, Odd};
pub use node::Node;
pub use property::Property;
#[cfg(test)]
pub(crate) use tests::testing;

use fdt_rs::base::DevTree;
use fdt_rs::base::parse::{DevTreeParseIter, ParsedTok};
use fdt_rs::prelude::FallibleIterator;

/// Bytes of a version 17 header: what must be readable before anything is known of a blob.
pub const HEADER_SIZE: usize = 40;
/// Nodes may nest this deep, the root included; as in Linux and in `vm-fdt`.
pub const MAX_DEPTH: usize = 64;

/// What names are.
const NAME: &str = "printable ASCII and NUL";
const MAGIC: usize = 0xd00d_feed;
const FDT_BEGIN_NODE: u32 = 1;
const FDT_PROP: u32 = 3;
const FDT_NOP: u32 = 4;
const FDT_END: u32 = 9;

/// A device tree blob that has been checked from its first to its last token.
#[derive(Clone, Copy)]
pub struct Fdt<'a> {
    tree: DevTree<'a>,
    /// Where the structure block ends, and where the strings block is, as the header says it.
    end: u32,
    names: (u32, u32),
}

/// What the structure block is made of.
#[derive(Clone, Copy)]
enum Token<'a> {
    /// A node's name; as text only where somebody reads it.
    Begin(&'a [u8]),
    /// A property: where its name is among the names, which few readers want to know, and its value.
    Property(usize, &'a [u8]),
    End,
    /// The end of the block.
    Last,
}

impl<'a> Fdt<'a> {
    /// The size in bytes of the blob that starts with these bytes, by its header; at least
    /// [`HEADER_SIZE`] bytes must be given. For a caller who has only an address.
    pub fn total_size(bytes: &[u8]) -> Result<usize, FdtError> {
        let [_, total, ..] = header(bytes)?;
        Ok(total)
    }

    /// Checks a blob: header, the bounds of its blocks, and every token of the structure block.
    ///
    /// `bytes` may be longer than the blob, and must be aligned to four bytes (the specification
    /// asks for eight, and a blob within a property has four).
    pub fn new(bytes: &'a [u8]) -> Result<Self, FdtError> {
        const BLOB: &str = "it within the blob";
        let [_, total, structure, strings, reserved, version, oldest, _, names_size, size] =
            header(bytes)?;
        let blob = bytes.get(..total).unwrap_or(&[]);
        let address = bytes.as_ptr().addr();
        let lies_within = |start: usize, size: usize| start.saturating_add(size) <= blob.len();
        let mut entries = blob.get(reserved..).unwrap_or(&[]).as_chunks::<16>().0.iter();
        let has_end = entries.any(|entry| *entry == [0; 16]);
        // The field's place, what it says, its value, what it has to be, and whether it is.
        let checks = [
            (0, "address", address, "a multiple of 4", address & 3 == 0),
            (1, "totalsize", total, "40 to all the bytes there are", blob.len() >= HEADER_SIZE),
            (2, "structure block at", structure, "a multiple of 4", structure & 3 == 0),
            (4, "memory reservations at", reserved, "a multiple of 8", reserved & 7 == 0),
            (4, "memory reservations at", reserved, "an end of zeros", has_end),
            (5, "version", version, "17 or later", version >= 17),
            (6, "oldest compatible version", oldest, "17 or earlier", oldest <= 17),
            (8, "strings block of", names_size, BLOB, lies_within(strings, names_size)),
            (9, "structure block of", size, BLOB, lies_within(structure, size)),
        ];
        if let Some((field, what, found, wanted, _)) = checks.into_iter().find(|check| !check.4) {
            return Err(FdtError { at: field * 4, what, found, wanted });
        }
        // SAFETY: the slice is aligned to 4 bytes and exactly `totalsize` bytes long, which is
        // all that `DevTree` asks of its callers; `token` sees to what it trusts of the rest.
        let tree = unsafe { DevTree::new(blob) };
        let refused = FdtError { at: 0, what: "a header of", found: total, wanted: "a valid one" };
        let end = |start: usize, size| start.saturating_add(size) as u32;
        let names = (strings as u32, end(strings, names_size));
        let this = Self { tree: tree.map_err(|_| refused)?, end: end(structure, size), names };
        this.check().map(|()| this)
    }

    /// Checks that all tokens can be read and make up one tree.
    fn check(&self) -> Result<(), FdtError> {
        let mut offset = self.root().offset;
        let (mut depth, mut has_root, mut properties_allowed) = (0usize, false, false);
        loop {
            let at = offset;
            let token = self.token(&mut offset).ok_or_else(|| self.bad_token(at))?;
            let odd = |what, found, wanted| Err(FdtError { at, what, found, wanted });
            let wrong = |what, wanted| odd(what, depth, wanted);
            match token {
                Token::Begin(_) if depth == 0 && has_root => {
                    return wrong("a second root, at depth", "one");
                }
                Token::Begin(b"") if depth > 0 => return wrong("no node name at depth", "one"),
                Token::Begin(_) if depth == MAX_DEPTH => {
                    return wrong("a node at depth", "at most 64 levels");
                }
                Token::Begin(_) => depth = depth.saturating_add(1),
                Token::Property(at, _) if name(self.names(), at).is_none_or(str::is_empty) => {
                    return odd("no property name at", at, NAME);
                }
                Token::Property(..) if properties_allowed => {}
                Token::Property(..) => {
                    return wrong("a property at depth", "it in a node, before its children");
                }
                Token::End if depth == 0 => return wrong("a node's end at depth", "a node open"),
                Token::End => depth = depth.saturating_sub(1),
                Token::Last if depth > 0 => return wrong("the end at depth", "all nodes closed"),
                Token::Last if !has_root => return wrong("the end at depth", "a root node"),
                Token::Last => return Ok(()),
            }
            has_root = true;
            properties_allowed = !matches!(token, Token::End);
        }
    }

    /// The blob, exactly `totalsize` bytes.
    pub fn blob(&self) -> &'a [u8] {
        self.tree.buf()
    }

    /// The root node.
    pub fn root(&self) -> Node<'a> {
        Node { fdt: *self, offset: self.tree.off_dt_struct() }
    }

    /// Every node, a parent before its children, in the blob's order.
    pub fn nodes(&self) -> impl Iterator<Item = Node<'a>> + Clone + use<'a> {
        let fdt = *self;
        self.tokens(self.root().offset).filter_map(move |(offset, token)| {
            matches!(token, Token::Begin(_)).then_some(Node { fdt, offset })
        })
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

    /// The entries of `/memreserve/`, memory that must be left alone: (address, size) in bytes,
    /// up to the entry of zeros; those of size zero left out.
    ///
    /// Source: Devicetree Specification v0.4, section 5.3.
    pub fn reservations(&self) -> impl Iterator<Item = (u64, u64)> + use<'a> {
        let block = self.blob().get(self.tree.off_mem_rsvmap()..).unwrap_or(&[]);
        let entries = block.as_chunks::<16>().0.iter().map(|entry| u128::from_be_bytes(*entry));
        let entries = entries.take_while(|entry| *entry != 0);
        entries.map(|entry| ((entry >> 64) as u64, entry as u64)).filter(|(_, size)| *size > 0)
    }

    /// The error that says that there is no usable node with this property.
    pub fn lacks(&self, property: &'a str, wanted: &'static str) -> Odd<'a> {
        Odd { node: self.root(), property, found: Found::NoNode, wanted }
    }

    /// The strings block.
    fn names(&self) -> &'a [u8] {
        self.blob().get(self.names.0 as usize..self.names.1 as usize).unwrap_or(&[])
    }

    /// The tokens from `offset` on, each with the offset at which it was looked for.
    fn tokens(
        &self,
        mut offset: usize,
    ) -> impl Iterator<Item = (usize, Token<'a>)> + Clone + use<'a> {
        let fdt = *self;
        core::iter::from_fn(move || {
            let at = offset;
            let token = fdt.token(&mut offset);
            token.filter(|token| !matches!(token, Token::Last)).map(|token| (at, token))
        })
    }

    /// What the offset of tokens counts through: the blob up to the end of the structure block.
    fn structure(&self) -> &'a [u8] {
        self.blob().get(..self.end as usize).unwrap_or(&[])
    }

    /// The token at `offset`, which is moved behind it.
    fn token(&self, offset: &mut usize) -> Option<Token<'a>> {
        let tokens = self.structure();
        loop {
            let at = *offset;
            let kind = word(tokens, at)?;
            if kind == FDT_END {
                return Some(Token::Last);
            }
            // It is not the last one.
            tokens.get(at + 4..)?.first_chunk::<4>()?;
            if kind == FDT_BEGIN_NODE {
                let name = plain(tokens, at + 4)?;
                *offset = (at + 4 + name.len() + 1).next_multiple_of(4);
                return Some(Token::Begin(name));
            }
            let mut iterator = DevTreeParseIter { offset: at, fdt: &self.tree };
            let token = iterator.next().ok()??;
            *offset = iterator.offset;
            return match token {
                ParsedTok::Prop(found) if *offset <= tokens.len() => {
                    Some(Token::Property(found.name_offset, found.prop_buf))
                }
                ParsedTok::EndNode => Some(Token::End),
                ParsedTok::Nop => continue,
                _ => None,
            };
        }
    }

    /// What is wrong with the token at `at`, perhaps behind some that mean nothing.
    #[cold]
    fn bad_token(&self, mut at: usize) -> FdtError {
        let tokens = self.structure();
        while word(tokens, at) == Some(FDT_NOP) {
            at = at.saturating_add(4);
        }
        let odd = |what, found, wanted| FdtError { at, what, found, wanted };
        match (word(tokens, at), word(tokens, at.saturating_add(4))) {
            (None, _) | (_, None) => odd("the block's end at", tokens.len(), "a token"),
            (Some(FDT_BEGIN_NODE), _) => odd("no node name at", at.saturating_add(4), NAME),
            (Some(FDT_PROP), Some(size)) => {
                odd("a property of", size as usize, "value and name in their blocks")
            }
            (Some(kind), _) => odd("token", kind as usize, "1, 2, 3, 4 or 9"),
        }
    }
}

/// The header's fields in their order, if it is one.
///
/// Source: Devicetree Specification v0.4, section 5.2.
fn header(bytes: &[u8]) -> Result<[usize; 10], FdtError> {
    let odd = |what, found, wanted| FdtError { at: 0, what, found, wanted };
    if bytes.len() < HEADER_SIZE {
        return Err(odd("a length of", bytes.len(), "a header of 40 bytes"));
    }
    let fields: [usize; 10] =
        core::array::from_fn(|index| word(bytes, index * 4).unwrap_or(0) as usize);
    match fields[0] {
        MAGIC => Ok(fields),
        found => Err(odd("magic", found, "0xd00dfeed")),
    }
}

/// The big-endian 32-bit word at `offset`.
fn word(bytes: &[u8], offset: usize) -> Option<u32> {
    let four = bytes.get(offset..)?.first_chunk()?;
    Some(u32::from_be_bytes(*four))
}

/// The name at `offset`, as text.
fn name(bytes: &[u8], offset: usize) -> Option<&str> {
    core::str::from_utf8(plain(bytes, offset)?).ok()
}

/// The name at `offset`: printable ASCII without `/` up to a NUL. Names are printed in faults and
/// compared as text, so nothing else may pass. Their length is bounded, lest a million properties
/// share one endless name.
fn plain(bytes: &[u8], offset: usize) -> Option<&[u8]> {
    const MOST: usize = 255;
    let bytes = bytes.get(offset..)?;
    /// Half of what is done with a tree is to find the ends of names.
    static PLAIN: [bool; 256] = {
        let (mut plain, mut byte) = ([false; 256], 0u8);
        while byte < 0x80 {
            plain[byte as usize] = byte.is_ascii_graphic() && byte != b'/';
            byte += 1;
        }
        plain
    };
    let mut known = bytes.get(..=MOST).unwrap_or(bytes).iter();
    let end = known.position(|byte| !PLAIN[usize::from(*byte)]);
    end.filter(|end| bytes.get(*end) == Some(&0)).and_then(|end| bytes.get(..end))
}
