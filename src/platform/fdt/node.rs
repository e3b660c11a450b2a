//! A node of a checked tree, and the ways from it.

use core::fmt;

use arrayvec::ArrayVec;

use super::{Fdt, Found, MAX_DEPTH, Odd, Property, Token, name};

/// A node. Cheap to copy: it knows its place in the blob, and looks there when asked. Prints as
/// its full path.
#[derive(Clone, Copy)]
pub struct Node<'a> {
    pub(super) fdt: Fdt<'a>,
    /// Where its first token is looked for.
    pub(super) offset: usize,
}

impl<'a> Node<'a> {
    /// Its name with the unit address, as `cpu@0`; the root's is empty.
    pub fn name(&self) -> &'a str {
        core::str::from_utf8(self.name_bytes()).unwrap_or("")
    }

    fn name_bytes(&self) -> &'a [u8] {
        match self.fdt.token(&mut { self.offset }) {
            Some(Token::Begin(name)) => name,
            _ => &[],
        }
    }

    /// Its properties, in order: all of them come before its first child or its end.
    pub fn properties(&self) -> impl Iterator<Item = Property<'a>> + Clone + use<'a> {
        let names = self.fdt.names();
        self.values()
            .map(move |(at, bytes)| Property { name: name(names, at).unwrap_or(""), bytes })
    }

    /// The property called `name`.
    pub fn property(&self, name: &str) -> Option<Property<'a>> {
        let names = self.fdt.names();
        let is_it = |at: usize| names.get(at..)?.strip_prefix(name.as_bytes())?.first().copied();
        let (at, bytes) = self.values().find(|(at, _)| is_it(*at) == Some(0))?;
        Some(Property { name: super::name(names, at)?, bytes })
    }

    /// Where the names of its properties are, and their values.
    fn values(&self) -> impl Iterator<Item = (usize, &'a [u8])> + Clone + use<'a> {
        self.fdt.tokens(self.offset).skip(1).map_while(|(_, token)| match token {
            Token::Property(name, bytes) => Some((name, bytes)),
            _ => None,
        })
    }

    /// Its children, in order.
    pub fn children(&self) -> impl Iterator<Item = Node<'a>> + Clone + use<'a> {
        let fdt = self.fdt;
        let mut depth = 0usize;
        let nodes = fdt.tokens(self.offset).skip(1).map_while(move |(offset, token)| {
            match token {
                Token::Begin(_) => depth = depth.saturating_add(1),
                // Its own end is one too many.
                Token::End => depth = depth.checked_sub(1)?,
                _ => {}
            }
            Some((matches!(token, Token::Begin(_)) && depth == 1).then_some(Node { fdt, offset }))
        });
        nodes.flatten()
    }

    /// The child called `name`; without a unit address, the first whose name is that before it.
    pub fn child(&self, name: &str) -> Option<Node<'a>> {
        self.children().find(|child| {
            let rest = child.name_bytes().strip_prefix(name.as_bytes());
            rest.is_some_and(|rest| rest.first().is_none_or(|first| *first == b'@'))
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
        self.ancestors().pop()
    }

    /// The nodes that it lies in, from the root down.
    pub(super) fn ancestors(&self) -> ArrayVec<Node<'a>, MAX_DEPTH> {
        let fdt = self.fdt;
        let mut line = ArrayVec::new();
        let before = fdt.tokens(fdt.root().offset).take_while(|(offset, _)| *offset < self.offset);
        for (offset, token) in before {
            match token {
                // There is room: the check saw no deeper node.
                Token::Begin(_) => line.try_push(Node { fdt, offset }).unwrap_or(()),
                Token::End => drop(line.pop()),
                _ => {}
            }
        }
        line
    }

    /// Whether one of its `compatible` strings is `name`.
    pub fn is_compatible(&self, name: &str) -> bool {
        self.is_one_of(&[name])
    }

    /// Whether one of its `compatible` strings is one of `names`.
    pub fn is_one_of(&self, names: &[&str]) -> bool {
        let list = self.property("compatible").and_then(|property| property.strings());
        list.is_some_and(|mut list| list.any(|text| names.contains(&text)))
    }

    /// Whether its own `status` says that it may be used.
    ///
    /// Source: Devicetree Specification v0.4, section 2.3.4.
    pub fn is_okay(&self) -> bool {
        let status = self.property("status");
        status.is_none_or(|status| matches!(status.string(), Some("okay" | "ok")))
    }

    /// Whether it and all its ancestors may be used: what lies behind a disabled bus is not there.
    pub fn is_enabled(&self) -> bool {
        self.is_okay() && self.ancestors().iter().all(Node::is_okay)
    }

    /// Its `phandle`.
    pub fn phandle(&self) -> Option<u32> {
        let named = |one: &Property<'_>| matches!(one.name, "phandle" | "linux,phandle");
        let handle = self.properties().find(named)?.u32();
        handle.filter(|handle| !matches!(*handle, 0 | u32::MAX))
    }

    /// The error that says what is wrong with its property `name`.
    pub fn odd(&self, name: &'a str, wanted: &'static str) -> Odd<'a> {
        let found = self.property(name).map_or(Found::NoProperty, Found::Property);
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
        let read = self.property(name).map(|property| read(&property));
        read.map(|value| value.ok_or_else(|| self.odd(name, wanted))).transpose()
    }

    /// The property `name` as `read` understands it; it must be there.
    pub fn required<T>(
        &self,
        name: &'a str,
        wanted: &'static str,
        read: impl FnOnce(&Property<'a>) -> Option<T>,
    ) -> Result<T, Odd<'a>> {
        self.optional(name, wanted, read)?.ok_or_else(|| self.odd(name, wanted))
    }
}

impl PartialEq for Node<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.offset == other.offset && self.fdt.blob().as_ptr() == other.fdt.blob().as_ptr()
    }
}

impl fmt::Debug for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A node prints as its full path.
impl fmt::Display for Node<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ancestors = self.ancestors();
        // The root's name, if it has one, is no part of a path.
        let name = if ancestors.is_empty() { "" } else { self.name() };
        for node in ancestors.iter().skip(1) {
            write!(f, "/{}", node.name())?;
        }
        write!(f, "/{name}")
    }
}
