//! What the run queue prefers: who goes first, where a newcomer enters the race, and which pCPU
//! hears of it.
//!
//! Everybody's virtual run time is its run time divided by its weight, and the least goes first;
//! so over time each gets in proportion to its weight. Two rules keep old debts and credits from
//! spoiling this:
//!
//! * *Placement.* Who becomes Ready enters near the clock of the pCPUs that it may run on: at
//!   most half a slice of its own ahead of it, which gives a sleeper low latency but no saved-up
//!   time to monopolise a pCPU with; at most two slices behind. Those who were paused together
//!   come back in the order in which they were.
//! * *Bounded credit.* Who is picked while another waits for the same pCPU may lead that other by
//!   a few slices only. Virtual time runs at different speeds where entities are pinned to
//!   different pCPUs, or where one weight is so large that its share exceeds a whole pCPU; when
//!   they meet later, this rule makes them equals within a few slices. With it nobody starves.

use super::entity::{Entity, EntityId, Kick, SchedError, State};
use super::queue::{Class, MAX_PCPUS, Pcpu, REBASE, RunQueue};
use super::tournament::{NOBODY, Tournament};

/// The numbers of the bits set in `mask`.
fn bits(mask: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |pcpu| mask & (1 << pcpu) != 0)
}

/// Who waits. Two words, so that a call returns it in registers.
pub(super) struct Waiting {
    /// The virtual run time of `slot`.
    key: u64,
    /// The first of those that may run on the pCPU asked for, or nobody.
    slot: u16,
    /// The pCPUs on which somebody who is Ready may run.
    pub wanted: u8,
}

impl Waiting {
    /// The first of those that may run on the pCPU asked for, and its virtual run time.
    #[inline(always)]
    pub fn first(&self) -> Option<(u16, u64)> {
        (self.slot != NOBODY).then_some((self.slot, self.key))
    }
}

impl RunQueue {
    /// Who is Ready, for the pCPU of `bit` and for others.
    pub(super) fn waiting(&self, bit: u8) -> Waiting {
        let mut waiting = Waiting { key: u64::MAX, slot: NOBODY, wanted: 0 };
        for class in &self.classes {
            if let Some((slot, key)) = class.ready.first() {
                waiting.wanted |= class.mask;
                if class.mask & bit != 0 && key < waiting.key {
                    (waiting.key, waiting.slot) = (key, slot);
                }
            }
        }
        waiting
    }

    /// Who goes next on `pcpu`: its owner comes before any job.
    pub(super) fn first(&self, pcpu: usize, waiting: &Waiting) -> Option<u16> {
        let owner = self.pcpus[pcpu & 7].owner;
        if owner != NOBODY && self.entities[owner].state == State::Ready {
            return Some(owner);
        }
        waiting.first().map(|(slot, _)| slot)
    }

    /// Enters a Ready `slot` in its tree.
    pub(super) fn enqueue(&mut self, slot: u16) {
        let entity = &self.entities[slot];
        if let Some(class) = self.classes.get_mut(usize::from(entity.class)) {
            class.ready.set(slot, entity.vruntime);
        }
    }

    /// Takes `slot` out of its tree.
    pub(super) fn dequeue(&mut self, slot: u16) {
        if let Some(class) = self.classes.get_mut(usize::from(self.entities[slot].class)) {
            class.ready.clear(slot);
        }
    }

    /// Takes `slot` out of whatever tree holds it: ready, or deadlines.
    pub(super) fn forget(&mut self, slot: u16) {
        if self.entities[slot].state == State::Ready {
            self.dequeue(slot);
        }
        if let Some(pcpu) = self.entities[slot].timer.take() {
            self.pcpus[pcpu as usize & 7].deadlines.clear(slot);
        }
    }

    /// Makes `slot` (Off, Blocked or Paused) Ready and finds it a pCPU: an idle one; else all
    /// that run alone, since they now share; else the one whose occupant is farthest ahead, if
    /// that is worth a switch.
    pub(super) fn make_ready(&mut self, slot: u16, now: u64) -> Kick {
        self.forget(slot);
        self.update_clocks(slot, now);
        self.place(slot);
        let entity = &mut self.entities[slot];
        entity.state = State::Ready;
        entity.since = now;
        self.enqueue(slot);
        let kick = self.offer(slot);
        if kick.is_none() { self.preempt_for(slot, now) } else { kick }
    }

    /// Brings the clocks of those of its pCPUs that run alone up to `now`, if `slot` finds none of
    /// them idle: with nobody waiting, nothing has moved them since their last pick.
    fn update_clocks(&mut self, slot: u16, now: u64) {
        let allowed = self.entities[slot].allowed;
        if allowed & self.idle != 0 {
            return;
        }
        for pcpu in bits(allowed & self.lone) {
            let cpu = &mut self.pcpus[pcpu & 7];
            cpu.clock = cpu.clock.max(reached(&self.entities[cpu.current], now));
        }
    }

    /// Moves the Paused ones of `group`, some of which are about to be resumed, near their clocks:
    /// as far from each other as they were, and the last one still so far ahead of the clock that
    /// it takes the pCPU from who runs there.
    ///
    /// Placement alone would make equals of them, however little they have run since the last time;
    /// and of equals the same one goes first. Where a debugger stops them soon, the others would
    /// never run.
    pub fn regroup(&mut self, group: impl Iterator<Item = EntityId> + Clone, now: u64) {
        // Each by its own clock: those of different pCPUs don't compare.
        let lead = |entity: &Entity| entity.vruntime.wrapping_sub(entity.paused_at) as i64;
        let slots = group.map(|id| id.0);
        let paused = slots.clone().filter(|slot| self.entities[*slot].state == State::Paused);
        let most = paused.map(|slot| lead(&self.entities[slot])).max().unwrap_or(0);
        for slot in slots {
            self.update_clocks(slot, now);
            let entity = &mut self.entities[slot];
            if entity.state == State::Paused {
                let ahead = most.abs_diff(lead(entity)).saturating_add(entity.slice / 8 * 3);
                entity.paused_at = latest(&self.pcpus, entity.allowed);
                entity.vruntime = entity.paused_at.saturating_sub(ahead);
            }
        }
    }

    /// Moves the virtual run time of `slot` to the neighbourhood of the clocks it runs under.
    fn place(&mut self, slot: u16) {
        let entity = &mut self.entities[slot];
        let clock = latest(&self.pcpus, entity.allowed);
        let least = clock.saturating_sub(entity.slice / 2);
        let most = clock.saturating_add(2 * entity.slice);
        entity.vruntime = entity.vruntime.clamp(least, most);
    }

    /// The virtual run time with which `slot` is picked before `rival`, whose key is `key`: its
    /// own, or as much as leaves it two slices of each ahead. So much is an honest gap after
    /// either has run one; a small gap is not looked into.
    pub(super) fn bounded_credit(&self, slot: u16, rival: u16, key: u64) -> u64 {
        let entity = &self.entities[slot];
        if key <= entity.vruntime.saturating_add(entity.slice.saturating_mul(2)) {
            return entity.vruntime;
        }
        key.saturating_sub(2 * (entity.slice + self.entities[rival].slice))
    }

    /// Puts `slot` behind the first of those that wait for the pCPU of `bit`, or one slice back
    /// if that one is farther: an entity that yields often gives up time, not its whole share.
    pub(super) fn give_way(&mut self, slot: u16, bit: u8) {
        let Some((_, key)) = self.waiting(bit).first() else { return };
        let entity = &mut self.entities[slot];
        let back = entity.vruntime.saturating_add(entity.slice);
        entity.vruntime = entity.vruntime.max(back.min(key.saturating_add(1)));
    }

    /// Moves all virtual times back, so that they never overflow. Only differences matter; who
    /// lags by more than is left at zero would be moved up when placed or picked anyway.
    #[cold]
    pub(super) fn rebase(&mut self) {
        for slot in 0..self.entities.slots.len() as u16 {
            let entity = &mut self.entities[slot];
            entity.vruntime = entity.vruntime.saturating_sub(REBASE / 2);
            entity.paused_at = entity.paused_at.saturating_sub(REBASE / 2);
            if entity.state == State::Ready {
                self.enqueue(slot);
            }
        }
        for cpu in &mut self.pcpus {
            cpu.clock = cpu.clock.saturating_sub(REBASE / 2);
        }
    }

    /// The pCPU to take from its occupant for the newly Ready `slot`, if any.
    fn preempt_for(&self, slot: u16, now: u64) -> Kick {
        let entity = &self.entities[slot];
        let mut best = (entity.vruntime.saturating_add(entity.slice / 4), 0);
        // A job is allowed everywhere, and preempts no owner.
        for pcpu in bits(entity.allowed & self.shared) {
            let current = self.pcpus[pcpu & 7].current;
            if current == NOBODY {
                continue;
            }
            let runner = &self.entities[current];
            if runner.allowed & (1 << pcpu) == 0 {
                return Kick::reschedule(1 << pcpu);
            }
            let reached = reached(runner, now);
            if reached > best.0 {
                best = (reached, 1 << pcpu);
            }
        }
        Kick::reschedule(best.1)
    }

    /// Tells the pCPUs that would otherwise never look that `slot` is Ready: an idle one, if it
    /// can be the one that it ran on last, or those that run alone.
    pub(super) fn offer(&mut self, slot: u16) -> Kick {
        let entity = &self.entities[slot];
        let (allowed, last) = (entity.allowed, 1 << (entity.last & 7));
        self.call_restful(allowed, last)
    }

    /// Calls one idle pCPU of `wanted`, `preferred` before others, which looks again when it
    /// picks; else those that run alone, and need a slice end from now on.
    ///
    /// Also after a pick: somebody may still be Ready for a pCPU that does not know, because the
    /// one that was called for him took another. So as long as somebody waits beside a resting
    /// pCPU, some pCPU is on its way to a pick.
    pub(super) fn call_restful(&mut self, wanted: u8, preferred: u8) -> Kick {
        let idle = wanted & self.idle;
        let called = match idle & preferred {
            0 if idle == 0 => wanted & self.lone,
            0 => idle & idle.wrapping_neg(),
            bit => bit,
        };
        self.idle &= !called;
        self.lone &= !called;
        Kick::reschedule(called)
    }

    /// Checks that `pcpu` can be dedicated to one entity, and gives its mask.
    pub(super) fn dedicate(&self, pcpu: usize, affinity: u8) -> Result<u8, SchedError> {
        let bit = self.bit(pcpu)?;
        if self.shared & bit == 0 {
            return Err(SchedError::DedicatedTaken(pcpu));
        }
        let mut others = self.entities.slots.iter();
        if self.shared == bit && others.any(|entity| entity.shares) {
            return Err(SchedError::DedicatedLeavesNone(pcpu));
        }
        let stranded = |entity: &Entity| entity.shares && entity.allowed == bit;
        match self.entities.slots.iter().position(stranded) {
            Some(slot) => Err(SchedError::DedicatedStrands(pcpu, slot)),
            None => Ok(affinity & bit),
        }
    }

    /// Recomputes where `slot` may run; if Ready it changes trees, placed by its new clocks.
    pub(super) fn confine(&mut self, slot: u16) {
        let entity = &self.entities[slot];
        let allowed = entity.affinity & self.shared;
        if allowed == entity.allowed || !entity.shares {
            return;
        }
        self.dequeue(slot);
        let class = self.class_for(allowed);
        let entity = &mut self.entities[slot];
        entity.allowed = allowed;
        entity.class = class;
        if entity.state == State::Ready {
            self.place(slot);
            self.enqueue(slot);
        }
    }

    /// The index of the class of `mask`: one for each of 255 masks at the most.
    pub(super) fn class_for(&mut self, mask: u8) -> u8 {
        let known = self.classes.iter().position(|class| class.mask == mask);
        known.unwrap_or_else(|| {
            let ready = Tournament::new(self.room());
            self.classes.push(Class { mask, ready });
            self.classes.len() - 1
        }) as u8
    }

    /// Slots that a tree has: as many as there are, for the first ones' ways up are the shorter the
    /// fewer follow; above some dozens, not a new tree for each.
    fn room(&self) -> usize {
        match self.entities.slots.len() {
            slots @ ..64 => slots.max(1),
            slots => slots.next_multiple_of(64),
        }
    }

    /// Makes each tree large enough for all slots.
    pub(super) fn fit_trees(&mut self) {
        let capacity = self.room();
        for class in &mut self.classes {
            class.ready.grow(capacity);
        }
        for cpu in &mut self.pcpus {
            cpu.deadlines.grow(capacity);
        }
    }
}

/// The latest of the clocks of the pCPUs in `mask`.
pub(super) fn latest(pcpus: &[Pcpu; MAX_PCPUS], mask: u8) -> u64 {
    bits(mask).map(|pcpu| pcpus[pcpu & 7].clock).max().unwrap_or(0)
}

/// The virtual run time that a running entity has reached at `now`.
fn reached(runner: &Entity, now: u64) -> u64 {
    runner.vruntime.wrapping_add(runner.virtual_time(now.saturating_sub(runner.since)))
}
