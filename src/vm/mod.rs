//! Virtual machines: description, images, the guest's device tree, life cycle.

#[cfg(target_os = "none")]
mod clean;
pub mod description;
mod frame;
pub mod image;
#[cfg(target_os = "none")]
mod instance;
pub mod layout;
pub mod life;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod prepare;
#[cfg(target_os = "none")]
pub mod schedule;
#[cfg(target_os = "none")]
mod start;
#[cfg(target_os = "none")]
mod stolen;
pub mod tree;
#[cfg(target_os = "none")]
mod vcpu;

pub use frame::Frame;
#[cfg(target_os = "none")]
pub use instance::{Vm, by_id, note_failure, off_if_last, stay};
#[cfg(target_os = "none")]
pub use start::{Blob, start_all};
#[cfg(target_os = "none")]
pub use vcpu::{State, Vcpu};
