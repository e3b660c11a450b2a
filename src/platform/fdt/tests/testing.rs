//! Trees for tests: built by `vm-fdt`, changed in place, spoiled on purpose.

use std::ops::Deref;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;
use vm_fdt::FdtWriter;

/// A tree under construction.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tree {
    name: String,
    properties: Vec<(String, Vec<u8>)>,
    children: Vec<Tree>,
}

impl Tree {
    fn descend(&mut self, path: &str) -> &mut Tree {
        let names = path.split('/').filter(|name| !name.is_empty());
        names.fold(self, |node, name| {
            let place = node.children.iter().position(|child| child.name == name);
            let place = place.unwrap_or_else(|| {
                node.children.push(Tree { name: name.to_string(), ..Tree::default() });
                node.children.len() - 1
            });
            &mut node.children[place]
        })
    }

    /// Makes the node at `path`.
    pub(crate) fn node(mut self, path: &str) -> Self {
        self.descend(path);
        self
    }

    /// Sets a property to bytes, replacing an older value.
    pub(crate) fn bytes(mut self, path: &str, name: &str, value: &[u8]) -> Self {
        let node = self.descend(path);
        node.properties.retain(|(other, _)| other != name);
        node.properties.push((name.to_string(), value.to_vec()));
        self
    }

    /// Sets a property to cells.
    pub(crate) fn cells(self, path: &str, name: &str, value: &[u32]) -> Self {
        let bytes: Vec<u8> = value.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.bytes(path, name, &bytes)
    }

    /// Sets a property to a string; `\0` within separates a list.
    pub(crate) fn text(self, path: &str, name: &str, value: &str) -> Self {
        self.bytes(path, name, std::format!("{value}\0").as_bytes())
    }

    /// Removes a property.
    pub(crate) fn without(mut self, path: &str, name: &str) -> Self {
        self.descend(path).properties.retain(|(other, _)| other != name);
        self
    }

    /// Removes a node.
    pub(crate) fn without_node(mut self, parent: &str, name: &str) -> Self {
        self.descend(parent).children.retain(|child| child.name != name);
        self
    }

    /// The blob.
    pub(crate) fn blob(&self) -> Blob {
        self.blob_with_reservations(&[])
    }

    /// The blob, with `/memreserve/` entries.
    pub(crate) fn blob_with_reservations(&self, entries: &[(u64, u64)]) -> Blob {
        let entries: Vec<_> = entries
            .iter()
            .map(|(address, size)| vm_fdt::FdtReserveEntry::new(*address, *size).unwrap())
            .collect();
        let mut writer = FdtWriter::new_with_mem_reserv(&entries).unwrap();
        self.write(&mut writer);
        Blob::new(&writer.finish().unwrap())
    }

    fn write(&self, writer: &mut FdtWriter) {
        let node = writer.begin_node(&self.name).unwrap();
        for (name, value) in &self.properties {
            writer.property(name, value).unwrap();
        }
        for child in &self.children {
            child.write(writer);
        }
        writer.end_node(node).unwrap();
    }
}

/// Bytes at an address aligned to eight.
#[derive(Clone, Debug)]
pub(crate) struct Blob {
    space: Vec<u64>,
    size: usize,
}

impl Blob {
    pub(crate) fn new(bytes: &[u8]) -> Self {
        let space = bytes
            .chunks(8)
            .map(|chunk| {
                let mut eight = [0; 8];
                eight[..chunk.len()].copy_from_slice(chunk);
                u64::from_ne_bytes(eight)
            })
            .collect();
        Self { space, size: bytes.len() }
    }
}

impl Deref for Blob {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: the vector holds at least `size` initialised bytes, borrowed with it.
        unsafe { std::slice::from_raw_parts(self.space.as_ptr().cast(), self.size) }
    }
}

/// `good` with some of its words replaced and perhaps its end cut off.
pub(crate) fn spoiled(good: Vec<u8>) -> impl Strategy<Value = Blob> {
    let words = good.len() / 4;
    let value = prop_oneof![
        0u32..16,
        Just(u32::MAX),
        Just(0x8000_0000),
        (0u32..8).prop_map(|byte| 0x6161_6161 >> (byte * 4)),
        any::<u32>(),
        0..good.len() as u32,
    ];
    let changes = proptest::collection::vec((0..words, value), 0..4);
    let flips = proptest::collection::vec((0..good.len(), any::<u8>()), 0..3);
    let size = prop_oneof![4 => Just(good.len()), 1 => 0..=good.len()];
    (changes, flips, size).prop_map(move |(changes, flips, size)| {
        let mut bytes = good.clone();
        for (place, value) in changes {
            bytes[place * 4..][..4].copy_from_slice(&value.to_be_bytes());
        }
        for (place, value) in flips {
            bytes[place] = value;
        }
        bytes.truncate(size);
        Blob::new(&bytes)
    })
}

/// How many cases a property test runs: few under Miri, which is slow.
pub(crate) fn cases(count: u32) -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 1 } else { count },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}
