//! The run queue's state and operations. What they prefer is in `policy.rs`.

use alloc::vec::Vec;

use super::entity::{
    Account, Entities, Entity, EntityId, Kick, Pick, Reason, Request, SchedError, State,
};
use super::policy::latest;
use super::tournament::{NOBODY, Tournament};

/// The largest number of pCPUs: masks of pCPUs are bytes.
pub const MAX_PCPUS: usize = 8;
/// The largest number of entities at one time.
pub const MAX_ENTITIES: usize = 4096;
/// How many deadlines one `expire` serves; the rest is due at once again.
const EXPIRE_BATCH: usize = 4;
/// The longest slice in ticks: in virtual time, at weight 1, it is 2^48, far below [`REBASE`].
const LONGEST_SLICE: u64 = 1 << 40;
/// Virtual run times are moved back by half of this when one reaches it.
pub(super) const REBASE: u64 = 1 << 62;

/// What the queue knows of one pCPU.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Pcpu {
    /// The slot that runs here.
    pub current: u16,
    /// The slot that it is dedicated to.
    pub owner: u16,
    /// Counter value at which the slice ends.
    pub slice_end: Option<u64>,
    /// The virtual time that has been reached here: the largest virtual run time picked.
    pub clock: u64,
    /// The deadlines of entities that blocked here.
    pub deadlines: Tournament,
}

/// The entities that may run on the same set of pCPUs, and those of them that are Ready, by
/// virtual run time. One tree a *mask* rather than one a pCPU: an update touches one tree, and a
/// pick compares the winners of the few masks that hold its pCPU.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Class {
    pub mask: u8,
    pub ready: Tournament,
}

/// Who runs where, and who is next. See the [module](super) for states and rules.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RunQueue {
    pub(super) entities: Entities,
    pub(super) classes: Vec<Class>,
    pub(super) pcpus: [Pcpu; MAX_PCPUS],
    /// How many pCPUs there are.
    pub(super) count: usize,
    /// Those not dedicated to one entity.
    pub(super) shared: u8,
    /// Those that found nothing at their last pick, or on which what runs waits (`rest`), and
    /// that were not kicked since.
    pub(super) idle: u8,
    /// Those that run something without a slice end, and were not kicked since. Together with
    /// `idle`: whom a new Ready entity must tell, because nothing else would bring them here.
    pub(super) lone: u8,
    /// Ticks of one slice.
    pub(super) slice: u64,
}

impl RunQueue {
    /// A queue without entities for pCPUs `0..pcpus`, with slices of `slice` counter ticks,
    /// at most 2^40.
    /// A pCPU counts as idle from its first pick on, and is not kicked before.
    pub fn new(pcpus: usize, slice: u64) -> Result<Self, SchedError> {
        if pcpus == 0 || pcpus > MAX_PCPUS {
            return Err(SchedError::PcpuCount(pcpus));
        }
        Ok(Self {
            entities: Entities::default(),
            classes: Vec::new(),
            pcpus: core::array::from_fn(|_| Pcpu {
                current: NOBODY,
                owner: NOBODY,
                slice_end: None,
                clock: 0,
                deadlines: Tournament::new(1),
            }),
            count: pcpus,
            shared: 0xff >> (MAX_PCPUS - pcpus),
            idle: 0,
            lone: 0,
            slice: slice.clamp(1, LONGEST_SLICE),
        })
    }

    /// Adds an entity, Off. It may run on the pCPUs of `affinity` that exist and are not
    /// dedicated to others; with `dedicated` it owns that pCPU. Allocates.
    ///
    /// While a shared vCPU exists, one pCPU stays shared.
    pub fn add(
        &mut self,
        weight: u32,
        affinity: u8,
        dedicated: Option<usize>,
    ) -> Result<EntityId, SchedError> {
        let Some(pcpu) = dedicated else {
            return self.insert(weight, affinity, affinity & self.shared, true);
        };
        let allowed = self.dedicate(pcpu, affinity)?;
        let id = self.insert(weight, affinity, allowed, false)?;
        self.shared &= !allowed;
        self.pcpus[pcpu & 7].owner = id.0;
        for slot in 0..id.0 {
            self.confine(slot);
        }
        Ok(id)
    }

    /// Adds a job, Off. It may run on every pCPU; on one that is dedicated, while its owner does
    /// not want it. Allocates.
    pub fn add_job(&mut self, weight: u32) -> Result<EntityId, SchedError> {
        self.insert(weight, u8::MAX, u8::MAX >> (MAX_PCPUS - self.count), false)
    }

    fn insert(
        &mut self,
        weight: u32,
        affinity: u8,
        allowed: u8,
        shares: bool,
    ) -> Result<EntityId, SchedError> {
        if weight == 0 {
            return Err(SchedError::ZeroWeight);
        }
        if allowed == 0 {
            return Err(SchedError::NoPcpuAllowed(affinity, self.shared));
        }
        let slot = self.entities.slots.len();
        if slot >= MAX_ENTITIES {
            return Err(SchedError::TooManyEntities(MAX_ENTITIES));
        }
        let class = self.class_for(allowed);
        let last = allowed.trailing_zeros() as u8;
        let mut entity = Entity { shares, affinity, allowed, class, last, ..Entity::default() };
        entity.set_weight(weight, self.slice);
        self.entities.slots.push(entity);
        self.fit_trees();
        Ok(EntityId(slot as u16))
    }

    /// Off → Ready.
    pub fn start(&mut self, id: EntityId, now: u64) -> Result<Kick, SchedError> {
        let entity = self.entity_mut(id)?;
        match entity.state {
            State::Off => Ok(self.make_ready(id.0, now)),
            from => Err(refused(id, from, "start")),
        }
    }

    /// Something happened that `id` may wait for. Blocked → Ready; a running one gets a token
    /// that keeps its next `Block` from sleeping, and its pCPU a notice. In other states nothing
    /// need be done: who is Ready, Paused or Off looks at what is pending when it next runs.
    ///
    /// Rule for the caller: first post what happened where the entity looks for it, then `wake`.
    pub fn wake(&mut self, id: EntityId, now: u64) -> Result<Kick, SchedError> {
        let entity = self.entity_mut(id)?;
        match entity.state {
            State::Blocked => Ok(self.make_ready(id.0, now)),
            State::Running(pcpu) => {
                entity.token = true;
                Ok(Kick { reschedule: 0, notice: 1 << (pcpu & 7) })
            }
            State::Off | State::Ready | State::Paused => Ok(Kick::NONE),
        }
    }

    /// `id`, which runs on `pcpu`, waits there without leaving it, as long as nobody else wants the
    /// pCPU: for others that is idle. False where somebody does: it has to leave. Charges `id` for
    /// its run until `now`.
    ///
    /// Takes the wake token, and so has to come *before* a last look at what is pending: what is
    /// posted after the look leaves a new one, and one of what was handled long ago would make the
    /// next `Block` return at once for nothing.
    ///
    /// Rule for the caller: whatever ends the wait, [`rouse`](Self::rouse) or [`put`](Self::put)
    /// comes next. And a call (a kick that reschedules) leads to `put`, also where the wait is over
    /// at the same moment: nobody calls twice.
    pub fn rest(&mut self, pcpu: usize, id: EntityId, now: u64) -> Result<bool, SchedError> {
        let bit = self.bit(pcpu)?;
        self.check_runs(pcpu, id, "rest")?;
        self.entities[id.0].token = false;
        let vruntime = self.charge(id.0, now);
        let cpu = &mut self.pcpus[pcpu & 7];
        if cpu.slice_end.is_none() {
            // As in `put`: whoever becomes Ready meanwhile is placed by a clock that goes on.
            cpu.clock = cpu.clock.max(vruntime);
        }
        let free = match cpu.owner == id.0 {
            // A job that became Ready while it ran did not call this pCPU.
            true => self.waiting(bit).first().is_none(),
            false => self.lone & bit != 0,
        };
        if free {
            self.lone &= !bit;
            self.idle |= bit;
        }
        if vruntime >= REBASE {
            self.rebase();
        }
        Ok(free)
    }

    /// The wait of `id` on `pcpu` is over, or it is looked at what has come. It is not charged for
    /// what passed since `rest`.
    pub fn rouse(&mut self, pcpu: usize, id: EntityId, now: u64) -> Result<(), SchedError> {
        let bit = self.bit(pcpu)?;
        self.check_runs(pcpu, id, "rouse")?;
        self.entities[id.0].since = now;
        // Who was called meanwhile is neither: it is on its way to a pick.
        if self.idle & bit != 0 {
            self.idle &= !bit;
            if self.pcpus[pcpu & 7].owner != id.0 {
                self.lone |= bit;
            }
        }
        Ok(())
    }

    /// What `pcpu` runs next: of the Ready entities allowed there, the one with the least virtual
    /// run time.
    pub fn pick(&mut self, pcpu: usize, now: u64) -> Result<Pick, SchedError> {
        let bit = self.bit(pcpu)?;
        if self.pcpus[pcpu & 7].current != NOBODY {
            return Err(SchedError::PcpuBusy(pcpu));
        }
        self.idle &= !bit;
        let waiting = self.waiting(bit);
        let Some(slot) = self.first(pcpu, &waiting) else {
            self.idle |= bit;
            return Ok(Pick::Idle { kick: self.call_restful(waiting.wanted, 0) });
        };
        self.dequeue(slot);
        let waiting = self.waiting(bit);
        let (slice_end, waited) = self.install(pcpu & 7, slot, now, waiting.first());
        let kick = self.call_restful(waiting.wanted, 0);
        Ok(Pick::Run { id: EntityId(slot), slice_end, waited, kick })
    }

    /// Puts `slot`, taken from its tree, on `pcpu`, and says until when (for ever, if `rival`, the
    /// first of those that wait for the same pCPU, is nobody), and for how long it has waited in all.
    fn install(
        &mut self,
        pcpu: usize,
        slot: u16,
        now: u64,
        rival: Option<(u16, u64)>,
    ) -> (Option<u64>, u64) {
        let owned = self.pcpus[pcpu & 7].owner == slot;
        let rival = rival.filter(|_| !owned);
        let vruntime = rival.map_or(0, |(rival, key)| self.bounded_credit(slot, rival, key));
        let entity = &mut self.entities[slot];
        entity.vruntime = entity.vruntime.max(vruntime);
        entity.state = State::Running(pcpu as u8);
        entity.token = false;
        entity.account.moves += u64::from(entity.last != pcpu as u8);
        entity.account.wait = entity.account.wait.wrapping_add(now.saturating_sub(entity.since));
        entity.last = pcpu as u8;
        entity.since = now;
        let (waited, vruntime) = (entity.account.wait, entity.vruntime);
        let cpu = &mut self.pcpus[pcpu & 7];
        cpu.current = slot;
        cpu.clock = cpu.clock.max(vruntime);
        cpu.slice_end = rival.map(|_| now.saturating_add(self.slice));
        if rival.is_none() && !owned {
            self.lone |= 1 << pcpu;
        }
        (cpu.slice_end, waited)
    }

    /// Takes `id` off `pcpu`, charges it for its run and says what it is now: a `Block` with a
    /// wake token or a deadline in the past leaves it Ready, a stop or pause that was asked for
    /// meanwhile takes effect.
    pub fn put(
        &mut self,
        pcpu: usize,
        id: EntityId,
        now: u64,
        reason: Reason,
    ) -> Result<State, SchedError> {
        let bit = self.bit(pcpu)?;
        self.check_runs(pcpu, id, "put")?;
        let vruntime = self.charge(id.0, now);
        let entity = &mut self.entities[id.0];
        let request = core::mem::replace(&mut entity.request, Request::None);
        let (state, deadline) = match (request, reason) {
            (Request::Stop, _) | (_, Reason::Off) => (State::Off, None),
            (Request::Pause, _) => (State::Paused, None),
            (_, Reason::Block { .. }) if entity.token => (State::Ready, None),
            (_, Reason::Block { deadline: Some(at) }) if at <= now => (State::Ready, None),
            (_, Reason::Block { deadline }) => (State::Blocked, deadline),
            (_, Reason::Yield | Reason::Preempted) => (State::Ready, None),
        };
        entity.state = state;
        entity.timer = deadline.map(|_| pcpu as u8);
        let cpu = &mut self.pcpus[pcpu & 7];
        cpu.current = NOBODY;
        if cpu.slice_end.take().is_none() {
            // It ran unopposed, so nothing else moved this pCPU's clock.
            cpu.clock = cpu.clock.max(vruntime);
        }
        self.lone &= !bit;
        self.idle &= !bit;
        if let Some(at) = deadline {
            cpu.deadlines.set(id.0, at);
        }
        if vruntime >= REBASE {
            self.rebase();
        }
        if state == State::Ready {
            if reason == Reason::Yield {
                self.give_way(id.0, bit);
            }
            self.enqueue(id.0);
        }
        Ok(state)
    }

    /// Counter value at which `pcpu` must come back: to [`put`](Self::put), at the end of the slice
    /// that runs there, or to [`expire`](Self::expire), at the earliest deadline of those blocked
    /// there. `None`: no timer.
    pub fn next_event(&self, pcpu: usize) -> Option<u64> {
        let cpu = self.pcpus.get(pcpu)?;
        match (cpu.slice_end, cpu.deadlines.first()) {
            (Some(end), Some((_, at))) => Some(at.min(end)),
            (end, at) => end.or(at.map(|(_, at)| at)),
        }
    }

    /// The timer of `pcpu` fired: wakes who is due there (a few at a time: what is left makes
    /// [`next_event`](Self::next_event) lie in the past). The kick holds `pcpu` itself when it must
    /// `put` and `pick`; else it goes on with what it runs. (At the end of a slice it must, and
    /// need not ask.)
    pub fn expire(&mut self, pcpu: usize, now: u64) -> Result<Kick, SchedError> {
        self.bit(pcpu)?;
        let mut kick = Kick::NONE;
        for _ in 0..EXPIRE_BATCH {
            match self.pcpus[pcpu & 7].deadlines.first() {
                Some((slot, at)) if at <= now => kick = kick.and(self.make_ready(slot, now)),
                _ => break,
            }
        }
        Ok(kick)
    }

    /// Ends `id`: at once, or when its pCPU, which the kick names, puts it back.
    pub fn stop(&mut self, id: EntityId) -> Result<Kick, SchedError> {
        self.halt(id, State::Off, Request::Stop)
    }

    /// Holds `id` until `resume`: at once, or when its pCPU, which the kick names, puts it back.
    pub fn pause(&mut self, id: EntityId) -> Result<Kick, SchedError> {
        let clock = latest(&self.pcpus, self.entity(id)?.allowed);
        let entity = self.entity_mut(id)?;
        match entity.state {
            State::Off => return Err(refused(id, State::Off, "pause")),
            State::Paused => {}
            _ => entity.paused_at = clock,
        }
        self.halt(id, State::Paused, Request::Pause)
    }

    fn halt(&mut self, id: EntityId, state: State, request: Request) -> Result<Kick, SchedError> {
        let entity = self.entity_mut(id)?;
        if let State::Running(pcpu) = entity.state {
            if entity.request != Request::Stop {
                entity.request = request;
            }
            return Ok(Kick::reschedule(1 << (pcpu & 7)));
        }
        self.forget(id.0);
        self.entity_mut(id)?.state = state;
        Ok(Kick::NONE)
    }

    /// Undoes `pause`. One that was blocked when it was paused becomes Ready and looks again
    /// whether it must wait: WFI may end without a reason (Arm DDI 0487, D1.7 "Wait for
    /// Interrupt"), so a guest can't be surprised.
    pub fn resume(&mut self, id: EntityId, now: u64) -> Result<Kick, SchedError> {
        let entity = self.entity_mut(id)?;
        match (entity.state, entity.request) {
            (State::Paused, _) => Ok(self.make_ready(id.0, now)),
            (State::Running(_), Request::Pause) => {
                entity.request = Request::None;
                Ok(Kick::NONE)
            }
            (from, _) => Err(refused(id, from, "resume")),
        }
    }

    /// Changes where `id` may run. One that runs elsewhere moves when its pCPU, which the kick
    /// names, puts it back. Not for a dedicated entity or a job. Allocates.
    pub fn set_affinity(&mut self, id: EntityId, affinity: u8) -> Result<Kick, SchedError> {
        let usable = self.shared;
        let entity = self.entity_mut(id)?;
        if affinity & usable == 0 {
            return Err(SchedError::NoPcpuAllowed(affinity, usable));
        }
        if !entity.shares {
            return Err(refused(id, entity.state, "set_affinity of what shares no pCPU"));
        }
        entity.affinity = affinity;
        let state = entity.state;
        self.confine(id.0);
        Ok(match state {
            State::Running(pcpu) if affinity & usable & (1 << (pcpu & 7)) == 0 => {
                Kick::reschedule(1 << (pcpu & 7))
            }
            State::Ready => self.offer(id.0),
            _ => Kick::NONE,
        })
    }

    /// The state of `id`.
    pub fn state(&self, id: EntityId) -> Result<State, SchedError> {
        self.entity(id).map(|entity| entity.state)
    }

    /// What `id` has used.
    pub fn account(&self, id: EntityId) -> Result<Account, SchedError> {
        self.entity(id).map(|entity| entity.account)
    }

    /// The pCPU that `id` ran on last, and those that it may run on, as a mask.
    pub fn allowed(&self, id: EntityId) -> Result<(u8, u8), SchedError> {
        self.entity(id).map(|entity| (entity.last, entity.allowed))
    }

    /// The mask of `pcpu`, if there is such a one.
    pub(super) fn bit(&self, pcpu: usize) -> Result<u8, SchedError> {
        if pcpu >= self.count {
            return Err(SchedError::NoSuchPcpu(pcpu, self.count));
        }
        Ok(1 << (pcpu & 7))
    }

    fn check_runs(&self, pcpu: usize, id: EntityId, to: &'static str) -> Result<(), SchedError> {
        match self.entity(id)?.state {
            State::Running(here) if usize::from(here) == pcpu => Ok(()),
            from => Err(refused(id, from, to)),
        }
    }

    /// Charges `slot` for its run until `now`; gives the virtual run time that it has reached.
    fn charge(&mut self, slot: u16, now: u64) -> u64 {
        let entity = &mut self.entities[slot];
        let ran = now.saturating_sub(entity.since);
        entity.account.run = entity.account.run.wrapping_add(ran);
        entity.since = now;
        entity.vruntime = entity.vruntime.saturating_add(entity.virtual_time(ran));
        entity.vruntime
    }

    fn entity(&self, id: EntityId) -> Result<&Entity, SchedError> {
        self.entities.slots.get(id.slot()).ok_or(SchedError::UnknownEntity(id.slot()))
    }

    fn entity_mut(&mut self, id: EntityId) -> Result<&mut Entity, SchedError> {
        self.entities.slots.get_mut(id.slot()).ok_or(SchedError::UnknownEntity(id.slot()))
    }
}

fn refused(id: EntityId, from: State, operation: &'static str) -> SchedError {
    SchedError::InvalidTransition(id.slot(), from, operation)
}
