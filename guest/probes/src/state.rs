//! Loading and reading back whole register sets.

use core::arch::naked_asm;
use guest_rt::{mrs, msr};

/// V0 to V31.
#[repr(C, align(16))]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Vectors(pub [u128; 32]);

macro_rules! all_vectors {
    ($instruction:literal) => {
        naked_asm!(
            ".arch_extension fp",
            ".arch_extension simd",
            concat!(
                ".irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, ",
                "21, 22, 23, 24, 25, 26, 27, 28, 29, 30, 31\n",
                $instruction,
                " q\\n, [x0, #\\n * 16]\n.endr"
            ),
            "ret"
        )
    };
}

/// Loads V0 to V31. The compiler itself uses none of them: the target has no FP.
#[unsafe(naked)]
pub extern "C" fn load_vectors(_from: &Vectors) {
    all_vectors!("ldr")
}

/// Stores V0 to V31.
#[unsafe(naked)]
pub extern "C" fn store_vectors(_to: &mut Vectors) {
    all_vectors!("str")
}

/// FPCR and FPSR, by their numbers: the assembler knows their names only for targets with FP.
pub fn fp_control() -> (u64, u64) {
    (mrs!(S3_3_C4_C4_0), mrs!(S3_3_C4_C4_1))
}

/// Sets FPCR and FPSR.
pub fn set_fp_control(fpcr: u64, fpsr: u64) {
    msr!(S3_3_C4_C4_0, fpcr);
    msr!(S3_3_C4_C4_1, fpsr);
}

/// V0 to V31 filled from a number, no two halves the same.
pub fn vector_pattern(seed: u64) -> Vectors {
    Vectors(core::array::from_fn(|n| {
        let low = mix(seed ^ (2 * n as u64));
        let high = mix(seed ^ (2 * n as u64 + 1));
        u128::from(high) << 64 | u128::from(low)
    }))
}

/// A number that looks random, made from another (splitmix64's finisher).
pub fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ n >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ n >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ n >> 31
}
