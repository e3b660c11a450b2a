//! A tournament (winner) tree: the smallest of a set of keys that changes one at a time.
//!
//! Each slot owns a leaf; each inner node holds the better of its two children, so the winner of
//! all is at the top and a change replays only the matches on the way from its leaf: log2(n)
//! comparisons, no allocation. Unlike a binary heap an entry is found by its slot, so removing
//! one from the middle costs the same, and nothing moves.

use alloc::vec;
use alloc::vec::Vec;

/// The slot number of nobody.
pub(super) const NOBODY: u16 = u16::MAX;

/// A leaf's or a winner's entry: the key above, the slot below, so that one comparison decides.
type Entry = u128;

const ABSENT: Entry = Entry::MAX;

const fn entry(slot: u16, key: u64) -> Entry {
    (key as u128) << 64 | slot as u128
}

/// A winner tree over slots `0..capacity`; the smallest key wins.
///
/// `pairs[i]` holds the two children of node `i`, counted from 1 at the root as in a heap; the
/// leaf of slot `s` is node `capacity + s`. Any capacity will do: each node's way up ends at node 1,
/// and the first slots have the shortest. Kept in pairs, the two contenders of a match are found by
/// one bounds check.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tournament {
    winner: Entry,
    pairs: Vec<[Entry; 2]>,
}

impl Tournament {
    /// An empty tree for `capacity` slots, at least one.
    pub fn new(capacity: usize) -> Self {
        Self { winner: ABSENT, pairs: vec![[ABSENT; 2]; capacity] }
    }

    /// The number of slots.
    fn capacity(&self) -> usize {
        self.pairs.len()
    }

    /// Makes room for `capacity` slots; never shrinks.
    pub fn grow(&mut self, capacity: usize) {
        if capacity <= self.capacity() {
            return;
        }
        let mut grown = Self::new(capacity);
        // Children from node `self.capacity()` on are the leaves. A tree for one slot has no match:
        // its winner is its leaf.
        let leaves = self.pairs.iter().flatten().skip(self.capacity());
        for leaf in leaves.chain([&self.winner]).filter(|leaf| **leaf != ABSENT) {
            grown.replay(*leaf as u16, *leaf);
        }
        *self = grown;
    }

    /// Enters `slot` with `key`, or gives it a new key.
    pub fn set(&mut self, slot: u16, key: u64) {
        self.replay(slot, entry(slot, key));
    }

    /// Takes `slot` out; nothing happens when it is not in.
    pub fn clear(&mut self, slot: u16) {
        self.replay(slot, ABSENT);
    }

    /// The slot with the smallest key, and the key.
    #[inline]
    pub fn first(&self) -> Option<(u16, u64)> {
        let winner = self.winner;
        (winner as u16 != NOBODY).then_some((winner as u16, (winner >> 64) as u64))
    }

    /// Puts `entry` on the leaf of `slot` and replays the matches above it.
    #[inline]
    fn replay(&mut self, slot: u16, entry: Entry) {
        let mut node = self.capacity() + slot as usize;
        let mut winner = entry;
        while node > 1 {
            let Some(pair) = self.pairs.get_mut(node >> 1) else { return };
            pair[node & 1] = winner;
            winner = winner.min(pair[!node & 1]);
            node >>= 1;
        }
        self.winner = winner;
    }
}
