//! Set/way cache maintenance, as boot code does it before it turns its caches on or off: nothing
//! is lost, and the translation registers that are written meanwhile hold what was written.

use crate::check;
use core::arch::asm;
use guest_rt::{arch, head, mrs, msr};

/// SCTLR_EL1.C.
const SCTLR_C: u64 = 1 << 2;

static mut PATTERN: [u64; 512] = [0; 512];

/// Cleans and invalidates by `n` sets of way 0 at each of two levels.
fn by_set_way(n: u64) {
    for level in 0..2 {
        for set in 0..n {
            let operand = set << 6 | level << 1;
            // SAFETY: clean and invalidate loses no data.
            unsafe {
                asm!("dc cisw, {0}", "dc csw, {0}", in(reg) operand);
            }
        }
    }
    arch::isb();
}

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    let pattern = &raw mut PATTERN;
    // SAFETY: one CPU, and nobody else knows it.
    unsafe { (*pattern).iter_mut().enumerate().for_each(|(n, word)| *word = n as u64 * 0x9e37) };
    by_set_way(64);
    let sctlr = mrs!(SCTLR_EL1);
    let values = [mrs!(TTBR0_EL1), mrs!(TCR_EL1), mrs!(MAIR_EL1)];
    msr!(CONTEXTIDR_EL1, 0x1234);
    msr!(AFSR0_EL1, mrs!(AFSR0_EL1));
    msr!(FAR_EL1, 0xfeed);
    msr!(ESR_EL1, 0x5600_0000);
    msr!(MAIR_EL1, values[2]);
    msr!(TCR_EL1, values[1]);
    msr!(TTBR0_EL1, values[0]);
    arch::isb();
    check::equal(
        "setway.registers",
        [mrs!(CONTEXTIDR_EL1), mrs!(FAR_EL1), mrs!(ESR_EL1)],
        [0x1234, 0xfeed, 0x5600_0000],
    );
    check::equal("setway.tables", [mrs!(TTBR0_EL1), mrs!(TCR_EL1), mrs!(MAIR_EL1)], values);
    // The caches off, maintained, and on again.
    msr!(SCTLR_EL1, sctlr & !SCTLR_C);
    arch::isb();
    check::equal("setway.off", mrs!(SCTLR_EL1), sctlr & !SCTLR_C);
    by_set_way(16);
    msr!(SCTLR_EL1, sctlr);
    arch::isb();
    check::equal("setway.on", mrs!(SCTLR_EL1), sctlr);
    // SAFETY: as above.
    let whole =
        unsafe { (*pattern).iter().enumerate().all(|(n, word)| *word == n as u64 * 0x9e37) };
    check::that("setway.memory", whole, "what was written before");
}
