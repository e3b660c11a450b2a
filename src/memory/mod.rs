//! Memory: addresses, frames, stage-2 tables and checked access to guest memory.

mod addr;
pub mod frames;
#[cfg(target_os = "none")]
pub mod guest;
#[cfg(target_os = "none")]
pub mod heap;
pub mod stage2;
#[cfg(target_os = "none")]
pub mod tables;
pub mod walk;

pub use addr::{BLOCK_SIZE, GIB, Ipa, PAGE_SIZE, Pa, Va, align_up};
