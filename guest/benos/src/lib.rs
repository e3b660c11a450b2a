//! BenOS: a small teaching operating system, to see what an OS at EL1 does.
//!
//! It boots, sets up exceptions, memory, interrupts and a clock, runs two threads, goes to EL0 and
//! back, calls whoever is below, survives a bad access, starts a second CPU, and offers a shell.
//! It runs on QEMU's `virt` board and, unchanged, in a virtual machine of Mezzanine.
//!
//! Read it in this order:
//!
//! | file | what you see there |
//! |---|---|
//! | [`boot`] | the order in which an OS comes up |
//! | [`irq`] | what happens on an interrupt |
//! | [`tick`] | a clock of 100 Hz from the timer |
//! | [`sched`] | threads and their round robin |
//! | [`user`] | EL0, system calls |
//! | [`cpus`] | a second CPU, and interrupts between CPUs |
//! | [`input`], [`shell`] | receiving by interrupt, commands |
//!
//! What is closer to the machine (first instructions, vectors, page tables, GIC) is in the crate
//! `guest_rt`, which is meant to be read as well.
//!
//! With the word `batch` in the boot arguments the shell gets a script in place of a keyboard, and
//! the machine is switched off at its end.
#![cfg(target_os = "none")]
#![no_std]

pub mod boot;
pub mod cpus;
pub mod input;
pub mod irq;
pub mod sched;
pub mod shell;
pub mod tick;
pub mod user;
