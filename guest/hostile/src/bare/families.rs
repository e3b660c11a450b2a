//! Which code is which family.

use crate::*;
use guest_rt::println;

/// Carries out the attack.
pub fn attack(number: u64) {
    let attack: fn() = match number {
        1 => f01_id::attack,
        2 => f02_pauth::attack,
        3 => f03_pmu::attack,
        4 => f04_debug::attack,
        5 => f05_extensions::attack,
        6 => f06_impdef::attack,
        7 => f07_setway::attack,
        8 => f08_unmap::attack,
        9 => f09_calls::attack,
        10 => f10_sleep::attack,
        11 => f11_wake::attack,
        12 => f12_sysregs::attack,
        13 => f13_fp::attack,
        14 => f14_cpuon::attack,
        15 => f15_psci::attack,
        16 => f16_system::attack,
        17 => f17_sgi::attack,
        18 => f18_gicmap::attack,
        19 => f19_flood::attack,
        20 => f20_flip::attack,
        21 => f21_selfsgi::attack,
        22 => f22_sre::attack,
        23 => f23_nosyndrome::attack,
        24 => f24_walk::attack,
        25 => f25_straddle::attack,
        26 => f26_ipa::attack,
        27 => f27_width::attack,
        28 => f28_serror::attack,
        29 => f29_vectors::attack,
        30 => f30_aarch32::attack,
        31 => f31_asid::attack,
        32 => f32_split::attack,
        33 => f33_stale::attack,
        34 => f34_vmids::attack,
        35 => f35_scrub::attack,
        36 => f36_buffers::attack,
        37 => f37_shared::attack,
        38 => f38_noise::attack,
        39 => f39_forms::attack,
        40 => f40_storm::attack,
        _ => return println!("FAIL family {number}: there is none"),
    };
    attack();
}
