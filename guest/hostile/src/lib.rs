//! Hostile guests: what a VM may try against its hypervisor and its neighbours, and a victim.
//!
//! The image `hostile` carries out one family of attacks, `family=N` in its boot arguments. Each
//! variant that it tries gives a line `PASS family.variant` or `FAIL family.variant: got …, want …`,
//! as the probes' checks do, or `SAW family.variant value` where it is for the test to compare what
//! is seen with what the bare board shows. What ends the VM is tried alone, by `variant=NAME`, and
//! says `DOOM family.variant` before. `END passed=N failed=M` is the last line of an attack.
//!
//! The image `chaos` runs random instruction streams. The image `victim` runs beside either and
//! notices whatever changes.
//!
//! | module | what it does |
//! |---|---|
//! | `life` | from start to reset: looks for a predecessor's words, waits for a key, attacks |
//! | `families` | which code is which family |
//! | `victim` | patterns, ticks, counts |
//! | [`table`] | the families, one line each |
//! | [`chaos`] | makes random instruction streams |
//! | `streams`, `caught` | run them, and take their exceptions |
#![cfg_attr(target_os = "none", no_std)]

pub mod chaos;
pub mod table;

#[cfg(target_os = "none")]
mod bare {
    pub mod caught;
    pub mod families;
    pub mod life;
    pub mod streams;
    pub mod tools;
    pub mod victim;
}
#[cfg(target_os = "none")]
pub use bare::*;
