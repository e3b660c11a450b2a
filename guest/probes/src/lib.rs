//! Probes: one small guest for each behaviour under test.
//!
//! Each prints `PASS <name>` or `FAIL <name>: got …, want …` for each thing it checks, then
//! `END passed=N failed=M`, and switches the machine off. `SKIP` lines say what this machine cannot
//! show, `INFO` lines what is of interest but neither right nor wrong. What a probe wants is what
//! the architecture says; that the bare board shows it too was tried.
//!
//! | probe | what it tests | words in the boot arguments |
//! |---|---|---|
//! | [`hvc`], [`smc`], [`svc`] | calls | |
//! | [`smccc`] | calls beside PSCI, and seeds | `random` `exact` `ms=` |
//! | [`wfi`] | sleeping and waking | |
//! | [`sysreg`] | ID registers and what they promise | |
//! | [`dabort`], [`iabort`] | accesses to where nothing is | |
//! | [`isv0`] | device accesses without a syndrome | |
//! | [`rom`] | read-only memory | |
//! | [`touch`] | memory that nobody has used yet, by one CPU or two | `rom` |
//! | [`fp`] | FP and SIMD | `seed=` `loops=` |
//! | [`align`], [`debug`], [`illegal`], [`serror`], [`fiq`] | the other exceptions | |
//! | [`setway`] | cache maintenance by set and way | |
//! | [`pl011`], [`gic`] | devices | |
//! | [`timer`] | both timers, and a clock that loses no tick | `ticks=` |
//! | [`siblings`] | the interrupts of another CPU | `rounds=` |
//! | [`gicscan`] | every register of the interrupt controller, for a comparison | |
//! | [`smp`] | PSCI and interrupts among up to four CPUs | `cycles=` `rounds=` `strict` |
//! | [`patterns`] | all state that a switch must keep | `seed=` `loops=` |
//! | [`scan`] | every encoding of a system register | `seed=` `rounds=` `ms=` |
//! | [`asid`] | one ASID, several CPUs and tables | `loops=` |
//! | [`uneoi`] | an interrupt that is ended late | `ms=` `rounds=` |
//! | [`moved`] | counting while being moved | `ms=` `seed=` |
//! | [`fault`] | vectors that are not in memory: the VM is stopped | `off` |
//! | [`rewrite`] | a device access whose instruction a peer rewrites | `n=` |
//! | [`reboot`] | SYSTEM_RESET | `until=` `clean` `delay=` `race` |
//! | [`paused`] | the counters of a machine that is paused | `wfi` `cycle` |
//! | [`pong`] | the keyboard | |
//! | [`count`] | how much of a CPU one gets | `ms=` `at=` `cpus=` |
//! | [`tree`] | none: prints its device tree | |
//! | [`spin`], [`idle`] | neighbours, noisy and quiet | `ms=`, see there |
//! | [`bench`] | the price of each primitive | `n=` `only=` |
//! | [`ipi`], [`turns`] | the price of what takes two CPUs or machines | `n=` `wfi`; `ms=` `fp` |
#![cfg(target_os = "none")]
#![no_std]

pub mod align;
pub mod asid;
pub mod bench;
pub mod check;
pub mod count;
pub mod dabort;
pub mod debug;
pub mod fault;
pub mod fiq;
pub mod fp;
pub mod gic;
pub mod gicscan;
pub mod hvc;
pub mod iabort;
pub mod idle;
pub mod illegal;
pub mod ipi;
pub mod irq;
pub mod isv0;
mod isv1;
pub mod moved;
pub mod patterns;
pub mod paused;
pub mod pl011;
pub mod pong;
pub mod reboot;
pub mod rewrite;
pub mod rom;
pub mod scan;
pub mod serror;
pub mod setway;
pub mod siblings;
pub mod smc;
pub mod smccc;
pub mod smp;
pub mod spin;
pub mod state;
pub mod svc;
pub mod sysreg;
pub mod timer;
pub mod touch;
pub mod tree;
pub mod turns;
pub mod uneoi;
pub mod user;
pub mod wfi;
