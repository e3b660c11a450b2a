//! What a CPU is, by its ID registers; what guests are shown of it; and what all pCPUs have in
//! common, since a vCPU moves and must not find less than it was told of.
//!
//! Source: Arm DDI 0487 D24.2, the ID registers, and D24.1.3, the principles of their fields.

#[cfg(test)]
mod tests;

use thiserror::Error;

/// ID registers are numbered by CRm × 8 + op2 (op0 = 3, op1 = 0, CRn = 0).
pub type Registers = [u64; 64];

/// ID_AA64PFR0_EL1 and the others that are named here or by who shows or hides their fields.
#[expect(missing_docs, reason = "the registers' names, without ID_AA64 and _EL1")]
pub mod register {
    pub const PFR0: usize = 4 << 3;
    pub const PFR1: usize = PFR0 + 1;
    pub const DFR0: usize = 5 << 3;
    pub const ISAR0: usize = 6 << 3;
    pub const ISAR1: usize = ISAR0 + 1;
    pub const ISAR2: usize = ISAR0 + 2;
    pub const MMFR0: usize = 7 << 3;
    pub const MMFR1: usize = MMFR0 + 1;
    pub const MMFR2: usize = MMFR0 + 2;
    /// ID_DFR0_EL1, of AArch32.
    pub const A32_DFR0: usize = 8 + 2;
}
use register::*;

/// The fields that guests are shown, by masks: all others read as zero, those that a later
/// architecture may invent too. What is not shown, and why a guest can't use it, is listed in
/// `el2::features`.
#[rustfmt::skip]
const SHOWN: &[(usize, u64)] = &[
    (PFR0,  0xff0f_0000_0fff_00ff),
    (PFR1,  0x0000_0000_0000_00ff),
    (DFR0,  0x0000_00f0_f0f0_f00f),
    (ISAR0, 0xffff_ffff_f0ff_fff0),
    (ISAR1, 0x00ff_ffff_ffff_ffff),
    (ISAR2, 0x0000_0000_fff0_fff0),
    (MMFR0, 0x0000_0000_ffff_ffff),
    (MMFR1, 0xf00f_f0f0_f0f0_f00f),
    (MMFR2, 0xf0ff_00ff_f0ff_0fff),
    // AArch32, which EL0 may have: ID_PFR0 without RAS and AMU, ID_DFR0 without PMU and trace,
    // ID_PFR1 without what EL1 would have to be AArch32 for (ProgMod, Security, Virtualization),
    // ID_PFR2 without RAS_frac, ID_MMFR4 without SpecSEI and EVT; ID_MMFR0 to 3, ID_ISAR0 to 6,
    // MVFR0 to 2, ID_MMFR5.
    (8, 0x0f0f_ffff), (9, 0xf00f_0000), (A32_DFR0, 0x00f0_0fff), (28, 0xff), (22, 0x0fff_fff0),
    (12, !0), (13, !0), (14, !0), (15, !0), (16, !0), (17, !0), (18, !0), (19, !0),
    (20, !0), (21, !0), (23, !0), (24, !0), (25, !0), (26, !0), (30, !0),
];

/// Fields that are shown, but never more than so much of them: register, lowest bit, the most.
#[rustfmt::skip]
const LIMITS: &[(usize, u32, u64)] = &[
    (PFR0, 4, 1),   // EL1: AArch64 only              HCR_EL2.RW
    (PFR0, 56, 1),  // CSV2: no SCXTNUM_ELx           HCR_EL2.EnSCXT
    (DFR0, 0, 9),   // DebugVer: Armv8.4
    (MMFR0, 0, 2),  // PARange: 40 bits               VTCR_EL2.PS, T0SZ
    (MMFR0, 20, 1), // TGran16 without LPA2           VTCR_EL2.DS
    (MMFR0, 28, 0), // TGran4 without LPA2            VTCR_EL2.DS
    (MMFR1, 0, 2),  // HAFDBS: no table access flag
    (MMFR2, 16, 1), // VARange: 52 bits
];

/// Fields that say the same on every machine: register, lowest bit, value.
const FIXED: &[(usize, u32, u64)] = &[
    (PFR0, 24, 1),  // GIC: the vGIC's system registers are there
    (DFR0, 36, 15), // DoubleLock: not there, OSDLR_EL1 is RAZ/WI
];

/// Four-bit fields in which 0b1111 is less than 0b0000: "not there".
const SIGNED: &[(usize, u32)] = &[(PFR0, 16), (PFR0, 20), (MMFR0, 24), (MMFR0, 28)];

/// Fields that name an algorithm: it is the same on all pCPUs, or there is none. APA, API, GPA,
/// GPI; GPA3, APA3.
const EXACT: &[(usize, u64)] = &[(ISAR1, 0xff00_0ff0), (ISAR2, 0xff00)];

/// The fields of `register` that are shown.
pub const fn shown_fields(register: usize) -> u64 {
    let mut i = 0;
    while i < SHOWN.len() {
        if SHOWN[i].0 == register {
            return SHOWN[i].1;
        }
        i += 1;
    }
    0
}

/// What guests are shown of a CPU with the ID registers `own`.
pub fn shown(own: &Registers) -> Registers {
    let mut shown = [0; 64];
    for (register, (shown, own)) in shown.iter_mut().zip(own).enumerate() {
        *shown = own & shown_fields(register);
    }
    for &(register, at, most) in LIMITS {
        let found = field(shown[register], at);
        set_field(&mut shown[register], at, lesser(register, at, found, most));
    }
    for &(register, at, value) in FIXED {
        set_field(&mut shown[register], at, value);
    }
    shown
}

/// What two CPUs have in common in an ID register. Four-bit fields grow with what they offer.
pub fn common(register: usize, a: u64, b: u64) -> u64 {
    let mut common = 0;
    for at in (0..64).step_by(4) {
        let (x, y) = (field(a, at), field(b, at));
        let is_exact = EXACT.iter().any(|exact| exact.0 == register && exact.1 >> at & 1 != 0);
        let value = if is_exact && x != y { 0 } else { lesser(register, at, x, y) };
        set_field(&mut common, at, value);
    }
    common
}

fn lesser(register: usize, at: u32, x: u64, y: u64) -> u64 {
    let sign = if SIGNED.contains(&(register, at)) { 8 } else { 0 };
    if x ^ sign <= y ^ sign { x } else { y }
}

fn field(value: u64, at: u32) -> u64 {
    value >> at & 0xf
}

fn set_field(value: &mut u64, at: u32, field: u64) {
    *value = *value & !(0xf << at) | field << at;
}

/// What the hypervisor needs to know of one CPU.
#[derive(Clone, PartialEq, Eq, Debug)]
#[expect(missing_docs, reason = "the registers' names")]
pub struct Cpu {
    pub id: Registers,
    pub midr: u64,
    pub ctr: u64,
    pub dczid: u64,
    pub ich_vtr: u64,
}

/// Why a pCPU can't run vCPUs beside the first one.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("{field}: found {found:#x}, wanted {wanted:#x} as on the first pCPU")]
pub struct Unlike {
    field: &'static str,
    found: u64,
    wanted: u64,
}

/// Whether another CPU may have so much in a field where the first has so much.
type Rule = fn(u64, u64) -> bool;
const SAME: Rule = |other, first| other == first;
const NOT_LESS: Rule = |other, first| other >= first;
/// They may differ in anything but that the field is zero.
const PRESENCE: Rule = |other, first| (other == 0) == (first == 0);

/// What guests find by registers that don't trap, and what decides which registers are switched:
/// name, value, mask and rule.
type Need = (&'static str, fn(&Cpu) -> u64, u64, Rule);
#[rustfmt::skip]
const NEEDS: &[Need] = &[
    ("ID_AA64MMFR0_EL1.PARange", |cpu| cpu.id[MMFR0], 0xf, NOT_LESS),
    ("ID_AA64MMFR1_EL1.VMIDBits", |cpu| cpu.id[MMFR1], 0xf0, NOT_LESS),
    ("ID_AA64PFR0_EL1.RAS", |cpu| cpu.id[PFR0], 0xf << 28, PRESENCE),
    ("ID_AA64PFR1_EL1.SME", |cpu| cpu.id[PFR1], 0xf << 24, PRESENCE),
    ("ID_AA64ISAR1_EL1, pointer authentication", |cpu| cpu.id[ISAR1], EXACT[0].1, SAME),
    ("ID_AA64ISAR2_EL1, pointer authentication", |cpu| cpu.id[ISAR2], EXACT[1].1, SAME),
    ("CTR_EL0.IminLine", |cpu| cpu.ctr, 0xf, NOT_LESS),
    ("CTR_EL0.DminLine", |cpu| cpu.ctr, 0xf << 16, NOT_LESS),
    ("CTR_EL0.IDC", |cpu| cpu.ctr, 1 << 28, NOT_LESS),
    ("CTR_EL0.DIC", |cpu| cpu.ctr, 1 << 29, NOT_LESS),
    ("DCZID_EL0", |cpu| cpu.dczid, 0x1f, SAME),
    ("ICH_VTR_EL2.ListRegs", |cpu| cpu.ich_vtr, 0x1f, NOT_LESS),
    ("ICH_VTR_EL2.PREbits, PRIbits", |cpu| cpu.ich_vtr, 0x3f << 26, SAME),
];

impl Cpu {
    /// Whether a field of an ID register is not zero.
    pub fn has(&self, register: usize, at: u32) -> bool {
        field(self.id[register & 63], at) != 0
    }

    /// Whether keys of pointer authentication exist.
    pub fn has_pauth(&self) -> bool {
        EXACT.iter().any(|&(register, fields)| self.id[register] & fields != 0)
    }

    /// Checks that vCPUs that began on `self` can go on on `other`.
    pub fn check(&self, other: &Self) -> Result<(), Unlike> {
        for (field, value, mask, rule) in NEEDS {
            let place = mask.trailing_zeros();
            let (wanted, found) = ((value(self) & mask) >> place, (value(other) & mask) >> place);
            if !rule(found, wanted) {
                return Err(Unlike { field, found, wanted });
            }
        }
        Ok(())
    }
}
