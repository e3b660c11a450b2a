//! Mezzanine: a bare-metal Type-1 hypervisor for AArch64.
//!
//! The library holds every room of the house but the front door (`main.rs`). [`el2`], the
//! drivers of [`platform`] and what runs guests ([`exit`], [`vm`]) need the machine; all the rest
//! is plain Rust that also compiles, and is tested, on the host. `docs/architecture.md` has the map.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod console;
pub mod debug;
pub mod device;
#[cfg(target_os = "none")]
pub mod el2;
pub mod exit;
pub mod memory;
pub mod monitor;
pub mod platform;
pub mod sched;
pub mod trace;
pub mod vm;
