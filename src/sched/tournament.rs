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

/// A leaf's or a winner's entry: who, and by which key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Entry {
    key: u64,
    slot: u16,
}

const ABSENT: Entry = Entry { key: u64::MAX, slot: NOBODY };

/// A winner tree over slots `0..capacity`; the smallest key wins.
///
/// `pairs[i]` holds the two children of node `i`, counted from 1 at the root as in a heap; the
/// leaf of slot `s` is node `capacity + s`. The root itself is `pairs[0][1]`. Kept in pairs, the
/// two contenders of a match are found by one bounds check.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tournament {
    pairs: Vec<[Entry; 2]>,
}

impl Tournament {
    /// An empty tree for `capacity` slots, a power of two.
    pub fn new(capacity: usize) -> Self {
        Self { pairs: vec![[ABSENT; 2]; capacity] }
    }

    /// The number of slots.
    fn capacity(&self) -> usize {
        self.pairs.len()
    }

    /// Makes room for `capacity` slots, a power of two; never shrinks.
    pub fn grow(&mut self, capacity: usize) {
        if capacity <= self.capacity() {
            return;
        }
        let mut grown = Self::new(capacity);
        let old = self.capacity();
        for node in old..old.saturating_mul(2) {
            let leaf = self.pairs.get(node >> 1).map_or(ABSENT, |pair| pair[node & 1]);
            if leaf.slot != NOBODY {
                grown.set(leaf.slot, leaf.key);
            }
        }
        *self = grown;
    }

    /// Enters `slot` with `key`, or gives it a new key. The largest key is not told from the
    /// second largest: it marks who is absent.
    pub fn set(&mut self, slot: u16, key: u64) {
        self.replay(slot, Entry { key: key.min(u64::MAX - 1), slot });
    }

    /// Takes `slot` out; nothing happens when it is not in.
    pub fn clear(&mut self, slot: u16) {
        self.replay(slot, ABSENT);
    }

    /// The slot with the smallest key, and the key.
    #[inline]
    pub fn first(&self) -> Option<(u16, u64)> {
        match self.pairs.first() {
            Some(&[_, Entry { key, slot }]) if key != u64::MAX => Some((slot, key)),
            _ => None,
        }
    }

    /// Puts `entry` on the leaf of `slot` and replays the matches above it.
    #[inline]
    fn replay(&mut self, slot: u16, entry: Entry) {
        let mut node = self.capacity() + slot as usize;
        let mut winner = entry;
        while let Some(pair) = self.pairs.get_mut(node >> 1) {
            pair[node & 1] = winner;
            if node <= 1 {
                return;
            }
            let [a, b] = *pair;
            winner = if b.key < a.key { b } else { a };
            node >>= 1;
        }
    }
}
