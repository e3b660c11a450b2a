//! What a vCPU leaves behind on a pCPU: the registers that are switched when the vCPU changes, not
//! at each exit. `docs/architecture.md` has the list with the reason for each group.

use core::arch::asm;

use aarch64_cpu::registers::*;
use tock_registers::interfaces::{Readable, Writeable};

use super::features::features;
use super::regs::{
    APDAKEYHI_EL1, APDAKEYLO_EL1, APDBKEYHI_EL1, APDBKEYLO_EL1, APGAKEYHI_EL1, APGAKEYLO_EL1,
    APIAKEYHI_EL1, APIAKEYLO_EL1, APIBKEYHI_EL1, APIBKEYLO_EL1, FPCR, FPSR, SCXTNUM_EL0,
    SCXTNUM_EL1, TPIDR2_EL0,
};

macro_rules! state {
    ($(#[$doc:meta])* $name:ident { $($field:ident: $register:expr,)* }) => {
        $(#[$doc])*
        #[repr(C)]
        #[derive(Default)]
        #[expect(missing_docs, reason = "each field is named for its register")]
        pub struct $name { $(pub $field: u64,)* }

        impl $name {
            /// Takes the registers' values from this pCPU.
            #[inline(always)]
            pub fn save(&mut self) {
                $(self.$field = $register.get() as u64;)*
            }

            /// Puts the values into this pCPU's registers.
            #[inline(always)]
            pub fn load(&self) {
                $($register.set(self.$field);)*
            }
        }
    };
}

state! {
    /// EL1's and EL0's registers that every ARMv8-A CPU has.
    El1 {
        sctlr: SCTLR_EL1, cpacr: CPACR_EL1,
        ttbr0: TTBR0_EL1, ttbr1: TTBR1_EL1, tcr: TCR_EL1,
        mair: MAIR_EL1, amair: AMAIR_EL1, contextidr: CONTEXTIDR_EL1,
        esr: ESR_EL1, far: FAR_EL1, afsr0: AFSR0_EL1, afsr1: AFSR1_EL1, par: PAR_EL1,
        vbar: VBAR_EL1, elr: ELR_EL1, spsr: SPSR_EL1, sp_el0: SP_EL0, sp_el1: SP_EL1,
        tpidr_el0: TPIDR_EL0, tpidrro_el0: TPIDRRO_EL0, tpidr_el1: TPIDR_EL1,
        csselr: CSSELR_EL1, cntkctl: CNTKCTL_EL1, vmpidr: VMPIDR_EL2,
    }
}

state! {
    /// Pointer-authentication keys (FEAT_PAuth).
    Keys {
        ia_lo: APIAKEYLO_EL1, ia_hi: APIAKEYHI_EL1, ib_lo: APIBKEYLO_EL1, ib_hi: APIBKEYHI_EL1,
        da_lo: APDAKEYLO_EL1, da_hi: APDAKEYHI_EL1, db_lo: APDBKEYLO_EL1, db_hi: APDBKEYHI_EL1,
        ga_lo: APGAKEYLO_EL1, ga_hi: APGAKEYHI_EL1,
    }
}

/// What can be neither trapped nor hidden on some CPUs (measured on QEMU's `max`), and so is
/// switched: nothing passes between VMs.
#[derive(Default)]
pub struct Untrappable {
    tpidr2: u64,
    scxtnum_el0: u64,
    scxtnum_el1: u64,
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

macro_rules! v_registers {
    ($op:literal) => {
        concat!(
            ".arch_extension fp\n.arch_extension simd\n",
            $op,
            " q0, q1, [{v}, #0]\n",
            $op,
            " q2, q3, [{v}, #32]\n",
            $op,
            " q4, q5, [{v}, #64]\n",
            $op,
            " q6, q7, [{v}, #96]\n",
            $op,
            " q8, q9, [{v}, #128]\n",
            $op,
            " q10, q11, [{v}, #160]\n",
            $op,
            " q12, q13, [{v}, #192]\n",
            $op,
            " q14, q15, [{v}, #224]\n",
            $op,
            " q16, q17, [{v}, #256]\n",
            $op,
            " q18, q19, [{v}, #288]\n",
            $op,
            " q20, q21, [{v}, #320]\n",
            $op,
            " q22, q23, [{v}, #352]\n",
            $op,
            " q24, q25, [{v}, #384]\n",
            $op,
            " q26, q27, [{v}, #416]\n",
            $op,
            " q28, q29, [{v}, #448]\n",
            $op,
            " q30, q31, [{v}, #480]\n",
            ".arch_extension nosimd\n.arch_extension nofp\n",
        )
    };
}

impl Fp {
    /// Takes the registers from this pCPU. CPTR_EL2.TFP is 0.
    pub fn save(&mut self) {
        // SAFETY: stores into `self.v`, 512 bytes. EL2's own code has no V registers to lose.
        unsafe { asm!(v_registers!("stp"), v = in(reg) self.v.as_mut_ptr(), options(nostack)) };
        self.fpcr = FPCR.get();
        self.fpsr = FPSR.get();
    }

    /// Puts them into this pCPU's. CPTR_EL2.TFP is 0.
    pub fn load(&self) {
        // SAFETY: reads `self.v`; the V registers are the guest's.
        unsafe { asm!(v_registers!("ldp"), v = in(reg) self.v.as_ptr(), options(nostack)) };
        FPCR.set(self.fpcr);
        FPSR.set(self.fpsr);
    }
}

/// The virtual timer, and the virtual CPU interface's own registers. The list registers belong to
/// the vGIC, which folds them back when the vCPU is put.
#[derive(Default)]
pub struct Interrupts {
    /// CNTV_CTL_EL0.
    pub cntv_ctl: u64,
    /// CNTV_CVAL_EL0.
    pub cntv_cval: u64,
    vmcr: u64,
    ap0r0: u64,
    ap1r0: u64,
}

impl Interrupts {
    /// The interface out of reset: ICH_VMCR_EL2 0, but for its read-only shape.
    pub fn save(&mut self) {
        self.cntv_ctl = CNTV_CTL_EL0.get();
        self.cntv_cval = CNTV_CVAL_EL0.get();
        // Off, so that it can't interrupt whoever runs next.
        CNTV_CTL_EL0.set(0);
        self.vmcr = ICH_VMCR_EL2.get();
        self.ap0r0 = ICH_AP0R0_EL2.get();
        self.ap1r0 = ICH_AP1R0_EL2.get();
    }

    /// Puts the state into this pCPU.
    pub fn load(&self) {
        ICH_VMCR_EL2.set(self.vmcr);
        ICH_AP0R0_EL2.set(self.ap0r0);
        ICH_AP1R0_EL2.set(self.ap1r0);
        CNTV_CVAL_EL0.set(self.cntv_cval);
        CNTV_CTL_EL0.set(self.cntv_ctl);
    }

    /// The priority mask that the saved interface has: ICH_VMCR_EL2.VPMR.
    pub fn priority_mask(&self) -> u8 {
        (self.vmcr >> 24) as u8
    }
}

impl Untrappable {
    fn save(&mut self) {
        if features().tpidr2 {
            self.tpidr2 = TPIDR2_EL0.get();
        }
        if features().scxtnum {
            self.scxtnum_el0 = SCXTNUM_EL0.get();
            self.scxtnum_el1 = SCXTNUM_EL1.get();
        }
    }

    fn load(&self) {
        if features().tpidr2 {
            TPIDR2_EL0.set(self.tpidr2);
        }
        if features().scxtnum {
            SCXTNUM_EL0.set(self.scxtnum_el0);
            SCXTNUM_EL1.set(self.scxtnum_el1);
        }
    }
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
    keys: Keys,
    untrappable: Untrappable,
}

impl Context {
    /// The state out of reset.
    pub fn reset(mpidr: u64) -> Self {
        Self { el1: El1::reset(mpidr), ..Self::default() }
    }

    /// Takes everything off this pCPU.
    pub fn save(&mut self) {
        self.el1.save();
        self.interrupts.save();
        if features().pauth {
            self.keys.save();
        }
        if features().untrappable {
            self.untrappable.save();
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
        if features().pauth {
            self.keys.load();
        }
        if features().untrappable {
            self.untrappable.load();
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
