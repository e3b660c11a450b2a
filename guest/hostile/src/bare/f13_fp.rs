//! FP and SIMD state over a thousand switches (CVE-2025-22013): V registers, FPCR, FPSR, also
//! while this VM's own CPACR_EL1 says that nobody uses them.

use crate::tools::pause;
use guest_rt::{arch, boot, gic, msr, timer};
use probes::state::{
    Vectors, fp_control, load_vectors, mix, set_fp_control, store_vectors, vector_pattern,
};
use probes::{check, fp};

/// CPACR_EL1.FPEN: nobody, all.
const NONE: u64 = 0;
const ALL: u64 = 3 << 20;

fn allow(fpen: u64) {
    msr!(CPACR_EL1, fpen);
    arch::isb();
}

/// The attack.
pub fn attack() {
    fp::checks();
    allow(ALL);
    gic::enable(timer::VIRTUAL_INTID);
    let (mut vectors, mut control) = (0, 0);
    for n in 0..boot::number("loops").unwrap_or(1000) {
        let pattern = vector_pattern(mix(n));
        let (fpcr, fpsr) = (mix(n) & 0x07c0_0000, mix(n + 1) & 0x0800_009f);
        load_vectors(&pattern);
        set_fp_control(fpcr, fpsr);
        if n % 5 == 0 {
            allow(NONE);
        }
        // Mostly by sleeping: each time somebody else runs.
        pause(if n % 8 == 7 { 2 } else { 0 });
        allow(ALL);
        let mut seen = Vectors([0; 32]);
        store_vectors(&mut seen);
        vectors += u64::from(seen != pattern);
        control += u64::from(fp_control() != (fpcr, fpsr));
    }
    check::equal("fp.vectors-kept", vectors, 0);
    check::equal("fp.control-kept", control, 0);
    gic::disable(timer::VIRTUAL_INTID);
}
