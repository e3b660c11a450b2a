//! Which code is which family.

use guest_rt::println;

/// Carries out the attack.
pub fn attack(number: u64) {
    let attack: fn() = match number {
        12 => probes::patterns::checks,
        _ => return println!("FAIL family {number}: there is none"),
    };
    attack();
}
