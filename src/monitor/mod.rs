//! The operator's monitor: a prompt on the console, beside the VMs, and commands that look at them and
//! move them through their lives while they run on.
//!
//! ```text
//!  keys, or `monitor="…"` ─▶ prompt ─▶ command ─▶ task ─▶ ask ──▶ vm, sched, el2
//!                              │                   │       └───▶ answer, words, table
//!                              └──▶ what is shown ◀┘
//! ```
//!
//! [`service`] does that slice by slice, with no vCPU loaded and no lock held. It, [`task`] and
//! [`ask`] need the machine; all the rest is pure.

pub mod answer;
pub mod command;
pub mod prompt;
pub mod words;

cfg_if::cfg_if! {
    if #[cfg(target_os = "none")] {
        mod ask;
        mod service;
        mod task;

        pub use service::{init, take_keys};
    }
}
