//! The scheduler: which entity runs on which pCPU, and who must be told when that changes.
//!
//! A vCPU is to the hypervisor what a thread is to an operating system, and the states are those
//! of the textbook:
//!
//! ```text
//!          start            pick               put(Block)
//!   Off ──────────▶ Ready ◀──────▶ Running(p) ──────────▶ Blocked
//!    ▲                ▲    put                               │
//!    │ stop, put(Off) └────────── wake, expire ◀─────────────┘
//!                       pause / resume: any state but Off ⇄ Paused
//! ```
//!
//! [`RunQueue`] is the whole of it: one structure for all pCPUs, a plain value without locks,
//! time source or interrupts of its own. The caller holds one short spin lock around each call,
//! passes the counter's value (ticks, never assumed to be nanoseconds) and delivers the [`Kick`]
//! that a call returns. One queue instead of one a pCPU, because three equal vCPUs on two pCPUs
//! then get two thirds each without any balancing.
//!
//! Who waits while nobody else wants its pCPU needn't leave it: [`RunQueue::rest`] makes that pCPU
//! idle for all others, with the entity still Running there.
//!
//! Beside vCPUs it schedules *jobs*: zeroing, loading and tear-down of a VM's memory, run in
//! slices. To the queue both are entities; the caller maps ids to things.
//!
//! [`Presence`] is the other half of a kick, the part without a lock: how a pCPU that is about to
//! enter a guest and a peer that has news for it cannot miss each other.

mod entity;
mod kick;
mod policy;
mod queue;
mod tournament;

pub use entity::{Account, EntityId, Kick, Pick, Reason, SchedError, State};
pub use kick::{AtomicWord, Presence, Snapshot};
pub use queue::{MAX_ENTITIES, MAX_PCPUS, RunQueue};

#[cfg(test)]
mod tests;
