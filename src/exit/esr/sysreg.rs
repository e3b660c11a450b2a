//! Trapped system registers: a compact key for match tables, and names for printing.

use core::fmt;

use super::Esr;

/// A system register or system instruction by its encoding, in the layout of the ISS of EC 0x18:
/// Op0 in bits 21:20, Op2 19:17, Op1 16:14, CRn 13:10, CRm 4:1; Rt and direction are zero.
///
/// So the key of a trap is one AND away from ESR_EL2, and a `match` over the constants of
/// [`reg`] is a search tree over plain numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SysReg(u32);

impl SysReg {
    const MASK: u32 = 0x3f_fc1e;

    /// The register `S<op0>_<op1>_C<crn>_C<crm>_<op2>`: the order of MRS's operands.
    pub const fn new(op0: u8, op1: u8, crn: u8, crm: u8, op2: u8) -> Self {
        let op = (op0 as u32 & 3) << 20 | (op2 as u32 & 7) << 17 | (op1 as u32 & 7) << 14;
        Self(op | (crn as u32 & 15) << 10 | (crm as u32 & 15) << 1)
    }

    fields! {
        /// Op0: 1 for system instructions, 2 for debug and trace registers, 3 for the others.
        op0[21:20];
        /// Op2.
        op2[19:17];
        /// Op1.
        op1[16:14];
        /// CRn.
        crn[13:10];
        /// CRm.
        crm[4:1];
    }

    /// Whether this is in the space of the AArch64 feature ID registers, trapped by
    /// HCR_EL2.TID3: Op0 3, Op1 0, CRn 0, CRm 1 to 7. What isn't allocated there reads as zero.
    pub const fn is_feature_id(self) -> bool {
        // Whatever CRm and Op2 are: one AND and one comparison for most that are not.
        self.0 & !(15 << 1 | 7 << 17) == 3 << 20 && matches!(self.crm(), 1..=7)
    }

    /// Whether this is in the ID space, of which FEAT_IDST speaks: Op0 3, Op1 0, 1 or 3, CRn 0,
    /// CRm 0 to 7.
    pub const fn is_id(self) -> bool {
        matches!((self.op0(), self.op1(), self.crn(), self.crm()), (3, 0 | 1 | 3, 0, 0..=7))
    }
}

impl fmt::Display for SysReg {
    /// `SCTLR_EL1`, or `S3_0_C15_C2_1` for what has no name here. A search: not for exits.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some((_, name)) = NAMES.iter().find(|(key, _)| key == self) {
            return f.write_str(name);
        }
        let (op0, op1, op2) = (self.op0(), self.op1(), self.op2());
        write!(f, "S{op0}_{op1}_C{}_C{}_{op2}", self.crn(), self.crm())
    }
}

/// The ISS of a trapped MSR, MRS or SYS (EC 0x18): the register, the direction and Rt.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SysRegAccess(u32);

impl SysRegAccess {
    /// Takes the ISS of `esr`, whose class the caller has looked at.
    pub const fn new(esr: Esr) -> Self {
        Self(esr.iss())
    }

    /// Which register or instruction.
    pub const fn register(self) -> SysReg {
        SysReg(self.0 & SysReg::MASK)
    }

    fields! {
        /// Rt, bits 9:5: the general-purpose register, where 31 is XZR.
        rt[9:5];
        /// Direction, bit 0: a read (MRS), else a write (MSR, SYS).
        read[0];
    }
}

macro_rules! registers {
    ($($name:ident $op0:literal $op1:literal $crn:literal $crm:literal $op2:literal,)*) => {
        /// Keys of the registers and instructions that have a handler (Arm DDI 0487, "System
        /// instruction and register encodings").
        #[allow(missing_docs, reason = "the names are the Arm ARM's")]
        pub mod reg {
            use super::SysReg;
            $(pub const $name: SysReg = SysReg::new($op0, $op1, $crn, $crm, $op2);)*
        }

        const NAMES: &[(SysReg, &str)] = &[$((reg::$name, stringify!($name))),*];
    };
}

registers! {
    // Cache maintenance by set and way.
    DC_ISW 1 0 7 6 2,
    DC_CSW 1 0 7 10 2,
    DC_CISW 1 0 7 14 2,
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
    REVIDR_EL1 3 0 0 0 6,
    AIDR_EL1 3 1 0 0 7,
    // Control and translation.
    SCTLR_EL1 3 0 1 0 0,
    ACTLR_EL1 3 0 1 0 1,
    TTBR0_EL1 3 0 2 0 0,
    TTBR1_EL1 3 0 2 0 1,
    TCR_EL1 3 0 2 0 2,
    AFSR0_EL1 3 0 5 1 0,
    AFSR1_EL1 3 0 5 1 1,
    ESR_EL1 3 0 5 2 0,
    FAR_EL1 3 0 6 0 0,
    MAIR_EL1 3 0 10 2 0,
    AMAIR_EL1 3 0 10 3 0,
    CONTEXTIDR_EL1 3 0 13 0 1,
    // The GIC's CPU interface.
    ICC_DIR_EL1 3 0 12 11 1,
    ICC_SGI1R_EL1 3 0 12 11 5,
    ICC_ASGI1R_EL1 3 0 12 11 6,
    ICC_SGI0R_EL1 3 0 12 11 7,
    // The generic timer.
    CNTPCT_EL0 3 3 14 0 1,
    CNTPCTSS_EL0 3 3 14 0 5,
    CNTP_TVAL_EL0 3 3 14 2 0,
    CNTP_CTL_EL0 3 3 14 2 1,
    CNTP_CVAL_EL0 3 3 14 2 2,
}
