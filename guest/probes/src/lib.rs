//! Probes: one small guest for each behaviour under test.
//!
//! Each prints `PASS <name>` or `FAIL <name>: got …, want …` for each thing it checks, then
//! `END passed=N failed=M`, and switches the machine off. `SKIP` lines say what this machine cannot
//! show, `INFO` lines what is of interest but neither right nor wrong. What a probe wants is what
//! the architecture says; that the bare board shows it too was tried.
#![cfg(target_os = "none")]
#![no_std]

pub mod align;
pub mod asid;
pub mod bench;
pub mod check;
pub mod count;
pub mod dabort;
pub mod debug;
pub mod fiq;
pub mod fp;
pub mod gic;
pub mod hvc;
pub mod iabort;
pub mod idle;
pub mod illegal;
pub mod irq;
pub mod isv0;
pub mod moved;
pub mod patterns;
pub mod pl011;
pub mod pong;
pub mod reboot;
pub mod serror;
pub mod smc;
pub mod smp;
pub mod spin;
pub mod state;
pub mod svc;
pub mod sysreg;
pub mod timer;
pub mod uneoi;
pub mod user;
pub mod wfi;
