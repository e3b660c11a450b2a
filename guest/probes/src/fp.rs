//! FP and SIMD: trapped to EL1 where EL1 says so, else all of the state is the guest's own and
//! stays what it is, whoever else uses the CPU meanwhile.

use crate::state::{
    Vectors, fp_control, load_vectors, set_fp_control, store_vectors, vector_pattern,
};
use crate::{check, program, user};
use core::arch::asm;
use guest_rt::vectors::expect_fault;
use guest_rt::{arch, boot, head, msr, psci, timer};

/// CPACR_EL1.FPEN: 0 traps EL0 and EL1, 1 only EL0, 3 nobody.
const fn fpen(value: u64) -> u64 {
    value << 20
}
/// FPCR: AHP, DN, FZ, RMode.
const FPCR: u64 = 0x07c0_0000;
/// FPSR: QC and all cumulative flags.
const FPSR: u64 = 0x0800_009f;
/// ESR_EL1: EC 7, IL, CV, COND = 0xe.
const TRAPPED: u64 = 0x1fe0_0000;

program!(fp_at_el0: "fmov d0, #1.0", "fmov x1, d0");

/// The probe. `loops=N` (default 200) is how often the state is checked again.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    msr!(CPACR_EL1, fpen(0));
    arch::isb();
    let fault = expect_fault(|| {
        // SAFETY: traps, or changes V0, which nobody uses.
        unsafe { asm!(".arch_extension fp", "fmov d0, #1.0") };
    });
    check::equal("fp.trapped", fault.map_or(0, |f| f.esr), TRAPPED);
    msr!(CPACR_EL1, fpen(1));
    arch::isb();
    check::equal("fp.el0-trapped", user::run(fp_at_el0, 0).esr, TRAPPED);
    msr!(CPACR_EL1, fpen(3));
    arch::isb();
    let frame = user::run(fp_at_el0, 0);
    check::equal("fp.el0", (frame.class(), frame.x[1]), (0x15, 0x3ff0_0000_0000_0000));

    let pattern = vector_pattern(boot::number("seed").unwrap_or(1));
    load_vectors(&pattern);
    set_fp_control(FPCR, FPSR);
    let mut bad = 0;
    for n in 0..boot::number("loops").unwrap_or(200) {
        if n % 2 == 0 {
            psci::version();
        } else {
            timer::delay_ms(1);
        }
        let mut seen = Vectors([0; 32]);
        store_vectors(&mut seen);
        if seen != pattern || fp_control() != (FPCR, FPSR) {
            bad += 1;
        }
    }
    check::equal("fp.kept", bad, 0);

    // Switched off and on by EL1, the state is still there.
    msr!(CPACR_EL1, fpen(0));
    arch::isb();
    psci::version();
    timer::delay_ms(20);
    msr!(CPACR_EL1, fpen(3));
    arch::isb();
    let mut seen = Vectors([0; 32]);
    store_vectors(&mut seen);
    check::that("fp.kept-while-trapped", seen == pattern, "the pattern");
}
