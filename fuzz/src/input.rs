//! Numbers out of bytes.

/// Bytes that are taken from the front; behind the last there are zeros. So a change of a byte
/// changes what is made of it, and nothing else.
pub struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    /// All of these.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// Whether none is left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What is left.
    pub fn rest(self) -> &'a [u8] {
        self.0
    }

    /// So many of them, or what there is.
    pub fn bytes(&mut self, count: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(count.min(self.0.len()));
        self.0 = rest;
        taken
    }

    fn number(&mut self, bytes: usize) -> u64 {
        self.bytes(bytes).iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// A byte.
    pub fn u8(&mut self) -> u8 {
        self.number(1) as u8
    }

    /// Two bytes.
    pub fn u16(&mut self) -> u16 {
        self.number(2) as u16
    }

    /// Four bytes.
    pub fn u32(&mut self) -> u32 {
        self.number(4) as u32
    }

    /// Eight bytes.
    pub fn u64(&mut self) -> u64 {
        self.number(8)
    }

    /// A bit.
    pub fn flag(&mut self) -> bool {
        self.u8() & 1 != 0
    }

    /// A number below `end`, which is at most 256.
    pub fn below(&mut self, end: usize) -> usize {
        usize::from(self.u8()) % end
    }

    /// One of these.
    pub fn pick<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }

    /// A number near one of these, or any.
    pub fn near(&mut self, all: &[u64]) -> u64 {
        let which = self.below(all.len() + 1);
        match all.get(which) {
            Some(number) => number.wrapping_add(self.u8() as i8 as u64),
            None => self.u64(),
        }
    }
}

/// The bytes once more, at an address that is a multiple of 8, and with nothing behind them: what
/// reads on is caught.
pub fn with_aligned<T>(bytes: &[u8], look: impl FnOnce(&[u8]) -> T) -> T {
    let exact = bytes.to_vec();
    if exact.as_ptr().align_offset(8) == 0 {
        return look(&exact);
    }
    // Allocators align that much in practice; where one does not, it goes with some spare bytes.
    let mut space = vec![0; bytes.len() + 8];
    let start = space.as_ptr().align_offset(8);
    space[start..][..bytes.len()].copy_from_slice(bytes);
    look(&space[start..][..bytes.len()])
}
