//! A guest that can't go on: its vectors lie where nothing is, so that the abort which the first
//! exception ends in would be taken for ever. The VM is to be stopped, alone, with a line that says
//! so; on the bare board the CPU hangs. With `off` in the boot arguments it turns its only CPU off
//! instead, which nothing can turn on again.

use crate::check;
use core::arch::asm;
use guest_rt::{arch, boot, head, mrs, msr, psci};

/// Outside RAM and devices.
const NOWHERE: u64 = 0x0b00_0000;

/// The probe.
pub fn run() {
    head::init();
    check::passed("fault.begins");
    if boot::has("off") {
        psci::cpu_off();
    }
    // Translation off: otherwise the guest's own tables have the last word, and EL2 none.
    msr!(SCTLR_EL1, mrs!(SCTLR_EL1) & !1);
    msr!(VBAR_EL1, NOWHERE);
    arch::isb();
    // SAFETY: UNDEFINED; nothing runs behind it.
    unsafe { asm!("udf #0") };
    check::failed("fault.goes-on", "an instruction behind", "the VM stopped");
    check::end();
}
