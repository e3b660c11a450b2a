//! System registers that `aarch64-cpu` lacks, or spells by names that the assembler knows for newer
//! CPUs only, in its style. The one file besides the assembly of this room in which a register is
//! named by its encoding.
#![expect(non_camel_case_types, reason = "registers have the names of the Arm ARM")]

use core::arch::asm;

use tock_registers::interfaces::{Readable, Writeable};

macro_rules! registers {
    ($($(#[$doc:meta])* $name:ident = $spelled:literal;)*) => {$(
        $(#[$doc])*
        pub struct $name;

        impl Readable for $name {
            type T = u64;
            type R = ();

            #[inline(always)]
            fn get(&self) -> u64 {
                let value: u64;
                // SAFETY: reading a system register touches no memory.
                unsafe { asm!(concat!("mrs {}, ", $spelled), out(reg) value, options(nomem, nostack)) };
                value
            }
        }

        impl Writeable for $name {
            type T = u64;
            type R = ();

            #[inline(always)]
            fn set(&self, value: u64) {
                // SAFETY: none of the registers below can break EL2's own memory accesses.
                unsafe { asm!(concat!("msr ", $spelled, ", {}"), in(reg) value, options(nostack)) };
            }
        }
    )*};
}

registers! {
    /// Empty list register status (IHI 0069 12.4.6). Bit n: list register n holds nothing.
    ICH_ELRSR_EL2 = "S3_4_C12_C11_5";
    /// What the guest reads from MIDR_EL1.
    VPIDR_EL2 = "vpidr_el2";
    /// OS lock. Bit 0 sets OSLSR_EL1.OSLK.
    OSLAR_EL1 = "S2_0_C1_C0_4";
    /// Hypervisor physical timer, comparator.
    CNTHP_CVAL_EL2 = "cnthp_cval_el2";
    /// System register trap to EL2.
    HSTR_EL2 = "hstr_el2";
    /// Extended hypervisor configuration (FEAT_HCX).
    HCRX_EL2 = "S3_4_C1_C2_2";
    /// Memory partitioning at EL2 (FEAT_MPAM).
    MPAM2_EL2 = "S3_4_C10_C5_0";
    /// Syndrome of a virtual SError (FEAT_RAS).
    VSESR_EL2 = "S3_4_C5_C2_3";
    /// What a guest reads as DISR_EL1 (FEAT_RAS, with HCR_EL2.AMO).
    VDISR_EL2 = "S3_4_C12_C1_1";
    /// EL0's second thread pointer (FEAT_SME).
    TPIDR2_EL0 = "S3_3_C13_C0_5";
    /// Pointer authentication key IA, low half (FEAT_PAuth).
    APIAKEYLO_EL1 = "S3_0_C2_C1_0";
    /// Pointer authentication key IA, high half (FEAT_PAuth).
    APIAKEYHI_EL1 = "S3_0_C2_C1_1";
    /// Pointer authentication key IB, low half (FEAT_PAuth).
    APIBKEYLO_EL1 = "S3_0_C2_C1_2";
    /// Pointer authentication key IB, high half (FEAT_PAuth).
    APIBKEYHI_EL1 = "S3_0_C2_C1_3";
    /// Pointer authentication key DA, low half (FEAT_PAuth).
    APDAKEYLO_EL1 = "S3_0_C2_C2_0";
    /// Pointer authentication key DA, high half (FEAT_PAuth).
    APDAKEYHI_EL1 = "S3_0_C2_C2_1";
    /// Pointer authentication key DB, low half (FEAT_PAuth).
    APDBKEYLO_EL1 = "S3_0_C2_C2_2";
    /// Pointer authentication key DB, high half (FEAT_PAuth).
    APDBKEYHI_EL1 = "S3_0_C2_C2_3";
    /// Pointer authentication key GA, low half (FEAT_PAuth).
    APGAKEYLO_EL1 = "S3_0_C2_C3_0";
    /// Pointer authentication key GA, high half (FEAT_PAuth).
    APGAKEYHI_EL1 = "S3_0_C2_C3_1";
    /// FP control.
    FPCR = "S3_3_C4_C4_0";
    /// FP status.
    FPSR = "S3_3_C4_C4_1";
    /// The pCPU's Group 1 interrupt acknowledge.
    ICC_IAR1_EL1 = "S3_0_C12_C12_0";
    /// The pCPU's highest priority pending interrupt of Group 1.
    ICC_HPPIR1_EL1 = "S3_0_C12_C12_2";
    /// The pCPU's Group 1 end of interrupt: priority drop.
    ICC_EOIR1_EL1 = "S3_0_C12_C12_1";
    /// The pCPU's deactivate interrupt.
    ICC_DIR_EL1 = "S3_0_C12_C11_1";
    /// The pCPU's priority mask.
    ICC_PMR_EL1 = "S3_0_C4_C6_0";
    /// The pCPU's Group 1 enable.
    ICC_IGRPEN1_EL1 = "S3_0_C12_C12_7";
    /// The pCPU's Group 1 SGI generation.
    ICC_SGI1R_EL1 = "S3_0_C12_C11_5";
    /// The pCPU's interface control: bit 1 is EOImode.
    ICC_CTLR_EL1 = "S3_0_C12_C12_4";
    /// The pCPU's binary point.
    ICC_BPR1_EL1 = "S3_0_C12_C12_3";
    /// Performance monitors' control: N, bits 15:11, is the number of counters.
    PMCR_EL0 = "pmcr_el0";
    /// Cache type.
    CTR_EL0 = "ctr_el0";
    /// Size of the block that DC ZVA zeroes.
    DCZID_EL0 = "dczid_el0";
}
