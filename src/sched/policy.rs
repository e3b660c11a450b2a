//! What the run queue prefers: who goes first, where a newcomer enters the race, and which pCPU
//! hears of it.
//!
//! Everybody's virtual run time is its run time divided by its weight, and the least goes first;
//! so over time each gets in proportion to its weight. Two rules keep old debts and credits from
//! spoiling this:
//!
//! * *Placement.* Who becomes Ready enters near the clock of the pCPUs that it may run on: at
//!   most half a slice of its own ahead of it, which gives a sleeper low latency but no saved-up
//!   time to monopolise a pCPU with; at most two slices behind.
//! * *Bounded credit.* Who is picked while another waits for the same pCPU may lead that other by
//!   a few slices only. Virtual time runs at different speeds where entities are pinned to
//!   different pCPUs, or where one weight is so large that its share exceeds a whole pCPU; when
//!   they meet later, this rule makes them equals within a few slices. With it nobody starves.

use super::entity::{Entity, Kick, SchedError, State};
use super::queue::{Class, REBASE, RunQueue};
use super::tournament::Tournament;

/// The numbers of the bits set in `mask`.
fn bits(mask: u8) -> impl Iterator<Item = usize> {
    (0..8).filter(move |pcpu| mask & (1 << pcpu) != 0)
}

/// Who waits.
pub(super) struct Waiting {
    /// The first of those that may run on the pCPU asked for, and its virtual run time.
    pub first: Option<(u16, u64)>,
    /// The pCPUs on which somebody who is Ready may run.
    pub wanted: u8,
}

impl RunQueue {
    /// Who is Ready, for the pCPU of `bit` and for others.
    pub(super) fn waiting(&self, bit: u8) -> Waiting {
        let mut waiting = Waiting { first: None, wanted: 0 };
        let mut least = u64::MAX;
        for class in &self.classes {
            if let Some((slot, key)) = class.ready.first() {
                waiting.wanted |= class.mask;
                if class.mask & bit != 0 && key < least {
                    least = key;
                    waiting.first = Some((slot, key));
                }
            }
        }
        waiting
    }

    /// Takes the entity that `pcpu` is dedicated to, if it is Ready: it comes before any job.
    pub(super) fn take_owner(&mut self, pcpu: usize) -> Option<u16> {
        let owner = self.pcpus[pcpu & 7].owner;
        let entity = self.entities.get(usize::from(owner))?;
        if entity.state != State::Ready {
            return None;
        }
        self.classes.get_mut(entity.class)?.ready.clear(owner);
        Some(owner)
    }

    /// Takes the first of those that wait for the pCPU of `bit` out of its tree.
    pub(super) fn take_first(&mut self, bit: u8) -> Option<u16> {
        let mut best = None;
        let mut least = u64::MAX;
        for class in &mut self.classes {
            if class.mask & bit != 0
                && let Some((slot, key)) = class.ready.first()
                && key < least
            {
                least = key;
                best = Some((class, slot));
            }
        }
        let (class, slot) = best?;
        class.ready.clear(slot);
        Some(slot)
    }

    /// Enters a Ready `slot` in its tree.
    pub(super) fn enqueue(&mut self, slot: u16) {
        if let Some(entity) = self.entities.get(slot as usize)
            && let Some(class) = self.classes.get_mut(entity.class)
        {
            class.ready.set(slot, entity.vruntime);
        }
    }

    /// Takes `slot` out of its tree.
    pub(super) fn dequeue(&mut self, slot: u16) {
        if let Some(entity) = self.entities.get(slot as usize)
            && let Some(class) = self.classes.get_mut(entity.class)
        {
            class.ready.clear(slot);
        }
    }

    /// Takes `slot` out of whatever tree holds it: ready, or deadlines.
    pub(super) fn forget(&mut self, slot: u16) {
        let Some(entity) = self.entities.get_mut(slot as usize) else {
            return;
        };
        let timer = entity.timer.take();
        if entity.state == State::Ready {
            self.dequeue(slot);
        }
        if let Some(pcpu) = timer {
            self.pcpus[pcpu as usize & 7].deadlines.clear(slot);
        }
    }

    /// Makes `slot` (Off, Blocked or Paused) Ready and finds it a pCPU: an idle one; else all
    /// that run alone, since they now share; else the one whose occupant is farthest ahead, if
    /// that is worth a switch.
    pub(super) fn make_ready(&mut self, slot: u16, now: u64) -> Kick {
        self.forget(slot);
        let Some(entity) = self.entities.get(slot as usize) else {
            return Kick::NONE;
        };
        if entity.allowed & self.idle == 0 {
            self.update_clocks(entity.allowed, now);
        }
        self.place(slot);
        if let Some(entity) = self.entities.get_mut(slot as usize) {
            entity.state = State::Ready;
            entity.since = now;
        }
        self.enqueue(slot);
        let kick = self.offer(slot);
        if kick.is_none() { self.preempt_for(slot, now) } else { kick }
    }

    /// Brings the clocks of those of `mask` that run alone up to `now`: with nobody waiting,
    /// nothing has moved them since their last pick.
    fn update_clocks(&mut self, mask: u8, now: u64) {
        for pcpu in bits(mask & self.lone) {
            let cpu = &mut self.pcpus[pcpu & 7];
            if let Some(runner) = self.entities.get(cpu.current as usize) {
                cpu.clock = cpu.clock.max(reached(runner, now));
            }
        }
    }

    /// Moves the virtual run time of `slot` to the neighbourhood of the clocks it runs under.
    fn place(&mut self, slot: u16) {
        let Some(entity) = self.entities.get_mut(slot as usize) else {
            return;
        };
        let clocks = bits(entity.allowed).map(|pcpu| self.pcpus[pcpu & 7].clock);
        let Some(clock) = clocks.max() else { return };
        let least = clock.saturating_sub(entity.slice / 2);
        let most = clock.saturating_add(2 * entity.slice);
        entity.vruntime = entity.vruntime.clamp(least, most);
    }

    /// The virtual run time with which `slot` is picked before `rival`, whose key is `key`: its
    /// own, or as much as leaves it two slices of each ahead. So much is an honest gap after
    /// either has run one; a small gap is not looked into.
    pub(super) fn bounded_credit(&self, slot: u16, rival: u16, key: u64) -> u64 {
        let Some(entity) = self.entities.get(slot as usize) else {
            return 0;
        };
        if key <= entity.vruntime.saturating_add(entity.slice.saturating_mul(2)) {
            return entity.vruntime;
        }
        let rival_slice = self.entities.get(rival as usize).map_or(0, |rival| rival.slice);
        key.saturating_sub(2 * (entity.slice + rival_slice))
    }

    /// Puts `slot` behind the first of those that wait for the pCPU of `bit`, or one slice back
    /// if that one is farther: an entity that yields often gives up time, not its whole share.
    pub(super) fn give_way(&mut self, slot: u16, bit: u8) {
        if let Some((_, key)) = self.waiting(bit).first
            && let Some(entity) = self.entities.get_mut(slot as usize)
        {
            let back = entity.vruntime.saturating_add(entity.slice);
            entity.vruntime = entity.vruntime.max(back.min(key.saturating_add(1)));
        }
    }

    /// Moves all virtual times back, so that they never overflow. Only differences matter; who
    /// lags by more than is left at zero would be moved up when placed or picked anyway.
    #[cold]
    pub(super) fn rebase(&mut self) {
        for slot in 0..self.entities.len() {
            if let Some(entity) = self.entities.get_mut(slot) {
                entity.vruntime = entity.vruntime.saturating_sub(REBASE / 2);
                if entity.state == State::Ready {
                    self.enqueue(slot as u16);
                }
            }
        }
        for cpu in &mut self.pcpus {
            cpu.clock = cpu.clock.saturating_sub(REBASE / 2);
        }
    }

    /// Tells the pCPUs that would otherwise never look that `slot` is Ready: an idle one, or
    /// those that run alone and need a slice end from now on.
    pub(super) fn offer(&mut self, slot: u16) -> Kick {
        let Some(entity) = self.entities.get(slot as usize) else {
            return Kick::NONE;
        };
        let idle = self.idle & entity.allowed;
        if idle != 0 {
            let last = 1 << (entity.last & 7);
            let bit = if idle & last != 0 { last } else { idle & idle.wrapping_neg() };
            self.idle &= !bit;
            return Kick::reschedule(bit);
        }
        let lone = self.lone & entity.allowed;
        self.lone &= !lone;
        Kick::reschedule(lone)
    }

    /// The pCPU to take from its occupant for the newly Ready `slot`, if any.
    fn preempt_for(&self, slot: u16, now: u64) -> Kick {
        let Some(entity) = self.entities.get(slot as usize) else {
            return Kick::NONE;
        };
        let mut best = (entity.vruntime.saturating_add(entity.slice / 4), 0);
        // A job is allowed everywhere, and preempts no owner.
        for pcpu in bits(entity.allowed & self.shared) {
            let Some(runner) = self.entities.get(self.pcpus[pcpu & 7].current as usize) else {
                continue;
            };
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

    /// After a pick: somebody may still be Ready for a pCPU that does not know, because the one
    /// that was called for him took another. One idle pCPU is called, which looks again when it
    /// picks; else those that run alone. So as long as somebody waits beside a resting pCPU, some
    /// pCPU is on its way to a pick.
    pub(super) fn call_restful(&mut self, wanted: u8) -> Kick {
        let idle = wanted & self.idle;
        let called = if idle != 0 { idle & idle.wrapping_neg() } else { wanted & self.lone };
        self.idle &= !called;
        self.lone &= !called;
        Kick::reschedule(called)
    }

    /// Checks that `pcpu` can be dedicated to one entity, and gives its mask.
    pub(super) fn dedicate(&self, pcpu: usize, affinity: u8) -> Result<u8, SchedError> {
        if pcpu >= self.count {
            return Err(SchedError::NoSuchPcpu { pcpu, pcpus: self.count });
        }
        let bit = 1 << (pcpu & 7);
        if self.shared & bit == 0 {
            return Err(SchedError::DedicatedTaken { pcpu });
        }
        let shares = |entity: &Entity| !entity.vacant && entity.dedicated.is_none() && !entity.job;
        if self.shared == bit && self.entities.iter().any(shares) {
            return Err(SchedError::DedicatedLeavesNone { pcpu });
        }
        for (slot, entity) in self.entities.iter().enumerate() {
            if !entity.vacant && entity.allowed == bit && !entity.job {
                let id = super::EntityId { slot: slot as u16, generation: entity.generation };
                return Err(SchedError::DedicatedStrands { pcpu, id });
            }
        }
        Ok(affinity & bit)
    }

    /// Recomputes where each entity may run, after `shared` changed.
    pub(super) fn confine_all(&mut self) {
        for slot in 0..self.entities.len() {
            if self.entities.get(slot).is_some_and(|e| !e.vacant && e.dedicated.is_none() && !e.job)
            {
                self.confine(slot as u16);
            }
        }
    }

    /// Recomputes where `slot` may run; if Ready it changes trees, placed by its new clocks.
    pub(super) fn confine(&mut self, slot: u16) {
        let Some(entity) = self.entities.get(slot as usize) else {
            return;
        };
        let (allowed, class, state) = (entity.affinity & self.shared, entity.class, entity.state);
        if allowed == entity.allowed {
            return;
        }
        self.dequeue(slot);
        let new_class = self.class_for(allowed);
        self.leave_class(class);
        if let Some(entity) = self.entities.get_mut(slot as usize) {
            entity.allowed = allowed;
            entity.class = new_class;
        }
        if state == State::Ready {
            self.place(slot);
            self.enqueue(slot);
        }
    }

    /// The index of the class of `mask`, with one member more.
    pub(super) fn class_for(&mut self, mask: u8) -> usize {
        let found = self.classes.iter().position(|class| class.members != 0 && class.mask == mask);
        let free = || self.classes.iter().position(|class| class.members == 0);
        let index = found.or_else(free).unwrap_or(self.classes.len());
        if index == self.classes.len() {
            let ready = Tournament::new(self.entities.len().next_power_of_two());
            self.classes.push(Class { mask, members: 0, ready });
        }
        if let Some(class) = self.classes.get_mut(index) {
            class.mask = mask;
            class.members += 1;
        }
        index
    }

    /// One member of the class less. An empty class is kept for the next mask.
    pub(super) fn leave_class(&mut self, class: usize) {
        if let Some(class) = self.classes.get_mut(class) {
            class.members = class.members.saturating_sub(1);
        }
    }

    /// Makes each tree large enough for all slots.
    pub(super) fn fit_trees(&mut self) {
        let capacity = self.entities.len().next_power_of_two();
        for class in &mut self.classes {
            class.ready.grow(capacity);
        }
        for cpu in &mut self.pcpus {
            cpu.deadlines.grow(capacity);
        }
    }
}

/// The virtual run time that a running entity has reached at `now`.
fn reached(runner: &Entity, now: u64) -> u64 {
    runner.vruntime.wrapping_add(runner.virtual_time(now.saturating_sub(runner.since)))
}
