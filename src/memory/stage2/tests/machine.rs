//! A machine for the tests: table memory, and a TLB that caches whenever it hurts most.
//!
//! The TLB watches some IPAs. Before every store to a valid descriptor, and at every barrier, it
//! walks all of them and keeps what it finds, walk-cache entries included; it forgets only what
//! it is told to. It complains where the architecture allows a machine to misbehave:
//!
//! - two entries for one IPA that differ (a missing break-before-make);
//! - a table freed while it is still cached;
//! - TLB maintenance, or a link to a table, before the stores were made visible.

use std::collections::{BTreeMap, BTreeSet};
use std::vec::Vec;

use super::*;

/// A leaf as the book's walk finds it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Leaf {
    pub pa: u64,
    pub level: u64,
    /// The descriptor without its address.
    pub bits: u64,
}

impl Leaf {
    /// By the bits of the manual: MemAttr, S2AP, SH, AF and XN.
    pub fn attributes(&self) -> Attributes {
        let field = |low: u32, bits: u32| self.bits >> low & ((1 << bits) - 1);
        assert_eq!((field(10, 1), field(53, 2)), (1, 0), "AF, XN");
        match (field(2, 4), field(8, 2), field(6, 2)) {
            (0b1111, 3, 3) => Attributes::RAM,
            (0b1111, 3, 1) => Attributes::ROM,
            other => panic!("MemAttr, SH, S2AP: {other:?}"),
        }
    }
}

/// What a TLB holds: a leaf, or a pointer to the table that the descriptor led to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Cached {
    Leaf(Leaf),
    Table(u64),
}

/// An entry with the range of IPAs that its descriptor translates.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct TlbEntry {
    base: u64,
    span: u64,
    cached: Cached,
}

#[derive(Default)]
pub struct Simulation {
    memory: BTreeMap<u64, u64>,
    pages: BTreeSet<u64>,
    budget: Option<usize>,
    unseen: BTreeSet<u64>,
    tlb: BTreeSet<TlbEntry>,
    watched: Vec<u64>,
    root: u64,
    root_pages: u64,
    invalidations: usize,
    /// Nothing became valid since the TLB last cached all that it could.
    full: bool,
}

/// The walk of the manual, 4 KiB granule from level 1, written down once more and apart from the
/// code under test.
pub fn book_walk(machine: &Simulation, root: Pa, ipa: u64) -> Option<Leaf> {
    let mut table = root.get();
    for level in 1..=3 {
        let (cached, _) = machine.step(table, level, ipa)?;
        match cached {
            Cached::Table(next) => table = next,
            Cached::Leaf(leaf) => {
                let offset = ipa % (1 << (39 - 9 * level));
                return Some(Leaf { pa: leaf.pa + offset, ..leaf });
            }
        }
    }
    None
}

impl Simulation {
    /// With nothing but an empty root table.
    pub fn new(ipa_bits: u8) -> Self {
        let root = 0x7000_0000;
        let pages = (0..root_pages(ipa_bits)).map(|page| root + page * 4096).collect();
        Self { root, root_pages: root_pages(ipa_bits), pages, ..Self::default() }
    }

    pub fn tables(&self) -> usize {
        self.pages.len()
    }

    pub fn invalidations(&self) -> usize {
        self.invalidations
    }

    /// How many more pages may be allocated.
    pub fn set_budget(&mut self, pages: usize) {
        self.budget = Some(pages);
    }

    /// From now on the TLB tries to cache these IPAs and the pages before them.
    pub fn watch(&mut self, points: &[u64]) {
        self.watched = points.iter().flat_map(|&p| [p.wrapping_sub(4096), p]).collect();
        self.watched.retain(|&ipa| ipa < 1 << 40);
    }

    /// All is visible, no TLB entry says other than the tables, and the pages in use are the
    /// tables that can be reached, none of them empty.
    pub fn assert_quiet(&self, root: Pa) {
        assert!(self.unseen.is_empty(), "not made visible: {:x?}", self.unseen);
        let mut reached = BTreeSet::from([root.get(), root.get() + 4096]);
        let mut queue = Vec::from([(root.get(), 1, 1024)]);
        while let Some((table, level, entries)) = queue.pop() {
            let mut valid = 0;
            for at in (table..table + entries * 8).step_by(8) {
                let descriptor = self.memory.get(&at).copied().unwrap_or(0);
                valid += descriptor & 1;
                if level < 3 && descriptor & 3 == 3 {
                    let below = descriptor & 0xffff_ffff_f000;
                    assert!(reached.insert(below), "two ways to {below:#x}");
                    queue.push((below, level + 1, 512));
                }
            }
            assert!(level == 1 || valid > 0, "empty table at {table:#x}");
        }
        assert_eq!(reached, self.pages);
        for entry in &self.tlb {
            match entry.cached {
                Cached::Leaf(leaf) => {
                    assert_eq!(book_walk(self, root, entry.base), Some(leaf), "stale: {entry:x?}");
                }
                Cached::Table(table) => assert!(reached.contains(&table), "stale: {entry:x?}"),
            }
        }
    }

    /// One step of a walk: what the descriptor says, and the descriptor's address.
    fn step(&self, table: u64, level: u64, ipa: u64) -> Option<(Cached, u64)> {
        let bits = 39 - 9 * level;
        let index = if level == 1 { ipa >> bits } else { ipa >> bits & 0x1ff };
        let at = table + index * 8;
        let descriptor = self.memory.get(&at).copied().unwrap_or(0);
        let address = descriptor & 0xffff_ffff_f000;
        match (descriptor & 3, level) {
            (0b11, 1 | 2) => Some((Cached::Table(address), at)),
            (0b01, 1 | 2) | (0b11, 3) => {
                assert_eq!(address % (1 << bits), 0, "misaligned output: {descriptor:#x}");
                let bits = descriptor & !address;
                Some((Cached::Leaf(Leaf { pa: address, level, bits }), at))
            }
            _ => None,
        }
    }

    /// Walks all watched IPAs and caches what is found: from the root, and from every table
    /// that is still in the walk cache.
    fn speculate(&mut self) {
        if core::mem::replace(&mut self.full, true) {
            return;
        }
        for i in 0..self.watched.len() {
            let ipa = self.watched[i];
            let mut starts = Vec::from([(self.root, 1)]);
            starts.extend(self.tlb.iter().filter_map(|entry| match entry.cached {
                Cached::Table(table) if ipa.wrapping_sub(entry.base) < entry.span => {
                    Some((table, if entry.span == 1 << 30 { 2 } else { 3 }))
                }
                _ => None,
            }));
            for (mut table, first) in starts {
                for level in first..=3 {
                    let Some((cached, _)) = self.step(table, level, ipa) else {
                        break;
                    };
                    let span = 1 << (39 - 9 * level);
                    self.cache(TlbEntry { base: ipa & !(span - 1), span, cached });
                    let Cached::Table(next) = cached else { break };
                    table = next;
                }
            }
        }
    }

    fn cache(&mut self, new: TlbEntry) {
        for old in &self.tlb {
            let apart = old.base >= new.base + new.span || new.base >= old.base + old.span;
            match (old.cached, new.cached) {
                _ if apart => {}
                (Cached::Leaf(a), Cached::Leaf(b)) => {
                    assert_eq!(a, b, "TLB conflict: {old:x?} and {new:x?}");
                }
                (Cached::Table(a), Cached::Table(b)) if old.span == new.span => {
                    assert_eq!(a, b, "two tables for {:#x}", new.base);
                }
                _ => {}
            }
        }
        self.tlb.insert(new);
    }
}

impl TableMemory for Simulation {
    fn root(&self) -> Pa {
        Pa::new(self.root)
    }

    fn allocate(&mut self) -> Option<Pa> {
        if let Some(budget) = &mut self.budget {
            *budget = budget.checked_sub(1)?;
        }
        // A free page that was used before comes first: that hurts more.
        let page = (0..).map(|i| self.root + i * 4096).find(|page| !self.pages.contains(page))?;
        self.pages.insert(page);
        self.unseen.insert(page);
        for at in (page..page + 4096).step_by(8) {
            self.memory.remove(&at);
        }
        Some(Pa::new(page))
    }

    fn free(&mut self, table: Pa) {
        let page = table.get();
        assert!(page >= self.root + self.root_pages * 4096, "free of the root");
        assert!(self.pages.remove(&page), "free of {page:#x}, which is not allocated");
        let cached = |entry: &TlbEntry| entry.cached == Cached::Table(page);
        assert!(!self.tlb.iter().any(cached), "{page:#x} freed but still in the walk cache");
        let rest = (page + 8..page + 4096).step_by(8);
        let zero = |at: u64| self.memory.get(&at).is_none_or(|descriptor| *descriptor == 0);
        assert!(rest.into_iter().all(zero), "{page:#x} freed with more than its first entry");
        self.unseen.remove(&page);
    }

    fn read(&self, at: Pa) -> u64 {
        assert!(self.pages.contains(&(at.get() & !0xfff)), "read of {at}");
        self.memory.get(&at.get()).copied().unwrap_or(0)
    }

    fn write(&mut self, at: Pa, descriptor: u64) {
        let page = at.get() & !0xfff;
        assert!(self.pages.contains(&page), "write of {at}");
        let old = self.memory.get(&at.get()).copied().unwrap_or(0);
        if old & 1 != 0 {
            self.speculate();
            assert!(descriptor & 1 == 0, "{old:#x} -> {descriptor:#x} unbroken");
        }
        if descriptor & 3 == 3 && self.pages.contains(&(descriptor & 0xffff_ffff_f000)) {
            let below = descriptor & 0xffff_ffff_f000;
            assert!(!self.unseen.contains(&below), "link to {below:#x} before it is visible");
        }
        self.full &= descriptor & 1 == 0;
        self.memory.insert(at.get(), descriptor);
        self.unseen.insert(page);
    }

    fn make_visible(&mut self) {
        self.unseen.clear();
        self.speculate();
    }

    fn invalidate(&mut self, ipa: Ipa, len: u64) {
        assert!(self.unseen.is_empty(), "TLBI before DSB: {:x?}", self.unseen);
        self.invalidations += 1;
        let (start, end) = (ipa.get(), ipa.get() + len);
        self.tlb.retain(|entry| entry.base >= end || start >= entry.base + entry.span);
        self.full = false;
        self.speculate();
    }
}
