//! The end of the machine.

use core::fmt::Write;

use super::console::Emergency;
use super::psci;
use crate::el2::cache;

/// Prints the last line, which tells the runner the status, and turns the machine off.
///
/// A machine without PSCI can't be turned off: the CPU sleeps, and whoever reads the line knows
/// that it is over.
pub fn off(status: u32) -> ! {
    let mut out = Emergency::new();
    let _ = writeln!(out, "machine off: status {status}");
    out.finish();
    psci::system_off();
    loop {
        cache::wfi();
    }
}
