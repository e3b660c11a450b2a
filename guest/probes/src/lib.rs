//! Probes: one small guest for each behaviour under test.
//!
//! Each prints `PASS <name>` or `FAIL <name>: got …, want …` for each thing it checks, then
//! `END passed=N failed=M`, and switches the machine off. What it wants is what the architecture
//! says; where the board shows the same without a hypervisor, that was tried.
#![cfg(target_os = "none")]
#![no_std]

pub mod check;
pub mod hvc;
