//! SMC: where the firmware's door is trapped, whoever trapped it answers as at the HVC, and the
//! guest goes on behind the instruction.

use crate::hvc::{UNKNOWN, preserved};
use crate::{call, check};
use core::arch::asm;
use guest_rt::{head, psci};

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    let x = call!("smc #0", psci::VERSION);
    check::within("smc.version", x[0], 0x1_0000, 0x1_ffff);
    preserved("smc.version-preserves", &x);
    let x = call!("smc #0", UNKNOWN);
    check::equal("smc.unknown", x[0], u64::MAX);
    preserved("smc.unknown-preserves", &x);
    let x = call!("smc #3", psci::VERSION);
    check::within("smc.immediate", x[0], 0x1_0000, 0x1_ffff);

    let steps: u64;
    // SAFETY: a call may change x0 to x17; x20 counts the instructions passed.
    unsafe {
        asm!("mov x20, #1", "smc #0", "add x20, x20, #16", "smc #0", "add x20, x20, #256",
            inout("x0") u64::from(UNKNOWN) => _, out("x20") steps, clobber_abi("C"));
    }
    check::equal("smc.goes-on-behind-it", steps, 1 + 16 + 256);

    let mut answered = 0;
    for _ in 0..1000 {
        answered += u32::from(call!("smc #0", UNKNOWN)[0] == u64::MAX);
    }
    check::equal("smc.flood", answered, 1000);
}
