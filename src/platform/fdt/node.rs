//! A node of a checked tree, and the ways from it.

use core::fmt;

use super::{Fdt, MAX_DEPTH, Odd, Property, Token};

/// A node. Cheap to copy: it knows its place in the blob, and looks there when asked. Prints as
/// its full path.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    pub(super) fdt: Fdt<'a>,
    /// Offset of its `FDT_BEGIN_NODE`.
    offset: u32,
    /// Offset of the first token inside it.
    body: u32,
}

impl<'a> Node<'a> {
    /// The node whose `FDT_BEGIN_NODE` lies at `offset`.
    pub(super) fn at(fdt: Fdt<'a>, offset: u32) -> Self {
        let mut body = offset;
        let _ = fdt.token(&mut body);
        Self { fdt, offset, body }
    }

    /// Its name with the unit address, as `cpu@0`; the root's is empty.
    pub fn name(&self) -> &'a str {
        self.fdt.name(self.offset).unwrap_or("")
    }

    /// The tree that it is a node of.
    pub fn tree(&self) -> Fdt<'a> {
        self.fdt
    }

    /// Its properties, in order.
    pub fn properties(&self) -> Properties<'a> {
        Properties { fdt: self.fdt, offset: self.body }
    }

    /// The property called `name`.
    pub fn property(&self, name: &str) -> Option<Property<'a>> {
        self.properties().find(|property| property.is(name))
    }

    /// Its children, in order.
    pub fn children(&self) -> Children<'a> {
        Children { fdt: self.fdt, offset: self.body, depth: 0 }
    }

    /// The child called `name`; without a unit address, the first whose name is that before it.
    pub fn child(&self, name: &str) -> Option<Node<'a>> {
        self.children().find(|child| {
            let base = child.name().split_once('@').map(|(base, _)| base);
            child.name() == name || base == Some(name)
        })
    }

    /// The node at a path relative to this one; empty components are skipped.
    pub(super) fn descend(&self, path: &str) -> Option<Node<'a>> {
        path.split('/')
            .filter(|name| !name.is_empty())
            .try_fold(*self, |node, name| node.child(name))
    }

    /// Its parent, `None` for the root.
    pub fn parent(&self) -> Option<Node<'a>> {
        let (line, depth) = self.line();
        let parent = line.get(depth.checked_sub(1)?)?;
        Some(Node::at(self.fdt, *parent))
    }

    /// The offsets of its ancestors from the root down, and how many they are.
    fn line(&self) -> ([u32; MAX_DEPTH], usize) {
        let mut line = [0; MAX_DEPTH];
        let mut depth = 0usize;
        let mut offset = self.fdt.root;
        while offset < self.offset {
            let start = offset;
            match self.fdt.token(&mut offset) {
                Some(Token::Begin) => {
                    if let Some(place) = line.get_mut(depth) {
                        *place = start;
                    }
                    depth = depth.saturating_add(1);
                }
                Some(Token::End) => depth = depth.saturating_sub(1),
                Some(Token::Property(_)) => {}
                None => break,
            }
        }
        (line, depth)
    }

    /// Whether one of its `compatible` strings is `name`.
    pub fn is_compatible(&self, name: &str) -> bool {
        let list = self.property("compatible").and_then(|property| property.strings());
        list.is_some_and(|mut list| list.any(|text| text == name))
    }

    /// Whether its own `status` says that it may be used.
    ///
    /// Source: Devicetree Specification v0.4, section 2.3.4.
    pub fn is_okay(&self) -> bool {
        match self.property("status") {
            None => true,
            Some(status) => matches!(status.string(), Some("okay" | "ok")),
        }
    }

    /// Whether it and all its ancestors may be used: what lies behind a disabled bus is not there.
    pub fn is_enabled(&self) -> bool {
        core::iter::successors(Some(*self), Node::parent).all(|node| node.is_okay())
    }

    /// Its `phandle`.
    pub fn phandle(&self) -> Option<u32> {
        let is_phandle = |one: &Property<'_>| one.is("phandle") || one.is("linux,phandle");
        let handle = self.properties().find(is_phandle)?.u32();
        handle.filter(|handle| !matches!(*handle, 0 | u32::MAX))
    }

    /// The error that says what is wrong with its property `name`.
    pub fn odd(&self, name: &'a str, wanted: &'static str) -> Odd<'a> {
        let found = self.property(name).map(|property| property.value());
        Odd { node: *self, property: name, found, wanted }
    }

    /// The property `name` as `read` understands it, `None` where it is missing; what cannot be
    /// read is an error.
    pub fn optional<T>(
        &self,
        name: &'a str,
        wanted: &'static str,
        read: impl FnOnce(&Property<'a>) -> Option<T>,
    ) -> Result<Option<T>, Odd<'a>> {
        match self.property(name) {
            None => Ok(None),
            Some(property) => read(&property).map(Some).ok_or_else(|| self.odd(name, wanted)),
        }
    }

    /// The property `name` as `read` understands it; it must be there.
    pub fn required<T>(
        &self,
        name: &'a str,
        wanted: &'static str,
        read: impl FnOnce(&Property<'a>) -> Option<T>,
    ) -> Result<T, Odd<'a>> {
        let value = self.property(name).and_then(|property| read(&property));
        value.ok_or_else(|| self.odd(name, wanted))
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.offset == other.offset && self.fdt.blob().as_ptr() == other.fdt.blob().as_ptr()
    }
}

impl Eq for Node<'_> {}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node prints as its full path.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (line, depth) = self.line();
        if depth == 0 {
            return write!(f, "/");
        }
        for offset in line.iter().take(depth).skip(1) {
            write!(f, "/{}", Node::at(self.fdt, *offset).name())?;
        }
        write!(f, "/{}", self.name())
    }
}

/// The properties of one node.
#[derive(Clone)]
pub struct Properties<'a> {
    fdt: Fdt<'a>,
    offset: u32,
}

impl<'a> Iterator for Properties<'a> {
    type Item = Property<'a>;

    fn next(&mut self) -> Option<Property<'a>> {
        // All of a node's properties come before its first child or its end.
        let mut offset = self.offset;
        let Some(Token::Property(property)) = self.fdt.token(&mut offset) else {
            return None;
        };
        self.offset = offset;
        Some(property)
    }
}

/// The children of one node.
#[derive(Clone)]
pub struct Children<'a> {
    fdt: Fdt<'a>,
    offset: u32,
    depth: usize,
}

impl<'a> Iterator for Children<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            let offset = self.offset;
            match self.fdt.token(&mut self.offset)? {
                Token::Begin => {
                    self.depth = self.depth.saturating_add(1);
                    if self.depth == 1 {
                        return Some(Node { fdt: self.fdt, offset, body: self.offset });
                    }
                }
                Token::Property(_) => {}
                Token::End => match self.depth.checked_sub(1) {
                    Some(depth) => self.depth = depth,
                    None => {
                        // The parent's own end: stay on it.
                        self.offset = offset;
                        return None;
                    }
                },
            }
        }
    }
}

/// All nodes of a tree.
#[derive(Clone)]
pub struct Nodes<'a> {
    fdt: Fdt<'a>,
    offset: u32,
}

impl<'a> Nodes<'a> {
    pub(super) fn new(fdt: Fdt<'a>, offset: u32) -> Self {
        Self { fdt, offset }
    }
}

impl<'a> Iterator for Nodes<'a> {
    type Item = Node<'a>;

    fn next(&mut self) -> Option<Node<'a>> {
        loop {
            let offset = self.offset;
            if let Token::Begin = self.fdt.token(&mut self.offset)? {
                return Some(Node { fdt: self.fdt, offset, body: self.offset });
            }
        }
    }
}
