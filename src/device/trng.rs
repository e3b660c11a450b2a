//! Random numbers for guests: a ChaCha20 stream for each VM, seeded once from the machine's own
//! entropy. It answers the calls of TRNG (Arm DEN0098, version 1.0), and fills in the seeds of
//! device trees.

#[cfg(test)]
mod tests;

use chacha20::ChaCha20Rng;
use chacha20::rand_core::{Rng, SeedableRng};

use super::calls::code;

/// TRNG 1.0.
pub(super) const VERSION: u64 = 0x1_0000;
/// The generator's UUID, e1677d4b-bb2a-461a-a9c6-00723ba2de50, as TRNG_GET_UUID returns it: bytes 0
/// to 3 in w0, the first in bits 7:0.
pub(super) const UUID: [u64; 4] = [0x4b7d_67e1, 0x1a46_2abb, 0x7200_c6a9, 0x50de_a23b];

/// A stream of random numbers that can't be told from its past or from another's.
pub struct Trng(ChaCha20Rng);

/// Entropy to begin with, in bytes: a key.
pub type Seed = [u8; 32];

impl Trng {
    /// A stream that is as unknown as `seed`.
    pub fn new(seed: Seed) -> Self {
        Self(ChaCha20Rng::from_seed(seed))
    }

    /// An independent stream.
    pub fn fork(&mut self) -> Self {
        let mut seed = [0; 32];
        self.fill(&mut seed);
        Self::new(seed)
    }

    /// Fills `bytes`.
    pub fn fill(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }

    /// TRNG_RND32 and 64: x0 to x3 of a call for `bits` of entropy. It is in x3, x2 and x1, in this
    /// order, `each` bits in one, 32 or 64; what was not asked for is zero.
    pub fn answer(&mut self, bits: u64, each: u64) -> [u64; 4] {
        if bits == 0 || bits > 3 * each {
            return [code::INVALID_PARAMETERS, 0, 0, 0];
        }
        let mut part = |from: u64| match bits.saturating_sub(from).min(each) {
            0 => 0,
            wanted => self.0.next_u64() >> (64 - wanted),
        };
        let (x3, x2, x1) = (part(0), part(each), part(2 * each));
        [code::SUCCESS, x1, x2, x3]
    }
}
