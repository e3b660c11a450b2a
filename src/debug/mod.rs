//! A gdb stub for guests: an ordinary gdb debugs one VM at a time, while the others run on.
//!
//! [`session`] speaks gdb's protocol, by the crate `gdbstub`, over bytes; [`target`] turns it into
//! what is asked of a [`target::Machine`]; [`registers`] and [`slots`] are what gdb sees of a vCPU
//! and what it may put into its debug registers. All that is pure. The machine's side, `machine`,
//! is VMs; `service` moves bytes between a session and a virtio console, and is nobody's business on
//! a machine that has none.

use cfg_if::cfg_if;

pub mod registers;
pub mod session;
pub mod slots;
pub mod target;

cfg_if! {
    // What needs the machine itself.
    if #[cfg(target_os = "none")] {
        mod machine;
        mod service;

        pub use machine::stops;
        pub use service::{start, wake};
    }
}
