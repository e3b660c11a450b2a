//! How long something took, many times: least, mean, most, and a quantile, without keeping each.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::format::KINDS;

/// Buckets for each power of two of a length: a quantile is at most a fourth too large.
const PARTS: u32 = 4;
/// Powers of two, the first for all below 4 ticks: the last holds a minute at 1 GHz.
const POWERS: usize = 36;
const BUCKETS: usize = POWERS * PARTS as usize;

/// Lengths in ticks, of one kind. Written by one pCPU at a time; who reads meanwhile may miss the last
/// one.
pub struct Times {
    count: AtomicU64,
    sum: AtomicU64,
    least: AtomicU64,
    most: AtomicU64,
    buckets: [AtomicU32; BUCKETS],
}

/// The times that a vCPU's exits took at EL2, by kind, without what it slept there.
#[derive(Default)]
pub struct ExitTimes {
    /// In the order of `vm::exits`.
    pub kinds: [Times; KINDS],
    /// Ticks that it slept at EL2.
    pub slept: AtomicU64,
}

/// What is known of them, in ticks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Span {
    /// How many there were.
    pub count: u64,
    /// All together.
    pub sum: u64,
    /// The shortest.
    pub least: u64,
    /// The longest.
    pub most: u64,
    /// 99 of 100 are no longer than this.
    pub p99: u64,
}

impl Span {
    /// The mean; 0 if there were none.
    pub const fn mean(&self) -> u64 {
        match self.sum.checked_div(self.count) {
            Some(mean) => mean,
            None => 0,
        }
    }
}

impl Default for Times {
    fn default() -> Self {
        Self {
            count: AtomicU64::new(0),
            sum: AtomicU64::new(0),
            least: AtomicU64::new(u64::MAX),
            most: AtomicU64::new(0),
            buckets: [const { AtomicU32::new(0) }; BUCKETS],
        }
    }
}

/// The bucket of a length: its power of two, and the two bits below the highest.
fn bucket(ticks: u64) -> usize {
    let power = ticks.checked_ilog2().unwrap_or(0).saturating_sub(1);
    let index = power * PARTS + (ticks >> power.saturating_sub(1) & 3) as u32;
    (index as usize).min(BUCKETS - 1)
}

/// The greatest length of a bucket.
const fn end(bucket: usize) -> u64 {
    let (power, part) = (bucket as u32 / PARTS, bucket as u64 % PARTS as u64);
    match power {
        0 => part,
        _ => ((PARTS as u64 + part + 1) << (power - 1)) - 1,
    }
}

impl Times {
    /// One more, of `ticks`.
    pub fn add(&self, ticks: u64) {
        let one = |word: &AtomicU64, by| {
            word.store(word.load(Ordering::Relaxed).wrapping_add(by), Ordering::Relaxed);
        };
        one(&self.count, 1);
        one(&self.sum, ticks);
        self.least.fetch_min(ticks, Ordering::Relaxed);
        self.most.fetch_max(ticks, Ordering::Relaxed);
        if let Some(bucket) = self.buckets.get(bucket(ticks)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Forgets all.
    pub fn clear(&self) {
        let Self { count, sum, least, most, buckets } = self;
        [count, sum, most].into_iter().for_each(|word| word.store(0, Ordering::Relaxed));
        least.store(u64::MAX, Ordering::Relaxed);
        buckets.iter().for_each(|bucket| bucket.store(0, Ordering::Relaxed));
    }

    /// What they come to.
    pub fn span(&self) -> Span {
        let count = self.count.load(Ordering::Relaxed);
        if count == 0 {
            return Span::default();
        }
        let most = self.most.load(Ordering::Relaxed);
        // The bucket that holds the one at 99 of 100.
        let mut left = count - count / 100;
        let reached = self.buckets.iter().position(|bucket| {
            left = left.saturating_sub(bucket.load(Ordering::Relaxed).into());
            left == 0
        });
        Span {
            count,
            sum: self.sum.load(Ordering::Relaxed),
            least: self.least.load(Ordering::Relaxed),
            most,
            p99: reached.map_or(most, |bucket| end(bucket).min(most)),
        }
    }
}

#[cfg(test)]
mod tests;
