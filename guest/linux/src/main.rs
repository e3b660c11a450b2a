//! `strain`: a program for Linux guests that strains what a hypervisor could get wrong, and checks
//! every result: FP registers over switches, forks, mappings and their faults, pipes, timers,
//! signals. It needs nothing but the kernel: no C library, and no target that is not here anyway.
//!
//! `strain [ROUNDS]` prints a line for each part and ends with `STRAIN pass`, or with `STRAIN FAIL`
//! and status 1.

#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod linux;
#[cfg(target_os = "none")]
mod parts;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("this is a program for a Linux guest on aarch64");
}
