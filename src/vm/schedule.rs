//! The one run queue of the machine, and the kicks that it asks for.

use core::sync::atomic::{AtomicUsize, Ordering};

use spin::Once;

use super::{Vcpu, Vm};
use crate::el2::layout::MAX_PCPUS;
use crate::el2::lock::{Lock, rank};
use crate::el2::percpu;
use crate::platform::{gic, timer};
use crate::sched::{EntityId, Kick, MAX_ENTITIES, Presence, Reason, RunQueue, SchedError};
use crate::trace;

/// Attention bit: come back to the run queue.
pub const RESCHEDULE: u64 = 1;
/// Attention bit: the vCPU that runs here has news from its vGIC.
pub const NOTICE: u64 = 2;

/// What an entity of the run queue is.
#[derive(Clone, Copy)]
pub enum Thing {
    /// A vCPU.
    Vcpu(&'static Vm, &'static Vcpu),
    /// The preparation of a VM's memory.
    Job(&'static Vm),
    /// Work of the operator's: does some of it, with no vCPU loaded and no lock held, and says how it
    /// goes on.
    Service(fn() -> Reason),
}

static QUEUE: Once<Lock<RunQueue, { rank::RUN_QUEUE }>> = Once::new();
static THINGS: [Once<Thing>; MAX_ENTITIES] = [const { Once::new() }; MAX_ENTITIES];
static PRESENCE: [Presence; MAX_PCPUS] = [const { Presence::new() }; MAX_PCPUS];
static PCPUS: AtomicUsize = AtomicUsize::new(0);

/// Makes the run queue for `pcpus` pCPUs with slices of `slice` ticks.
pub fn init(pcpus: usize, slice: u64) -> Result<(), SchedError> {
    let queue = RunQueue::new(pcpus, slice)?;
    QUEUE.call_once(|| Lock::new(queue));
    PCPUS.store(pcpus, Ordering::Relaxed);
    Ok(())
}

/// How many pCPUs there are.
pub fn pcpus() -> usize {
    PCPUS.load(Ordering::Relaxed)
}

/// Runs `work` under the run queue's lock. `None` before [`init`].
#[inline]
pub fn with<R>(work: impl FnOnce(&mut RunQueue) -> R) -> Option<R> {
    QUEUE.get().map(|queue| work(&mut queue.lock()))
}

/// Remembers what entity `id` is.
pub fn register(id: EntityId, thing: Thing) {
    if let Some(slot) = THINGS.get(id.slot()) {
        slot.call_once(|| thing);
    }
}

/// What entity `id` is.
#[inline]
pub fn thing(id: EntityId) -> Option<Thing> {
    THINGS.get(id.slot())?.get().copied()
}

/// The share of a service: as much as that of a VM that asks for nothing special.
const SERVICE_SHARE: u32 = 100;

/// Has `work` done by the pCPUs, beside the vCPUs: once, and whenever it is [woken](wake) or
/// the deadline is reached for which it has blocked.
///
/// A pCPU that is dedicated to a vCPU does it only while that vCPU doesn't want it.
pub fn add_service(work: fn() -> Reason) -> Result<EntityId, SchedError> {
    let absent = Err(SchedError::PcpuCount(0));
    let id = with(|queue| queue.add_job(SERVICE_SHARE)).unwrap_or(absent)?;
    register(id, Thing::Service(work));
    tell(|queue| queue.start(id, timer::now()));
    Ok(id)
}

/// This pCPU's presence.
#[inline(always)]
pub fn presence(pcpu: usize) -> &'static Presence {
    &PRESENCE[pcpu & (MAX_PCPUS - 1)]
}

/// Tells the pCPUs of `kick`. A pCPU that is at EL2 anyway finds the word before it enters a
/// guest; only one that is in a guest, or asleep, needs the interrupt.
#[inline(always)]
pub fn deliver(kick: Kick) {
    if !kick.is_none() {
        send(kick);
    }
}

#[inline(never)]
fn send(kick: Kick) {
    if trace::is_on() {
        return told::send(kick);
    }
    post(kick, |_| ());
}

/// Posts the kick, and sends the interrupts that it needs, each `told` of before.
#[inline(always)]
fn post(kick: Kick, told: impl Fn(usize)) {
    let mut mask = kick.reschedule | kick.notice;
    let own = percpu::this().id.get();
    while mask != 0 {
        let pcpu = mask.trailing_zeros() as usize;
        let bit = 1u8 << pcpu;
        mask &= !bit;
        let mut bits = 0;
        if kick.reschedule & bit != 0 {
            bits |= RESCHEDULE;
        }
        if kick.notice & bit != 0 {
            bits |= NOTICE;
        }
        if presence(pcpu).post(bits) && pcpu != own {
            told(pcpu);
            gic::kick(pcpu);
        }
    }
}

/// The same where the trace is on: functions of their own, so that the others need no more registers.
mod told {
    use super::{EntityId, Kick, post, tell, thing, timer};
    use crate::trace;
    use crate::trace::format::{Event, Record, Who};

    #[cold]
    #[inline(never)]
    pub fn wake(id: EntityId) {
        let who = thing(id).map_or(Who::NOBODY, |thing| thing.who());
        trace::note(|| Record::new(Event::Wake, who, 0, 0, 0));
        tell(|queue| queue.wake(id, timer::now()));
    }

    #[cold]
    #[inline(never)]
    pub fn send(kick: Kick) {
        post(kick, |pcpu| {
            trace::note(|| Record::new(Event::Kick, Who::NOBODY, pcpu as u32, 0, 0));
        });
    }
}

/// Wakes entity `id`: something has happened that it may wait for.
#[inline(never)]
pub fn wake(id: EntityId) {
    if trace::is_on() {
        return told::wake(id);
    }
    tell(|queue| queue.wake(id, timer::now()));
}

/// Runs `work` under the run queue's lock and delivers the kick that it returns.
pub fn tell(work: impl FnOnce(&mut RunQueue) -> Result<Kick, SchedError>) {
    // A refusal is a transition that the entity's state has no use for, as the wake-up of a vCPU
    // that is off: nothing was changed.
    if let Some(Ok(kick)) = with(work) {
        deliver(kick);
    }
}
