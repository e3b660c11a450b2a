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
        12 => probes::patterns::checks,
        _ => return println!("FAIL family {number}: there is none"),
    };
    attack();
}
