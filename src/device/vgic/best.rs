//! Which interrupts come first: keys to sort by, and the smallest few of many.

use super::bank::Bank;
use super::lr;

/// Bit of a key: the guest's CPU interface has the group disabled, so that it can't take what is
/// pending; or what is active was never acknowledged, so that it has nothing to end.
pub(super) const LAST: u32 = 1 << 31;
/// Bit of a key: Group 1.
const GROUP1: u32 = 1 << 30;

impl Bank {
    /// What interrupt `index` is sorted by: its priority, then its identifier.
    pub fn key(&self, first: u32, index: usize, active: bool) -> u32 {
        let index = index & 31;
        let table = if active { &self.running } else { &self.priority };
        let group = self.group >> index & 1;
        let last = if active && self.unacknowledged >> index & 1 != 0 { LAST } else { 0 };
        last | (group * GROUP1) | (u32::from(table[index]) << 16) | (first + index as u32)
    }
}

/// Whether the guest's CPU interface has the group of this key disabled.
pub(super) fn masked(vmcr: u64, key: u32) -> bool {
    vmcr & (lr::VMCR_VENG0 << u32::from(key & GROUP1 != 0)) == 0
}

/// The smallest few of many keys, in order.
pub(super) struct Best {
    keys: [u32; 16],
    len: usize,
    room: usize,
    /// How many were offered.
    pub seen: usize,
}

impl Best {
    /// To keep `room` keys, at most 16.
    pub fn new(room: usize) -> Self {
        Self { keys: [0; 16], len: 0, room: room.min(16), seen: 0 }
    }

    /// Offers a key.
    pub fn insert(&mut self, key: u32) {
        self.seen += 1;
        let sorted = self.taken();
        // Priority and identifier decide; the group is only carried along.
        let place = sorted.partition_point(|&k| k & !GROUP1 <= key & !GROUP1);
        if place >= self.room {
            return;
        }
        self.len = (self.len + 1).min(self.room);
        let mut moving = key;
        for slot in self.keys.iter_mut().take(self.len).skip(place) {
            core::mem::swap(slot, &mut moving);
        }
    }

    /// The keys kept, in order.
    pub fn taken(&self) -> &[u32] {
        self.keys.get(..self.len).unwrap_or(&self.keys)
    }
}
