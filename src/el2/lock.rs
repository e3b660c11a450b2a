//! Spin locks with an order. A pCPU takes locks in rising rank only; debug builds assert it, so
//! that a deadlock which would need bad luck is found by any run that takes the two locks at all.

use core::ops::{Deref, DerefMut};

use spin::RelaxStrategy;
use spin::mutex::{SpinMutex, SpinMutexGuard};

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
pub struct Lock<T, const RANK: u32>(SpinMutex<T, Yield>);

/// What to do while waiting. Where an emulator runs all CPUs in turns, only YIELD hands the turn
/// to the one that holds the lock; with `spin`'s own choice, an ISB, it is waited out.
struct Yield;

impl RelaxStrategy for Yield {
    #[inline(always)]
    fn relax() {
        cache::yield_now();
    }
}

/// The lock, held.
pub struct Held<'a, T, const RANK: u32>(SpinMutexGuard<'a, T, Yield>);

impl<T, const RANK: u32> Lock<T, RANK> {
    /// A lock around `value`.
    pub const fn new(value: T) -> Self {
        Self(SpinMutex::new(value))
    }

    /// Takes the lock, waiting for it.
    #[inline(always)]
    pub fn lock(&self) -> Held<'_, T, RANK> {
        #[cfg(debug_assertions)]
        {
            let held = &percpu::this().locks_held;
            assert!(
                held.get() >> RANK == 0,
                "lock order: {:#b} held, wanted rank {RANK}",
                held.get()
            );
            held.set(held.get() | 1 << RANK);
        }
        Held(self.0.lock())
    }

    /// Takes the value for good, for the end of the machine: when `patience` is at an end, without
    /// the lock. Asks for nothing that a pCPU in trouble may not have, so ranks aren't looked at.
    ///
    /// # Safety
    /// Whoever still holds the lock then doesn't touch the value any more. Called once.
    #[expect(clippy::mut_from_ref, reason = "the lock that is never given back")]
    pub unsafe fn seize(&self, patience: impl Fn() -> bool) -> &mut T {
        loop {
            if let Some(guard) = self.0.try_lock() {
                return SpinMutexGuard::leak(guard);
            }
            if !patience() {
                // SAFETY: as the caller promises.
                return unsafe { &mut *self.0.as_mut_ptr() };
            }
        }
    }
}

impl<T, const RANK: u32> Drop for Held<'_, T, RANK> {
    #[inline(always)]
    fn drop(&mut self) {
        #[cfg(debug_assertions)]
        {
            let held = &percpu::this().locks_held;
            held.set(held.get() & !(1 << RANK));
        }
    }
}

impl<T, const RANK: u32> Deref for Held<'_, T, RANK> {
    type Target = T;

    #[inline(always)]
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T, const RANK: u32> DerefMut for Held<'_, T, RANK> {
    #[inline(always)]
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
