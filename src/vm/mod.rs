//! Virtual machines: description, images, the guest's device tree, life cycle.

use cfg_if::cfg_if;

pub mod description;
pub mod exits;
mod frame;
pub mod image;
pub mod layout;
pub mod life;
pub mod tree;

pub use frame::Frame;

cfg_if! {
    // What needs the machine itself.
    if #[cfg(target_os = "none")] {
        mod clean;
        mod inspect;
        mod instance;
        mod memory;
        mod prepare;
        pub mod schedule;
        mod start;
        mod stolen;
        mod vcpu;
        pub mod watch;

        pub use instance::{Vm, all, by_id, note_failure, one_less, one_more, stay};
        pub use start::{Blob, start_all};
        pub use vcpu::{State, Vcpu};
    }
}
