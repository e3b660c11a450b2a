//! Spin locks with an order. A pCPU takes locks in rising rank only; debug builds assert it, so
//! that a deadlock which would need bad luck is found by any run that takes the two locks at all.

use lock_api::{GuardNoSend, Mutex, MutexGuard, RawMutex};
use spin::{RelaxStrategy, mutex::SpinMutex};

use super::cache;

#[cfg(debug_assertions)]
use super::percpu;

/// Ranks, from the first taken to the last.
pub mod rank {
    /// A VM's life cycle.
    pub const LIFE: u32 = 0;
    /// A VM's stage-2 tables.
    pub const STAGE2: u32 = 1;
    /// The machine's free memory.
    pub const FRAMES: u32 = 2;
    /// A VM's device, or its PSCI power states.
    pub const DEVICE: u32 = 3;
    /// A VM's vGIC.
    pub const VGIC: u32 = 4;
    /// The machine's run queue.
    pub const RUN_QUEUE: u32 = 5;
    /// The console.
    pub const CONSOLE: u32 = 6;
}

/// A value behind a spin lock of rank `RANK`. EL2 runs with interrupts masked, so whoever holds it
/// is not interrupted.
pub type Lock<T, const RANK: u32> = Mutex<Ranked<RANK>, T>;
/// A [`Lock`] that is held.
pub type LockGuard<'a, T, const RANK: u32> = MutexGuard<'a, Ranked<RANK>, T>;

/// The lock itself, which looks after the order.
pub struct Ranked<const RANK: u32>(SpinMutex<(), Yield>);

/// What to do while waiting. Where an emulator runs all CPUs in turns, only YIELD hands the turn
/// to the one that holds the lock; with `spin`'s own choice, an ISB, it is waited out.
struct Yield;

impl RelaxStrategy for Yield {
    #[inline(always)]
    fn relax() {
        cache::yield_now();
    }
}

// SAFETY: it is the spin lock in it that is taken and given back; ranks are no more than asserted.
unsafe impl<const RANK: u32> RawMutex for Ranked<RANK> {
    const INIT: Self = Self(SpinMutex::INIT);

    type GuardMarker = GuardNoSend;

    #[inline(always)]
    fn lock(&self) {
        #[cfg(debug_assertions)]
        {
            let held = &percpu::this().locks_held;
            let ranks = held.get();
            assert!(ranks >> RANK == 0, "lock order: {ranks:#b} held, wanted rank {RANK}");
            held.set(ranks | 1 << RANK);
        }
        RawMutex::lock(&self.0);
    }

    /// Without a look at the ranks: see [`seize`].
    fn try_lock(&self) -> bool {
        RawMutex::try_lock(&self.0)
    }

    #[inline(always)]
    unsafe fn unlock(&self) {
        #[cfg(debug_assertions)]
        {
            let held = &percpu::this().locks_held;
            held.set(held.get() & !(1 << RANK));
        }
        // SAFETY: as the caller promises.
        unsafe { RawMutex::unlock(&self.0) };
    }
}

/// Takes a lock's value for good, for the end of the machine: when `patience` is at an end, without
/// the lock. Asks for nothing that a pCPU in trouble may not have, so ranks aren't looked at.
///
/// # Safety
/// Whoever still holds the lock then doesn't touch the value any more. Called once for each lock.
#[expect(clippy::mut_from_ref, reason = "the lock that is never given back")]
pub unsafe fn seize<T, const RANK: u32>(
    lock: &'static Lock<T, RANK>,
    patience: impl Fn() -> bool,
) -> &'static mut T {
    // SAFETY: it isn't given back.
    let raw = unsafe { lock.raw() };
    while !raw.try_lock() && patience() {}
    // SAFETY: as the caller promises.
    unsafe { &mut *lock.data_ptr() }
}
