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
    pub mod f01_id;
    pub mod f02_pauth;
    pub mod f03_pmu;
    pub mod f04_debug;
    pub mod f05_extensions;
    pub mod f06_impdef;
    pub mod f07_setway;
    pub mod f08_unmap;
    pub mod f09_calls;
    pub mod f10_sleep;
    pub mod f11_wake;
    pub mod f12_sysregs;
    pub mod f13_fp;
    pub mod f14_cpuon;
    pub mod f15_psci;
    pub mod f16_system;
    pub mod f17_sgi;
    pub mod f18_gicmap;
    pub mod f19_flood;
    pub mod f20_flip;
    pub mod f21_selfsgi;
    pub mod f22_sre;
    pub mod f23_nosyndrome;
    pub mod f24_walk;
    pub mod f25_straddle;
    pub mod f26_ipa;
    pub mod f27_width;
    pub mod f28_serror;
    pub mod f29_vectors;
    pub mod f30_aarch32;
    pub mod f30_code;
    pub mod f31_asid;
    pub mod f32_split;
    pub mod f33_stale;
    pub mod f34_vmids;
    pub mod f35_scrub;
    pub mod f36_buffers;
    pub mod f37_shared;
    pub mod f38_noise;
    pub mod f39_forms;
    pub mod f40_storm;
    pub mod families;
    pub mod life;
    pub mod stores;
    pub mod streams;
    pub mod tools;
    pub mod victim;
}
#[cfg(target_os = "none")]
pub use bare::*;
