//! The end of the machine.

use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

use super::console::Emergency;
use super::psci;
use crate::el2::cache;

/// Prints the last line, which tells the runner the status, and turns the machine off.
///
/// A machine without PSCI can't be turned off: the CPU sleeps, and whoever reads the line knows
/// that it is over.
pub fn off(status: u32) -> ! {
    static ONCE: AtomicBool = AtomicBool::new(false);
    // Two pCPUs may see the last VM off at once: one of them says the line, whole.
    while ONCE.swap(true, Ordering::AcqRel) {
        cache::wfi();
    }
    let mut out = Emergency::seize();
    let _ = writeln!(out, "machine off: status {status}");
    out.finish();
    psci::system_off();
    loop {
        cache::wfi();
    }
}
