//! What the run queue schedules, and the values that go in and out of it.

use core::fmt;

/// Names one entity of a [`RunQueue`](super::RunQueue): a slot and the slot's generation, so that
/// an id kept after `remove` is refused rather than taken for the slot's next owner.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EntityId {
    pub(super) slot: u16,
    pub(super) generation: u16,
}

impl EntityId {
    /// The slot: small, unique among the entities that exist, and free for the caller to index a
    /// table of its own with.
    pub const fn slot(self) -> usize {
        self.slot as usize
    }
}

impl fmt::Debug for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

impl fmt::Display for EntityId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "e{}.{}", self.slot, self.generation)
    }
}

/// Where an entity is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum State {
    /// Not started, or ended: takes no part.
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
    /// It stops until `resume`.
    Pause,
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

    /// Both together.
    pub const fn and(self, other: Self) -> Self {
        Self { reschedule: self.reschedule | other.reschedule, notice: self.notice | other.notice }
    }
}

/// What an entity has used, in counter ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Account {
    /// Ticks on a pCPU, up to the last `put`.
    pub run: u64,
    /// Ticks spent Ready, up to the last `pick`: runnable, but others were preferred.
    pub wait: u64,
    /// How often it was picked by another pCPU than before.
    pub moves: u64,
}

/// Why the run queue refused a call. Nothing was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SchedError {
    /// The number of pCPUs is not 1 to 8.
    PcpuCount {
        /// The number given.
        found: usize,
    },
    /// No such pCPU.
    NoSuchPcpu {
        /// The number given.
        pcpu: usize,
        /// How many there are.
        pcpus: usize,
    },
    /// `pick` on a pCPU that has not put back what it runs.
    PcpuBusy {
        /// The pCPU.
        pcpu: usize,
    },
    /// No entity has this id, or it was removed.
    UnknownEntity {
        /// The id given.
        id: EntityId,
    },
    /// The operation is not allowed in the entity's state.
    InvalidTransition {
        /// The entity.
        id: EntityId,
        /// Its state.
        from: State,
        /// The operation refused.
        operation: &'static str,
    },
    /// A weight of zero would never run.
    ZeroWeight,
    /// No pCPU is left that the entity may run on.
    NoPcpuAllowed {
        /// The affinity mask asked for.
        affinity: u8,
        /// The pCPUs that exist and are not dedicated to another.
        usable: u8,
    },
    /// The pCPU is dedicated to another entity already.
    DedicatedTaken {
        /// The pCPU.
        pcpu: usize,
    },
    /// Dedicating this pCPU would leave none for shared entities and jobs.
    DedicatedLeavesNone {
        /// The pCPU.
        pcpu: usize,
    },
    /// Dedicating this pCPU would leave another entity without any.
    DedicatedStrands {
        /// The pCPU.
        pcpu: usize,
        /// The entity whose affinity allows no other.
        id: EntityId,
    },
    /// The queue holds as many entities as it can name.
    TooManyEntities {
        /// The limit.
        limit: usize,
    },
}

impl fmt::Display for SchedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::PcpuCount { found } => write!(f, "run queue for {found} pCPUs: wanted 1 to 8"),
            Self::NoSuchPcpu { pcpu, pcpus } => {
                write!(f, "pCPU {pcpu} does not exist: wanted one below {pcpus}")
            }
            Self::PcpuBusy { pcpu } => {
                write!(f, "pick on pCPU {pcpu}: what it runs was not put back")
            }
            Self::UnknownEntity { id } => write!(f, "entity {id} does not exist"),
            Self::InvalidTransition { id, from, operation } => {
                write!(f, "entity {id}: {operation} is not allowed in state {from:?}")
            }
            Self::ZeroWeight => write!(f, "weight 0: wanted at least 1"),
            Self::NoPcpuAllowed { affinity, usable } => {
                write!(f, "affinity {affinity:#x} allows no pCPU: wanted one of {usable:#x}")
            }
            Self::DedicatedTaken { pcpu } => {
                write!(f, "pCPU {pcpu} is dedicated to another vCPU already")
            }
            Self::DedicatedLeavesNone { pcpu } => {
                write!(f, "dedicating pCPU {pcpu} would leave no pCPU for the shared vCPUs")
            }
            Self::DedicatedStrands { pcpu, id } => {
                write!(f, "dedicating pCPU {pcpu} would leave entity {id} without a pCPU")
            }
            Self::TooManyEntities { limit } => write!(f, "more than {limit} entities"),
        }
    }
}

/// What was asked of a running entity; takes effect at its next `put`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Request {
    None,
    Pause,
    Stop,
}

/// One slot of the run queue.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Entity {
    pub generation: u16,
    pub vacant: bool,
    pub state: State,
    pub request: Request,
    /// Woken while running: a `Block` that follows must not sleep.
    pub token: bool,
    /// The pCPU that it owns.
    pub dedicated: Option<u8>,
    /// A job: may run on every pCPU that its owner has no use for.
    pub job: bool,
    /// The pCPUs asked for, and those that remain without the ones dedicated to others.
    pub affinity: u8,
    pub allowed: u8,
    /// Index of the class whose mask is `allowed`.
    pub class: usize,
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
    /// Counter value when it became Ready or Running.
    pub since: u64,
    pub account: Account,
}

/// Virtual run time per tick at weight 1. A larger scale loses less to rounding at big weights.
const SCALE: u64 = 256;

impl Entity {
    /// A slot that nobody has used.
    pub fn new() -> Self {
        Self {
            generation: 0,
            vacant: true,
            state: State::Off,
            request: Request::None,
            token: false,
            dedicated: None,
            job: false,
            affinity: 0,
            allowed: 0,
            class: 0,
            last: 0,
            timer: None,
            rate: 0,
            slice: 0,
            vruntime: 0,
            since: 0,
            account: Account { run: 0, wait: 0, moves: 0 },
        }
    }

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
