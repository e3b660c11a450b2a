//! What a vCPU leaves behind on a pCPU: the registers that are switched when the vCPU changes, not
//! at each exit. `docs/architecture.md` has the list with the reason for each group.

use core::arch::asm;

use aarch64_cpu::registers::*;
use tock_registers::interfaces::{Readable, Writeable};

use super::features::features;
use super::regs::{
    APDAKEYHI_EL1, APDAKEYLO_EL1, APDBKEYHI_EL1, APDBKEYLO_EL1, APGAKEYHI_EL1, APGAKEYLO_EL1,
    APIAKEYHI_EL1, APIAKEYLO_EL1, APIBKEYHI_EL1, APIBKEYLO_EL1, FPCR, FPSR, TPIDR2_EL0, VDISR_EL2,
};

/// Groups of registers, each saved and loaded in the order in which they stand. As many as stand
/// between two semicolons are read before the first is stored: so two are stored at once.
macro_rules! state {
    ($($(#[$doc:meta])* $name:ident { $($($field:ident: $register:expr),*;)* })*) => {$(
        $(#[$doc])*
        #[repr(C)]
        #[derive(Default)]
        #[expect(missing_docs, reason = "each field is named for its register")]
        pub struct $name { $($(pub $field: u64,)*)* }

        impl $name {
            /// Takes the registers' values from this pCPU.
            #[inline(always)]
            pub fn save(&mut self) {
                $(
                    $(let $field = $register.get() as u64;)*
                    $(self.$field = $field;)*
                )*
            }

            /// Puts the values into this pCPU's registers.
            #[inline(always)]
            pub fn load(&self) {
                $(
                    $(let $field = self.$field;)*
                    $($register.set($field);)*
                )*
            }

            /// The values by their registers' names.
            pub fn named(&self) -> impl Iterator<Item = (&'static str, u64)> + use<> {
                [$($((stringify!($register), self.$field),)*)*].into_iter()
            }
        }
    )*};
}

state! {
    /// EL1's and EL0's registers that every ARMv8-A CPU has.
    El1 {
        sctlr: SCTLR_EL1, cpacr: CPACR_EL1,
        ttbr0: TTBR0_EL1, ttbr1: TTBR1_EL1, tcr: TCR_EL1,
        mair: MAIR_EL1, amair: AMAIR_EL1, contextidr: CONTEXTIDR_EL1;
        esr: ESR_EL1, far: FAR_EL1, afsr0: AFSR0_EL1, afsr1: AFSR1_EL1, par: PAR_EL1,
        vbar: VBAR_EL1, elr: ELR_EL1, spsr: SPSR_EL1;
        sp_el0: SP_EL0, sp_el1: SP_EL1,
        tpidr_el0: TPIDR_EL0, tpidrro_el0: TPIDRRO_EL0, tpidr_el1: TPIDR_EL1,
        csselr: CSSELR_EL1, cntkctl: CNTKCTL_EL1, vmpidr: VMPIDR_EL2;
    }

    /// The virtual timer, and the virtual CPU interface's own registers. The list registers belong
    /// to the vGIC, which folds them back when the vCPU is put.
    Interrupts {
        vmcr: ICH_VMCR_EL2, ap0r0: ICH_AP0R0_EL2, ap1r0: ICH_AP1R0_EL2,
        cntv_cval: CNTV_CVAL_EL0, cntv_ctl: CNTV_CTL_EL0;
    }

    /// The active priorities of a CPU with 6 bits of preemption; with 5 there is R0 alone.
    Active6 { ap0r1: ICH_AP0R1_EL2, ap1r1: ICH_AP1R1_EL2; }

    /// And of one with 7.
    Active7 {
        ap0r2: ICH_AP0R2_EL2, ap1r2: ICH_AP1R2_EL2, ap0r3: ICH_AP0R3_EL2, ap1r3: ICH_AP1R3_EL2;
    }

    /// Pointer-authentication keys (FEAT_PAuth).
    Keys {
        ia_lo: APIAKEYLO_EL1, ia_hi: APIAKEYHI_EL1, ib_lo: APIBKEYLO_EL1, ib_hi: APIBKEYHI_EL1,
        da_lo: APDAKEYLO_EL1, da_hi: APDAKEYHI_EL1, db_lo: APDBKEYLO_EL1, db_hi: APDBKEYHI_EL1,
        ga_lo: APGAKEYLO_EL1, ga_hi: APGAKEYHI_EL1;
    }

    /// FEAT_SME's thread pointer. Like the next it can be neither trapped nor hidden on some CPUs
    /// (measured on QEMU's `max`), and so is switched: nothing passes between VMs.
    Tpidr2 { el0: TPIDR2_EL0; }

    /// What EL1 reads and writes as DISR_EL1 (FEAT_RAS).
    Vdisr { el1: VDISR_EL2; }
}

impl El1 {
    /// The state of a vCPU out of reset. What is UNKNOWN by the manual is 0 here: nothing of a
    /// predecessor.
    pub fn reset(mpidr: u64) -> Self {
        Self {
            // RES1 bits 11, 20, 22, 23, 28, 29 where their features are absent (D24.2.118), M, C
            // and I off, little-endian.
            sctlr: 0x30d0_0800,
            // Bit 31 is RES1; U (uniprocessor) stays 0.
            vmpidr: mpidr | 1 << 31,
            ..Self::default()
        }
    }
}

/// FP and SIMD registers, loaded at a vCPU's first use after it was loaded.
#[repr(C, align(16))]
#[derive(Default)]
pub struct Fp {
    v: [u128; 32],
    fpcr: u64,
    fpsr: u64,
}

/// Stores (ST1) or loads (LD1) all V registers, four at a time.
macro_rules! v_registers {
    ($op:literal) => {
        v_registers!($op, "v0.2d-v3.2d" "v4.2d-v7.2d" "v8.2d-v11.2d" "v12.2d-v15.2d"
            "v16.2d-v19.2d" "v20.2d-v23.2d" "v24.2d-v27.2d" "v28.2d-v31.2d")
    };
    ($op:literal, $($four:literal)*) => {
        concat!(
            ".arch_extension fp\n.arch_extension simd\n",
            $($op, " {{", $four, "}}, [{v}], #64\n",)*
            ".arch_extension nosimd\n.arch_extension nofp\n",
        )
    };
}

impl Fp {
    /// Takes the registers from this pCPU. CPTR_EL2.TFP is 0.
    pub fn save(&mut self) {
        // SAFETY: stores into `self.v`, 512 bytes. EL2's own code has no V registers to lose.
        unsafe {
            asm!(v_registers!("st1"), v = inout(reg) self.v.as_mut_ptr() => _, options(nostack))
        };
        self.fpcr = FPCR.get();
        self.fpsr = FPSR.get();
    }

    /// Puts them into this pCPU's. CPTR_EL2.TFP is 0.
    pub fn load(&self) {
        // SAFETY: reads `self.v`; the V registers are the guest's.
        unsafe { asm!(v_registers!("ld1"), v = inout(reg) self.v.as_ptr() => _, options(nostack)) };
        FPCR.set(self.fpcr);
        FPSR.set(self.fpsr);
    }
}

/// Calls `save` or `load` of each group of registers that not every CPU has, where this one does.
macro_rules! optional {
    ($context:ident.$do:ident()) => {
        let features = features();
        if features.active_registers > 1 {
            $context.active6.$do();
            if features.active_registers > 2 {
                $context.active7.$do();
            }
        }
        if features.pauth {
            $context.keys.$do();
        }
        if features.tpidr2 {
            $context.tpidr2.$do();
        }
        if features.ras {
            $context.vdisr.$do();
        }
    };
}

/// All that is switched when the vCPU changes.
#[derive(Default)]
pub struct Context {
    /// EL1 and EL0.
    pub el1: El1,
    /// Virtual timer and CPU interface.
    pub interrupts: Interrupts,
    /// FP and SIMD.
    pub fp: Fp,
    /// Whether `fp` is in the pCPU's registers.
    pub fp_loaded: bool,
    /// Debug registers.
    pub debug: super::debug::Debug,
    /// The CPU has one of the groups below: asked once, not four times at each switch.
    has_more: bool,
    active6: Active6,
    active7: Active7,
    keys: Keys,
    tpidr2: Tpidr2,
    vdisr: Vdisr,
}

impl Context {
    /// The state out of reset.
    pub fn reset(mpidr: u64) -> Self {
        let features = features();
        let has_more =
            features.active_registers > 1 || features.pauth || features.tpidr2 || features.ras;
        Self { el1: El1::reset(mpidr), has_more, ..Self::default() }
    }

    /// Takes everything off this pCPU.
    pub fn save(&mut self) {
        self.el1.save();
        self.interrupts.save();
        // The timer is off, so that it can't interrupt whoever runs next.
        CNTV_CTL_EL0.set(0);
        if self.has_more {
            optional!(self.save());
        }
        self.debug.put();
        if self.fp_loaded {
            self.fp.save();
            self.fp_loaded = false;
            CPTR_EL2.set(super::traps::CPTR);
        }
    }

    /// Puts everything onto this pCPU; FP waits for its first use.
    pub fn load(&self) {
        self.el1.load();
        self.interrupts.load();
        if self.has_more {
            optional!(self.load());
        }
        self.debug.load();
    }

    /// The guest used FP: gives it its registers.
    pub fn load_fp(&mut self) {
        CPTR_EL2.set(super::traps::CPTR_FP);
        super::cache::isb();
        self.fp.load();
        self.fp_loaded = true;
    }
}
