//! A kick without a lock: where a pCPU is, and what it must look at.
//!
//! A pCPU in a guest, or asleep, notices nothing but interrupts; one at EL2 notices no interrupt
//! (they are masked there) but looks at its *attention* word before it leaves. A peer with news
//! must therefore know which of the two to rely on, while the pCPU may change sides at any moment.
//! Both sides follow the same pattern (store, full barrier, load), so that at least one of them
//! sees the other:
//!
//! ```text
//!   pCPU p, on its way into a guest          peer, with news for p
//!   place := in guest                        post the news, attention |= bits
//!   DMB ISH                                  DMB ISH
//!   attention = 0?  no: back to EL2          place = at EL2?  no: send the SGI
//!   ERET
//! ```
//!
//! Where the peer sees p at EL2, its store to `attention` comes before p's load, and p stays.
//! Where p sees no attention, its store to `place` comes before the peer's load, and the SGI is
//! sent; it arrives in the guest, or is pending when ERET unmasks it, and forces an exit.
//!
//! The same two words serve who must be sure that no pCPU still runs with an old mapping: after
//! changing it, take a [`Snapshot`] of each pCPU and wait until [`Presence::is_out_or_moved`].
//! Nobody acknowledges anything, so two pCPUs that wait for each other cannot deadlock; the waiter
//! only must not hold a lock that a pCPU takes on its way out.

use core::sync::atomic::Ordering::{Acquire, Relaxed, Release, SeqCst};
use core::sync::atomic::{AtomicU64, Ordering, fence};

/// A 64-bit atomic: `AtomicU64` in the hypervisor, a checker's own type in a model.
pub trait AtomicWord {
    /// Reads the word.
    fn load(&self, order: Ordering) -> u64;
    /// Writes the word.
    fn store(&self, value: u64, order: Ordering);
    /// Writes the word and gives what it held.
    fn swap(&self, value: u64, order: Ordering) -> u64;
    /// Sets bits of the word and gives what it held.
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64;
    /// A memory barrier: `DMB ISH` for [`SeqCst`].
    fn fence(order: Ordering);
}

impl AtomicWord for AtomicU64 {
    fn load(&self, order: Ordering) -> u64 {
        self.load(order)
    }
    fn store(&self, value: u64, order: Ordering) {
        self.store(value, order);
    }
    fn swap(&self, value: u64, order: Ordering) -> u64 {
        self.swap(value, order)
    }
    fn fetch_or(&self, bits: u64, order: Ordering) -> u64 {
        self.fetch_or(bits, order)
    }
    fn fence(order: Ordering) {
        fence(order);
    }
}

/// Low bits of `place`; above them the generation, which moves at each return to EL2.
const WHERE: u64 = 3;
const IN_GUEST: u64 = 1;
const ASLEEP: u64 = 2;

/// A pCPU's whereabouts at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Snapshot(u64);

/// One pCPU's side of the protocol. `place` is written by that pCPU alone.
#[derive(Debug, Default)]
pub struct Presence<W = AtomicU64> {
    place: W,
    attention: W,
}

impl Presence {
    /// A pCPU at EL2 that nobody has news for.
    pub const fn new() -> Self {
        Self { place: AtomicU64::new(0), attention: AtomicU64::new(0) }
    }
}

impl<W: AtomicWord> Presence<W> {
    /// The same over other words, both zero.
    pub const fn over(place: W, attention: W) -> Self {
        Self { place, attention }
    }

    /// Own pCPU: about to enter a guest. False: there is attention, so it stays at EL2, takes it,
    /// and tries again.
    pub fn enter(&self) -> bool {
        self.depart(IN_GUEST)
    }

    /// Own pCPU: about to sleep in WFI at EL2. False as for [`enter`](Self::enter).
    pub fn sleep(&self) -> bool {
        self.depart(ASLEEP)
    }

    fn depart(&self, to: u64) -> bool {
        // Relaxed: no other pCPU writes `place`.
        let place = self.place.load(Relaxed);
        // Release: a peer that missed the value of the last `leave` and acquires this one instead
        // must still see all that came before that `leave`.
        self.place.store(place.wrapping_add(to), Release);
        // The barrier orders the store of `place` before the load of `attention`, and before all accesses
        // and translations of the guest. Acquire and release can't: Arm may let a load pass an
        // earlier store to another address, and then both sides could miss each other.
        W::fence(SeqCst);
        // Relaxed: nothing is read on the strength of a zero; a non-zero word is read again,
        // with acquire, by `take_attention`.
        if self.attention.load(Relaxed) == 0 {
            return true;
        }
        self.leave();
        false
    }

    /// Own pCPU: back at EL2, from a guest or from sleep.
    pub fn leave(&self) {
        let place = self.place.load(Relaxed);
        // Release: what the guest did comes before; a peer that acquires the new generation may
        // free what the guest could reach.
        self.place.store((place | WHERE).wrapping_add(1), Release);
    }

    /// Own pCPU: takes the attention bits; the caller acts on each.
    pub fn take_attention(&self) -> u64 {
        // Acquire, with the release of `post`: who sees the bit sees the news behind it. The swap
        // is atomic, so that a bit set meanwhile is either taken or left for `enter` to see.
        self.attention.swap(0, Acquire)
    }

    /// A peer: news for this pCPU, posted before this call. True: it must be sent the SGI.
    #[must_use = "without the SGI the pCPU may stay in its guest for ever"]
    pub fn post(&self, bits: u64) -> bool {
        // Release: the news come before the bits.
        let before = self.attention.fetch_or(bits, Release);
        // The other half of the pattern in `depart`.
        W::fence(SeqCst);
        // Bits that were there already make the SGI the business of whoever set them: the pCPU
        // has not taken them yet, so it cannot have departed without an SGI to come.
        before == 0 && self.place.load(Relaxed) & WHERE != 0
    }

    /// A peer that has changed a mapping or the like: where the pCPU is now.
    pub fn snapshot(&self) -> Snapshot {
        // Orders the change before the load. Who is seen at EL2 now passes `depart` later, and
        // its barrier makes it see the change.
        W::fence(SeqCst);
        Snapshot(self.place.load(Acquire))
    }

    /// A peer: whether the pCPU cannot still be in the guest that it was in at `snapshot`.
    pub fn is_out_or_moved(&self, snapshot: Snapshot) -> bool {
        // Acquire, with the release of `leave`.
        snapshot.0 & WHERE != IN_GUEST || self.place.load(Acquire) != snapshot.0
    }
}
