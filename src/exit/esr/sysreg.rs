//! Trapped system registers: a compact key for match tables, and names for printing.

use core::fmt;

use super::Esr;

/// A system register or system instruction by its encoding, in the layout of the ISS of EC 0x18:
/// Op0 in bits 21:20, Op2 19:17, Op1 16:14, CRn 13:10, CRm 4:1; Rt and direction are zero.
///
/// So the key of a trap is one AND away from ESR_EL2, and a `match` over the constants of
/// [`reg`] is a search tree over plain numbers.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(transparent)]
pub struct SysReg(u32);

impl SysReg {
    const MASK: u32 = 0x3f_fc1e;

    /// The register `S<op0>_<op1>_C<crn>_C<crm>_<op2>`: the order of MRS's operands.
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        Self(
            (op0 as u32 & 3) << 20
                | (op2 as u32 & 7) << 17
                | (op1 as u32 & 7) << 14
                | (crn as u32 & 15) << 10
                | (crm as u32 & 15) << 1,
        )
    }

    /// The key as a number.
    #[inline]
    pub const fn key(self) -> u32 {
        self.0
    }

    /// Op0: 1 for system instructions, 2 for debug and trace registers, 3 for the others.
    #[inline]
    pub const fn op0(self) -> u8 {
        (self.0 >> 20 & 3) as u8
    }

    /// Op1.
    #[inline]
    pub const fn op1(self) -> u8 {
        (self.0 >> 14 & 7) as u8
    }

    /// CRn.
    #[inline]
    pub const fn crn(self) -> u8 {
        (self.0 >> 10 & 15) as u8
    }

    /// CRm.
    #[inline]
    pub const fn crm(self) -> u8 {
        (self.0 >> 1 & 15) as u8
    }

    /// Op2.
    #[inline]
    pub const fn op2(self) -> u8 {
        (self.0 >> 17 & 7) as u8
    }

    /// Whether this is in the space of the AArch64 feature ID registers, trapped by
    /// HCR_EL2.TID3: Op0 3, Op1 0, CRn 0, CRm 1 to 7. What isn't allocated there reads as zero.
    #[inline]
    pub const fn is_feature_id(self) -> bool {
        const CRM: u32 = 15 << 1;
        const OP2: u32 = 7 << 17;
        self.0 & !(CRM | OP2) == 3 << 20 && matches!(self.crm(), 1..=7)
    }

    /// The Arm ARM's name, for those that a guest is likely to touch. A search: not for exits.
    pub fn name(self) -> Option<&'static str> {
        NAMES.iter().find(|(key, _)| *key == self).map(|(_, name)| *name)
    }
}

impl fmt::Display for SysReg {
    /// `SCTLR_EL1`, or `S3_0_C15_C2_1` for what has no name here.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(name) = self.name() {
            return f.write_str(name);
        }
        let (op0, op1, crn, crm, op2) =
            (self.op0(), self.op1(), self.crn(), self.crm(), self.op2());
        // The breakpoint and watchpoint registers carry their number in CRm.
        if op0 == 2 && op1 == 0 && crn == 0 {
            match op2 {
                4 => return write!(f, "DBGBVR{crm}_EL1"),
                5 => return write!(f, "DBGBCR{crm}_EL1"),
                6 => return write!(f, "DBGWVR{crm}_EL1"),
                7 => return write!(f, "DBGWCR{crm}_EL1"),
                _ => {}
            }
        }
        write!(f, "S{op0}_{op1}_C{crn}_C{crm}_{op2}")
    }
}

impl fmt::Debug for SysReg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SysReg({self})")
    }
}

/// The ISS of a trapped MSR, MRS or SYS (EC 0x18): the register, the direction and Rt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct SysRegAccess(u32);

impl SysRegAccess {
    /// Takes the ISS of `esr`, whose class the caller has looked at.
    #[inline]
    pub const fn new(esr: Esr) -> Self {
        Self(esr.iss())
    }

    /// Which register or instruction.
    #[inline]
    pub const fn register(self) -> SysReg {
        SysReg(self.0 & SysReg::MASK)
    }

    /// Rt, bits 9:5: the general-purpose register, where 31 is XZR.
    #[inline]
    pub const fn rt(self) -> u8 {
        (self.0 >> 5 & 31) as u8
    }

    /// Direction, bit 0: a read (MRS), else a write (MSR, SYS).
    #[inline]
    pub const fn read(self) -> bool {
        self.0 & 1 != 0
    }
}

macro_rules! registers {
    ($($name:ident $op0:literal $op1:literal $crn:literal $crm:literal $op2:literal,)*) => {
        /// Keys of the registers and instructions that a guest is likely to touch and that EL2
        /// may trap (Arm DDI 0487, "System instruction and register encodings").
        #[allow(missing_docs, reason = "the names are the Arm ARM's")]
        pub mod reg {
            use super::SysReg;
            $(pub const $name: SysReg = SysReg::new($op0, $op1, $crn, $crm, $op2);)*
        }

        const NAMES: &[(SysReg, &str)] = &[$((reg::$name, stringify!($name))),*];
    };
}

registers! {
    // Cache, TLB and address translation instructions.
    DC_IVAC 1 0 7 6 1,
    DC_ISW 1 0 7 6 2,
    DC_CSW 1 0 7 10 2,
    DC_CISW 1 0 7 14 2,
    DC_ZVA 1 3 7 4 1,
    DC_CVAC 1 3 7 10 1,
    DC_CVAU 1 3 7 11 1,
    DC_CIVAC 1 3 7 14 1,
    IC_IALLUIS 1 0 7 1 0,
    IC_IALLU 1 0 7 5 0,
    IC_IVAU 1 3 7 5 1,
    AT_S1E1R 1 0 7 8 0,
    AT_S1E1W 1 0 7 8 1,
    TLBI_VMALLE1IS 1 0 8 3 0,
    TLBI_VMALLE1 1 0 8 7 0,
    // Debug.
    OSDTRRX_EL1 2 0 0 0 2,
    MDCCINT_EL1 2 0 0 2 0,
    MDSCR_EL1 2 0 0 2 2,
    OSDTRTX_EL1 2 0 0 3 2,
    OSECCR_EL1 2 0 0 6 2,
    MDRAR_EL1 2 0 1 0 0,
    OSLAR_EL1 2 0 1 0 4,
    OSLSR_EL1 2 0 1 1 4,
    OSDLR_EL1 2 0 1 3 4,
    DBGPRCR_EL1 2 0 1 4 4,
    DBGCLAIMSET_EL1 2 0 7 8 6,
    DBGCLAIMCLR_EL1 2 0 7 9 6,
    DBGAUTHSTATUS_EL1 2 0 7 14 6,
    MDCCSR_EL0 2 3 0 1 0,
    DBGDTR_EL0 2 3 0 4 0,
    DBGDTRRX_EL0 2 3 0 5 0,
    // Identification.
    MIDR_EL1 3 0 0 0 0,
    MPIDR_EL1 3 0 0 0 5,
    REVIDR_EL1 3 0 0 0 6,
    ID_PFR0_EL1 3 0 0 1 0,
    ID_PFR1_EL1 3 0 0 1 1,
    ID_DFR0_EL1 3 0 0 1 2,
    ID_AFR0_EL1 3 0 0 1 3,
    ID_MMFR0_EL1 3 0 0 1 4,
    ID_MMFR1_EL1 3 0 0 1 5,
    ID_MMFR2_EL1 3 0 0 1 6,
    ID_MMFR3_EL1 3 0 0 1 7,
    ID_ISAR0_EL1 3 0 0 2 0,
    ID_ISAR1_EL1 3 0 0 2 1,
    ID_ISAR2_EL1 3 0 0 2 2,
    ID_ISAR3_EL1 3 0 0 2 3,
    ID_ISAR4_EL1 3 0 0 2 4,
    ID_ISAR5_EL1 3 0 0 2 5,
    ID_MMFR4_EL1 3 0 0 2 6,
    ID_ISAR6_EL1 3 0 0 2 7,
    MVFR0_EL1 3 0 0 3 0,
    MVFR1_EL1 3 0 0 3 1,
    MVFR2_EL1 3 0 0 3 2,
    ID_PFR2_EL1 3 0 0 3 4,
    ID_DFR1_EL1 3 0 0 3 5,
    ID_MMFR5_EL1 3 0 0 3 6,
    ID_AA64PFR0_EL1 3 0 0 4 0,
    ID_AA64PFR1_EL1 3 0 0 4 1,
    ID_AA64PFR2_EL1 3 0 0 4 2,
    ID_AA64ZFR0_EL1 3 0 0 4 4,
    ID_AA64SMFR0_EL1 3 0 0 4 5,
    ID_AA64FPFR0_EL1 3 0 0 4 7,
    ID_AA64DFR0_EL1 3 0 0 5 0,
    ID_AA64DFR1_EL1 3 0 0 5 1,
    ID_AA64AFR0_EL1 3 0 0 5 4,
    ID_AA64AFR1_EL1 3 0 0 5 5,
    ID_AA64ISAR0_EL1 3 0 0 6 0,
    ID_AA64ISAR1_EL1 3 0 0 6 1,
    ID_AA64ISAR2_EL1 3 0 0 6 2,
    ID_AA64MMFR0_EL1 3 0 0 7 0,
    ID_AA64MMFR1_EL1 3 0 0 7 1,
    ID_AA64MMFR2_EL1 3 0 0 7 2,
    ID_AA64MMFR3_EL1 3 0 0 7 3,
    ID_AA64MMFR4_EL1 3 0 0 7 4,
    CCSIDR_EL1 3 1 0 0 0,
    CLIDR_EL1 3 1 0 0 1,
    CCSIDR2_EL1 3 1 0 0 2,
    GMID_EL1 3 1 0 0 4,
    SMIDR_EL1 3 1 0 0 6,
    AIDR_EL1 3 1 0 0 7,
    CSSELR_EL1 3 2 0 0 0,
    CTR_EL0 3 3 0 0 1,
    DCZID_EL0 3 3 0 0 7,
    // Control and translation.
    SCTLR_EL1 3 0 1 0 0,
    ACTLR_EL1 3 0 1 0 1,
    CPACR_EL1 3 0 1 0 2,
    RGSR_EL1 3 0 1 0 5,
    GCR_EL1 3 0 1 0 6,
    ZCR_EL1 3 0 1 2 0,
    TRFCR_EL1 3 0 1 2 1,
    SMCR_EL1 3 0 1 2 6,
    TTBR0_EL1 3 0 2 0 0,
    TTBR1_EL1 3 0 2 0 1,
    TCR_EL1 3 0 2 0 2,
    APIAKEYLO_EL1 3 0 2 1 0,
    APIAKEYHI_EL1 3 0 2 1 1,
    APIBKEYLO_EL1 3 0 2 1 2,
    APIBKEYHI_EL1 3 0 2 1 3,
    APDAKEYLO_EL1 3 0 2 2 0,
    APDAKEYHI_EL1 3 0 2 2 1,
    APDBKEYLO_EL1 3 0 2 2 2,
    APDBKEYHI_EL1 3 0 2 2 3,
    APGAKEYLO_EL1 3 0 2 3 0,
    APGAKEYHI_EL1 3 0 2 3 1,
    AFSR0_EL1 3 0 5 1 0,
    AFSR1_EL1 3 0 5 1 1,
    ESR_EL1 3 0 5 2 0,
    ERRIDR_EL1 3 0 5 3 0,
    ERRSELR_EL1 3 0 5 3 1,
    ERXFR_EL1 3 0 5 4 0,
    ERXCTLR_EL1 3 0 5 4 1,
    ERXSTATUS_EL1 3 0 5 4 2,
    ERXADDR_EL1 3 0 5 4 3,
    ERXMISC0_EL1 3 0 5 5 0,
    ERXMISC1_EL1 3 0 5 5 1,
    TFSR_EL1 3 0 5 6 0,
    TFSRE0_EL1 3 0 5 6 1,
    FAR_EL1 3 0 6 0 0,
    PAR_EL1 3 0 7 4 0,
    MAIR_EL1 3 0 10 2 0,
    AMAIR_EL1 3 0 10 3 0,
    LORSA_EL1 3 0 10 4 0,
    LOREA_EL1 3 0 10 4 1,
    LORN_EL1 3 0 10 4 2,
    LORC_EL1 3 0 10 4 3,
    LORID_EL1 3 0 10 4 7,
    VBAR_EL1 3 0 12 0 0,
    DISR_EL1 3 0 12 1 1,
    CONTEXTIDR_EL1 3 0 13 0 1,
    TPIDR_EL1 3 0 13 0 4,
    CNTKCTL_EL1 3 0 14 1 0,
    RNDR 3 3 2 4 0,
    RNDRRS 3 3 2 4 1,
    FPCR 3 3 4 4 0,
    FPSR 3 3 4 4 1,
    TPIDR_EL0 3 3 13 0 2,
    TPIDRRO_EL0 3 3 13 0 3,
    TPIDR2_EL0 3 3 13 0 5,
    // Statistical profiling and trace buffer.
    PMSCR_EL1 3 0 9 9 0,
    PMSIDR_EL1 3 0 9 9 7,
    PMBLIMITR_EL1 3 0 9 10 0,
    PMBPTR_EL1 3 0 9 10 1,
    PMBSR_EL1 3 0 9 10 3,
    PMBIDR_EL1 3 0 9 10 7,
    TRBLIMITR_EL1 3 0 9 11 0,
    TRBIDR_EL1 3 0 9 11 7,
    // Performance monitors.
    PMINTENSET_EL1 3 0 9 14 1,
    PMINTENCLR_EL1 3 0 9 14 2,
    PMMIR_EL1 3 0 9 14 6,
    PMCR_EL0 3 3 9 12 0,
    PMCNTENSET_EL0 3 3 9 12 1,
    PMCNTENCLR_EL0 3 3 9 12 2,
    PMOVSCLR_EL0 3 3 9 12 3,
    PMSWINC_EL0 3 3 9 12 4,
    PMSELR_EL0 3 3 9 12 5,
    PMCEID0_EL0 3 3 9 12 6,
    PMCEID1_EL0 3 3 9 12 7,
    PMCCNTR_EL0 3 3 9 13 0,
    PMXEVTYPER_EL0 3 3 9 13 1,
    PMXEVCNTR_EL0 3 3 9 13 2,
    PMUSERENR_EL0 3 3 9 14 0,
    PMOVSSET_EL0 3 3 9 14 3,
    PMCCFILTR_EL0 3 3 14 15 7,
    AMCR_EL0 3 3 13 2 0,
    // The GIC's CPU interface.
    ICC_PMR_EL1 3 0 4 6 0,
    ICC_IAR0_EL1 3 0 12 8 0,
    ICC_EOIR0_EL1 3 0 12 8 1,
    ICC_HPPIR0_EL1 3 0 12 8 2,
    ICC_BPR0_EL1 3 0 12 8 3,
    ICC_AP0R0_EL1 3 0 12 8 4,
    ICC_AP1R0_EL1 3 0 12 9 0,
    ICC_DIR_EL1 3 0 12 11 1,
    ICC_RPR_EL1 3 0 12 11 3,
    ICC_SGI1R_EL1 3 0 12 11 5,
    ICC_ASGI1R_EL1 3 0 12 11 6,
    ICC_SGI0R_EL1 3 0 12 11 7,
    ICC_IAR1_EL1 3 0 12 12 0,
    ICC_EOIR1_EL1 3 0 12 12 1,
    ICC_HPPIR1_EL1 3 0 12 12 2,
    ICC_BPR1_EL1 3 0 12 12 3,
    ICC_CTLR_EL1 3 0 12 12 4,
    ICC_SRE_EL1 3 0 12 12 5,
    ICC_IGRPEN0_EL1 3 0 12 12 6,
    ICC_IGRPEN1_EL1 3 0 12 12 7,
    // The generic timer.
    CNTFRQ_EL0 3 3 14 0 0,
    CNTPCT_EL0 3 3 14 0 1,
    CNTVCT_EL0 3 3 14 0 2,
    CNTPCTSS_EL0 3 3 14 0 5,
    CNTVCTSS_EL0 3 3 14 0 6,
    CNTP_TVAL_EL0 3 3 14 2 0,
    CNTP_CTL_EL0 3 3 14 2 1,
    CNTP_CVAL_EL0 3 3 14 2 2,
    CNTV_TVAL_EL0 3 3 14 3 0,
    CNTV_CTL_EL0 3 3 14 3 1,
    CNTV_CVAL_EL0 3 3 14 3 2,
}
