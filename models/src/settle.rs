//! vCPUs that access what lies in each other's list registers, and wait until it is folded: the real
//! `Vgic` and run queue, the CPU interface of the vGIC's own tests, and the steps of `Guest::settle`
//! and the run loop between their locks.
//!
//! A step is one section under a lock, or one look at a pCPU's attention. So no lock is held while
//! a vCPU waits, and whatever others do may come between two looks of its loop. `Presence` is taken
//! as atomic, which `presence` shows that it is; of kicks to pCPUs that sleep `scheduler` knows: a
//! free one may pick here at any time.
//!
//! The registers show 32 interrupts, of which each vCPU has one here. What is read of each must have
//! been so at some moment of the access; that moment may be another for each vCPU.

#[path = "../../src/device/vgic/tests/hardware.rs"]
#[allow(dead_code, reason = "the vGIC's own tests use all of it")]
mod hardware;
mod sections;
mod steps;
mod tests;
mod world;

// What `hardware` looks for in the module above it.
use mezzanine::device::vgic::{CpuInterface, lr};
