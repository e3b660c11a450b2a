//! A vCPU: to the hypervisor what a thread is to an operating system.

use alloc::boxed::Box;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering};

use spin::Once;

use crate::device::timer::PhysicalTimer;
use crate::el2::debug::Owner;
use crate::el2::state::Context;
use crate::el2::traps;
use crate::sched::EntityId;
use crate::trace::ExitTimes;
use crate::vm::Frame;
use crate::vm::exits::Exits;

/// What of a vCPU changes as it runs.
pub struct State {
    /// Its general registers, while it doesn't run.
    pub frame: Frame,
    /// Its system registers, while it isn't loaded.
    pub context: Context,
    /// Its physical timer, emulated.
    pub timer: PhysicalTimer,
    /// HCR_EL2 while it is loaded.
    pub hcr: u64,
    /// VSESR_EL2: the syndrome of the SError that is pending, if HCR_EL2.VSE is set.
    pub serror: u64,
    /// Ticks for which it was kept waiting, as far as the guest knows, and those before the VM was
    /// last reset.
    pub waited: u64,
    /// See there.
    pub waited_before: u64,
    /// How often it came back from its guest since the VM started.
    pub exits: Exits,
}

/// A vCPU.
pub struct Vcpu {
    /// Its number in its VM.
    pub index: usize,
    /// Its affinity, Aff2 to Aff0 of its MPIDR_EL1.
    affinity: u32,
    /// What the run queue calls it.
    pub entity: EntityId,
    dedicated: bool,
    /// Somebody looks at it, and it waits until that is over.
    pub(super) held: AtomicBool,
    /// The VM goes on without it: a debugger steps another one.
    pub(super) left_behind: AtomicBool,
    /// How long its exits took, once somebody has asked.
    pub(super) times: Once<Box<ExitTimes>>,
    state: UnsafeCell<State>,
}

// SAFETY: `state` is only reached by `state()`, whose callers have the vCPU for themselves.
unsafe impl Sync for Vcpu {}
// SAFETY: a vCPU has no tie to the pCPU that made it.
unsafe impl Send for Vcpu {}

impl Vcpu {
    /// vCPU `index`, off.
    pub fn new(index: usize, affinity: u32, entity: EntityId, dedicated: bool) -> Self {
        let state = UnsafeCell::new(State {
            frame: Frame::reset(0, 0),
            context: Context::reset(affinity.into()),
            timer: PhysicalTimer::default(),
            hcr: traps::HCR,
            serror: 0,
            waited: 0,
            waited_before: 0,
            exits: Exits::default(),
        });
        Self {
            index,
            affinity,
            entity,
            dedicated,
            held: AtomicBool::new(false),
            left_behind: AtomicBool::new(false),
            times: Once::new(),
            state,
        }
    }

    /// How long its exits took at EL2, if that was ever watched.
    pub fn times(&self) -> Option<&ExitTimes> {
        self.times.get().map(|times| &**times)
    }

    /// Its changing part.
    ///
    /// # Safety
    /// The caller has the vCPU for itself: the run queue gave it to this pCPU, or it is off and
    /// the caller is the one who will start it.
    #[expect(clippy::mut_from_ref, reason = "ownership is the run queue's to give")]
    pub unsafe fn state(&self) -> &mut State {
        // SAFETY: as the caller promises.
        unsafe { &mut *self.state.get() }
    }

    /// Puts it into the state out of reset, to start at `entry` with `x0`, its debug registers `owner`'s.
    ///
    /// # Safety
    /// As for [`Vcpu::state`].
    pub unsafe fn reset(&self, entry: u64, x0: u64, owner: Owner) {
        // SAFETY: as the caller promises.
        let state = unsafe { self.state() };
        self.left_behind.store(false, Ordering::Relaxed);
        state.frame = Frame::reset(entry, x0);
        state.context = Context::reset(self.affinity.into());
        state.context.debug.give(owner);
        state.timer = PhysicalTimer::default();
        state.hcr = if self.dedicated { traps::HCR & !traps::HCR_TWI } else { traps::HCR };
    }
}
