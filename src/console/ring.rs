//! A bounded queue of bytes, filled by whole transactions.

/// A queue of at most `N` bytes; `N` is a power of two.
///
/// [`put`](Self::put) as often as it takes, then [`commit`](Self::commit): either all of it is in
/// the queue, or, if there was too little room for some of it, nothing.
pub struct Ring<const N: usize> {
    bytes: [u8; N],
    /// Count of bytes that were taken out, ever (modulo 2⁶⁴, as all three are).
    head: usize,
    /// Count of bytes that were committed.
    committed: usize,
    /// Count of bytes that were put.
    tail: usize,
    /// Something of this transaction didn't fit.
    torn: bool,
}

impl<const N: usize> Ring<N> {
    const MASK: usize = {
        assert!(N.is_power_of_two());
        N - 1
    };

    /// An empty one.
    pub const EMPTY: Self = Self { bytes: [0; N], head: 0, committed: 0, tail: 0, torn: false };

    /// How many more bytes there is room for.
    pub const fn room(&self) -> usize {
        N.wrapping_sub(self.tail.wrapping_sub(self.head))
    }

    /// Adds `bytes` to the transaction.
    pub fn put(&mut self, bytes: &[u8]) {
        if self.torn || bytes.len() > self.room() {
            self.torn = true;
            return;
        }
        for byte in bytes {
            self.bytes[self.tail & Self::MASK] = *byte;
            self.tail = self.tail.wrapping_add(1);
        }
    }

    /// Ends the transaction; false if it didn't fit and nothing of it was done.
    pub fn commit(&mut self) -> bool {
        if core::mem::replace(&mut self.torn, false) {
            self.tail = self.committed;
            return false;
        }
        self.committed = self.tail;
        true
    }

    /// Forgets what was put and not committed.
    pub fn roll_back(&mut self) {
        self.torn = true;
        self.commit();
    }

    /// Forgets everything.
    pub fn clear(&mut self) {
        self.roll_back();
        self.head = self.tail;
    }

    /// The first byte, which stays.
    pub fn peek(&self) -> Option<u8> {
        (!self.is_empty()).then(|| self.bytes[self.head & Self::MASK])
    }

    /// Takes the first byte out.
    pub fn pop(&mut self) -> Option<u8> {
        let byte = self.peek()?;
        self.head = self.head.wrapping_add(1);
        Some(byte)
    }

    /// Whether there is nothing to take.
    pub fn is_empty(&self) -> bool {
        self.head == self.committed
    }
}
