//! HVC: an exception that the guest asks for. PSCI answers, any immediate does, and no register
//! but the result's changes.

use crate::check;
use guest_rt::{head, psci};

/// Calls with a pattern in x1 to x17 and gives back all of x0 to x17.
#[macro_export]
macro_rules! call {
    ($instruction:literal, $function:expr) => {{
        let mut x: [u64; 18] = core::array::from_fn(|n| 0x1111_0000_0000_0000 + n as u64);
        x[0] = u64::from($function);
        // SAFETY: x0 to x17 are all that a call may change, and all are outputs.
        unsafe {
            core::arch::asm!($instruction,
                inout("x0") x[0], inout("x1") x[1], inout("x2") x[2], inout("x3") x[3],
                inout("x4") x[4], inout("x5") x[5], inout("x6") x[6], inout("x7") x[7],
                inout("x8") x[8], inout("x9") x[9], inout("x10") x[10], inout("x11") x[11],
                inout("x12") x[12], inout("x13") x[13], inout("x14") x[14], inout("x15") x[15],
                inout("x16") x[16], inout("x17") x[17]);
        }
        x
    }};
}

/// Checks that x1 to x17 still hold the pattern that [`call!`] put there.
pub(crate) fn preserved(name: &str, x: &[u64; 18]) {
    let changed = (1..18).find(|&n| x[n] != 0x1111_0000_0000_0000 + n as u64);
    match changed {
        None => check::passed(name),
        Some(n) => check::failed(name, format_args!("x{n} = {:#x}", x[n]), "x1 to x17 as before"),
    }
}

/// A function that nobody has.
pub(crate) const UNKNOWN: u32 = 0x8600_ff00;

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    let x = call!("hvc #0", psci::VERSION);
    check::within("hvc.version", x[0], 0x1_0000, 0x1_ffff);
    preserved("hvc.version-preserves", &x);
    let x = call!("hvc #0", UNKNOWN);
    check::equal("hvc.unknown", x[0], u64::MAX);
    preserved("hvc.unknown-preserves", &x);
    let x = call!("hvc #0x42", psci::VERSION);
    check::within("hvc.immediate", x[0], 0x1_0000, 0x1_ffff);
    let x = call!("hvc #0xffff", UNKNOWN);
    check::equal("hvc.immediate-unknown", x[0], u64::MAX);
    check::equal("hvc.migrate-info", psci::call(psci::MIGRATE_INFO_TYPE, [0; 3]), 2);
    check::equal(
        "hvc.features-version",
        psci::call(psci::FEATURES, [psci::VERSION.into(), 0, 0]),
        0,
    );
    check::equal("hvc.features-unknown", psci::call(psci::FEATURES, [UNKNOWN.into(), 0, 0]), -1);
}
