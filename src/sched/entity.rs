//! What the run queue schedules, and the values that go in and out of it.

use alloc::vec::Vec;
use core::ops::{Index, IndexMut};

use thiserror::Error;

/// Names one entity of a [`RunQueue`](super::RunQueue).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
pub struct EntityId(pub(super) u16);

impl EntityId {
    /// The slot: small, unique, and free for the caller to index a table of its own with.
    pub const fn slot(self) -> usize {
        self.0 as usize
    }
}

/// Where an entity is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum State {
    /// Not started, or ended: takes no part.
    #[default]
    Off,
    /// Waits for a pCPU.
    Ready,
    /// Was picked by this pCPU and not yet put back. No two entities carry the same number.
    Running(u8),
    /// Waits for a wake-up or for its deadline.
    Blocked,
    /// Held by the operator until `resume`.
    Paused,
}

/// Why an entity comes back from its pCPU.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    /// It gives way of its own accord (WFE, YIELD): behind the next one that waits here.
    Yield,
    /// Its slice is over, or a kick asked for the pCPU.
    Preempted,
    /// It waits (WFI, or for a job) until `wake`, or until the counter reaches `deadline`.
    Block {
        /// Counter value of its earliest timer, if one is armed.
        deadline: Option<u64>,
    },
    /// It ended (PSCI CPU_OFF, a fault, the last slice of a job).
    Off,
}

/// What a pCPU does next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// Run this entity.
    Run {
        /// Which one.
        id: EntityId,
        /// Counter value at which its slice ends; `None` when nobody waits for this pCPU, so that
        /// no preemption timer is needed. When that changes, a kick tells.
        slice_end: Option<u64>,
        /// [`Account::wait`] by now: what it was kept waiting for pCPUs in all.
        waited: u64,
        /// pCPUs to kick because of this choice.
        kick: Kick,
    },
    /// Nothing to run: sleep in WFI until a kick, an interrupt, or the next deadline.
    Idle {
        /// pCPUs to kick because of this choice.
        kick: Kick,
    },
}

/// The pCPUs that a call wants told, as bit masks (bit p for pCPU p). May include the caller's
/// own, which then acts without an interrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[must_use = "a kick that is not delivered is a lost wake-up"]
pub struct Kick {
    /// Must come to `put` and `pick`: an idle one has work, a running one has competition.
    pub reschedule: u8,
    /// Runs an entity that was woken while running: it must leave the guest and look at its
    /// pending interrupts, and needs the run queue for nothing.
    pub notice: u8,
}

impl Kick {
    /// Nobody.
    pub const NONE: Self = Self { reschedule: 0, notice: 0 };

    pub(super) const fn reschedule(mask: u8) -> Self {
        Self { reschedule: mask, notice: 0 }
    }

    /// Whether nobody has to be told.
    pub const fn is_none(self) -> bool {
        self.reschedule | self.notice == 0
    }

    /// Whether `pcpu`, which asks, is called to the run queue itself; and the others.
    pub const fn split(self, pcpu: usize) -> (bool, Self) {
        let own = 1 << (pcpu & 7);
        let others = Self { reschedule: self.reschedule & !own, notice: self.notice };
        (self.reschedule & own != 0, others)
    }

    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self { reschedule: self.reschedule | other.reschedule, notice: self.notice | other.notice }
    }
}

/// What an entity has used, in counter ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Account {
    /// Ticks on a pCPU, those at rest left out, up to the last `put` or `rest`.
    pub run: u64,
    /// Ticks spent Ready, up to the last `pick`: runnable, but others were preferred.
    pub wait: u64,
    /// How often it was picked by another pCPU than before.
    pub moves: u64,
}

/// Why the run queue refused a call. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SchedError {
    /// Another number of pCPUs than 1 to 8.
    #[error("run queue for {0} pCPUs: wanted 1 to 8")]
    PcpuCount(usize),
    /// No such pCPU: its number, and how many there are.
    #[error("pCPU {0} does not exist: wanted one below {1}")]
    NoSuchPcpu(usize, usize),
    /// `pick` on a pCPU that has not put back what it runs.
    #[error("pick on pCPU {0}: what it runs was not put back")]
    PcpuBusy(usize),
    /// No entity has this slot.
    #[error("entity {0} does not exist")]
    UnknownEntity(usize),
    /// An operation that is not allowed in the entity's state: its slot, both.
    #[error("entity {0}: {2} is not allowed in state {1:?}")]
    InvalidTransition(usize, State, &'static str),
    /// A weight of zero would never run.
    #[error("weight 0: wanted at least 1")]
    ZeroWeight,
    /// No pCPU is left that the entity may run on: the affinity mask asked for, and the pCPUs
    /// that exist and are not dedicated to another.
    #[error("affinity {0:#x} allows no pCPU: wanted one of {1:#x}")]
    NoPcpuAllowed(u8, u8),
    /// The pCPU is dedicated to another entity already.
    #[error("pCPU {0} is dedicated to another vCPU already")]
    DedicatedTaken(usize),
    /// Dedicating this pCPU would leave none for shared entities.
    #[error("dedicating pCPU {0} would leave no pCPU for the shared vCPUs")]
    DedicatedLeavesNone(usize),
    /// Dedicating this pCPU would leave another entity, whose affinity allows no other, without
    /// any: its slot.
    #[error("dedicating pCPU {0} would leave entity {1} without a pCPU")]
    DedicatedStrands(usize, usize),
    /// The queue holds as many entities as it can name.
    #[error("more than {0} entities")]
    TooManyEntities(usize),
}

/// What was asked of a running entity; takes effect at its next `put`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Request {
    #[default]
    None,
    Pause,
    Stop,
}

/// One slot of the run queue.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Entity {
    pub state: State,
    pub request: Request,
    /// Woken while running: a `Block` that follows must not sleep.
    pub token: bool,
    /// Shares pCPUs with others: neither has one dedicated to it, nor is a job, which may run on
    /// every pCPU that its owner has no use for.
    pub shares: bool,
    /// The pCPUs asked for, and those that remain without the ones dedicated to others.
    pub affinity: u8,
    pub allowed: u8,
    /// Index of the class whose mask is `allowed`.
    pub class: u8,
    /// The pCPU that it ran on last: where its cache lines may still be.
    pub last: u8,
    /// The pCPU whose timer holds its deadline.
    pub timer: Option<u8>,
    /// Virtual run time of one tick, in 2^-32.
    pub rate: u64,
    /// Virtual run time of one slice, at most 2^48: a few of them never overflow.
    pub slice: u64,
    /// Virtual run time: what it has run, divided by its weight.
    pub vruntime: u64,
    /// What its clock showed when it was paused.
    pub paused_at: u64,
    /// Counter value when it became Ready or Running.
    pub since: u64,
    pub account: Account,
}

/// Virtual run time per tick at weight 1. A larger scale loses less to rounding at big weights.
const SCALE: u64 = 256;

impl Entity {
    /// Sets the weight; `slice` in ticks. Dividing here makes the charge at each `put` a
    /// multiplication.
    pub fn set_weight(&mut self, weight: u32, slice: u64) {
        self.rate = (SCALE << 32) / u64::from(weight.max(1));
        self.slice = self.virtual_time(slice);
    }

    /// `ticks` of the counter in virtual run time, at least 1 so that no run is free: with free
    /// runs equal keys would always go to the same slot.
    pub const fn virtual_time(&self, ticks: u64) -> u64 {
        let time = ((ticks as u128 * self.rate as u128) >> 32) as u64;
        if time == 0 { 1 } else { time }
    }
}

/// All entities by slot. Total: a slot that does not exist is an entity that is Off and allowed
/// nowhere, and what is written to it has no effect on any other.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Entities {
    pub slots: Vec<Entity>,
    nobody: Entity,
}

impl Index<u16> for Entities {
    type Output = Entity;

    fn index(&self, slot: u16) -> &Entity {
        self.slots.get(slot as usize).unwrap_or(&self.nobody)
    }
}

impl IndexMut<u16> for Entities {
    fn index_mut(&mut self, slot: u16) -> &mut Entity {
        self.slots.get_mut(slot as usize).unwrap_or(&mut self.nobody)
    }
}
