//! The timeline: a ring of records a pCPU, of what crosses EL2; and how long that takes.
//!
//! It is always there, and off until somebody asks for it. A vCPU's exits pay nothing for that: the run
//! loop has a twin that watches (`exit::watch`), and which of the two runs a vCPU is decided when it is
//! loaded. What is told of elsewhere costs a load and a branch.
//!
//! A ring is written by its own pCPU alone, at EL2, where nothing interrupts it: so a record is four
//! stores and a count, without a lock. What it overwrites when it is full, the count tells.

use cfg_if::cfg_if;

pub mod format;
mod times;

pub use times::{ExitTimes, Span, Times};

cfg_if! {
    if #[cfg(target_os = "none")] {
        mod rings;

        pub use rings::{
            Error, RECORDS, TIMES, begin, chunk, end, is_on, is_watched, note, watch,
        };
    }
}
