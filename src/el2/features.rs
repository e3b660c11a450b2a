//! What a guest may use, decided in one place: each line hides a feature in the ID registers, and
//! names the trap (traps.rs) or the switched state (state.rs) that goes with it. What is not hidden
//! needs no state of ours.
//!
//! The table is the intersection over all pCPUs: a vCPU may move, and must not find less than it
//! was told of.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use aarch64_cpu::registers::{ICH_VTR_EL2, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1};
use spin::Once;
use tock_registers::interfaces::Readable;

/// CPU features that the world switch asks about.
pub struct Features {
    /// Pointer authentication: keys are switched.
    pub pauth: bool,
    /// TPIDR2_EL0 exists, and no trap of ours hides it.
    pub tpidr2: bool,
    /// SCXTNUM_ELx exist.
    pub scxtnum: bool,
    /// FEAT_RAS: a virtual SError has a syndrome.
    pub ras: bool,
    /// How many ICH_AP0Rn_EL2 there are: 1, 2 or 4, by ICH_VTR_EL2.PREbits.
    pub active_registers: u32,
}

/// ID registers by CRm × 8 + op2 (op0=3, op1=0, CRn=0), as guests read them.
static TABLE: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
static FIRST: AtomicBool = AtomicBool::new(true);

static FEATURES: Once<Features> = Once::new();

/// Nothing: what [`features`] says before [`init`].
static NONE: Features =
    Features { pauth: false, tpidr2: false, scxtnum: false, ras: false, active_registers: 1 };

/// This machine's features.
#[inline(always)]
pub fn features() -> &'static Features {
    FEATURES.get().unwrap_or(&NONE)
}

/// What a guest reads from the ID register with this CRm and op2. Unallocated ones are 0.
#[inline(always)]
pub fn id_register(crm: u64, op2: u64) -> u64 {
    TABLE[((crm << 3 | op2) & 63) as usize].load(Ordering::Relaxed)
}

macro_rules! read_all {
    ($into:expr, $($crm:literal: $($op2:literal)*;)*) => {
        $($({
            let value: u64;
            // SAFETY: the whole space op0=3, op1=0, CRn=0, CRm=1..7 is readable (D24.1.3: RES0
            // where nothing is allocated).
            unsafe {
                asm!(concat!("mrs {}, S3_0_C0_C", $crm, "_", $op2), out(reg) value, options(nomem, nostack, pure))
            };
            $into[$crm * 8 + $op2] = value;
        })*)*
    };
}

/// Register numbers in the table.
const PFR0: usize = 4 * 8;
const PFR1: usize = 4 * 8 + 1;
const DFR0: usize = 5 * 8;
const ISAR0: usize = 6 * 8;
const ISAR1: usize = 6 * 8 + 1;
const ISAR2: usize = 6 * 8 + 2;
const MMFR0: usize = 7 * 8;
const MMFR1: usize = 7 * 8 + 1;
const MMFR2: usize = 7 * 8 + 2;
const A32_DFR0: usize = 8 + 2;

/// A four-bit field at `at` of register `register`: never more than `most` is shown.
struct Limit(usize, u32, u64);

/// The fields that guests see less of than the CPU has, each with what stands behind it.
#[rustfmt::skip]
const LIMITS: &[Limit] = &[
    Limit(PFR0, 4, 1),    // EL1: AArch64 only                    HCR_EL2.RW
    Limit(PFR0, 8, 0),    // EL2: not for guests                  EL1 can't reach it
    Limit(PFR0, 12, 0),   // EL3                                  as on the board at EL1
    Limit(PFR0, 28, 0),   // RAS                                  HCR_EL2.TERR
    Limit(PFR0, 32, 0),   // SVE                                  CPTR_EL2.TZ
    Limit(PFR0, 36, 0),   // Secure EL2
    Limit(PFR0, 40, 0),   // MPAM
    Limit(PFR0, 44, 0),   // AMU                                  CPTR_EL2.TAM
    Limit(PFR0, 52, 0),   // RME
    Limit(PFR0, 56, 1),   // CSV2: no SCXTNUM                     HCR_EL2.EnSCXT, switched
    Limit(PFR1, 8, 0),    // MTE                                  HCR_EL2.ATA, TID5
    Limit(PFR1, 12, 0),   // RAS_frac
    Limit(PFR1, 16, 0),   // MPAM_frac
    Limit(PFR1, 24, 0),   // SME                                  CPTR_EL2.TSM, TPIDR2 switched
    Limit(PFR1, 28, 0),   // RNDR_trap
    Limit(PFR1, 32, 0),   // CSV2_frac
    Limit(PFR1, 36, 0),   // NMI
    Limit(DFR0, 4, 0),    // trace registers                      CPTR_EL2.TTA
    Limit(DFR0, 8, 0),    // PMU                                  MDCR_EL2.TPM, TPMCR
    Limit(DFR0, 32, 0),   // SPE                                  MDCR_EL2.TPMS, E2PB
    Limit(DFR0, 36, 15),  // DoubleLock: OSDLR is emulated        MDCR_EL2.TDOSA
    Limit(DFR0, 40, 0),   // trace filter                         MDCR_EL2.TTRF
    Limit(DFR0, 44, 0),   // trace buffer                         MDCR_EL2.E2TB
    Limit(DFR0, 48, 0),   // MTPMU
    Limit(DFR0, 52, 0),   // BRBE
    Limit(ISAR0, 24, 0),  // TME
    Limit(ISAR1, 56, 0),  // XS                                   HCRX_EL2 stays 0
    Limit(ISAR1, 60, 0),  // LS64                                 HCRX_EL2 stays 0
    Limit(ISAR2, 0, 0),   // WFxT
    Limit(ISAR2, 16, 0),  // MOPS                                 HCRX_EL2 stays 0
    Limit(MMFR0, 0, 2),   // PARange: 40 bits                     VTCR_EL2.PS, T0SZ
    Limit(MMFR0, 20, 1),  // TGran16 without LPA2                 VTCR_EL2.DS=0
    Limit(MMFR0, 28, 0),  // TGran4 without LPA2                  VTCR_EL2.DS=0
    Limit(MMFR0, 32, 0),  // TGran16_2
    Limit(MMFR0, 36, 0),  // TGran64_2
    Limit(MMFR0, 40, 0),  // TGran4_2
    Limit(MMFR0, 44, 0),  // ExS
    Limit(MMFR0, 56, 0),  // FGT
    Limit(MMFR0, 60, 0),  // ECV
    Limit(MMFR1, 4, 0),   // VMIDBits
    Limit(MMFR1, 8, 0),   // VHE
    Limit(MMFR1, 16, 0),  // LOR                                  HCR_EL2.TLOR
    Limit(MMFR1, 24, 0),  // SpecSEI
    Limit(MMFR1, 32, 0),  // TWED
    Limit(MMFR1, 40, 0),  // HCX
    Limit(MMFR1, 52, 0),  // TIDCP1
    Limit(MMFR1, 56, 0),  // CMOW
    Limit(MMFR2, 12, 0),  // IESB, of RAS
    Limit(MMFR2, 24, 0),  // NV                                   HCR_EL2.NV
    Limit(MMFR2, 40, 0),  // FWB
    Limit(MMFR2, 56, 0),  // EVT
    Limit(A32_DFR0, 24, 0), // PMU, AArch32                       MDCR_EL2.TPM
];

/// Registers shown whole but for [`LIMITS`]; all others read as zero.
#[rustfmt::skip]
const SHOWN: &[usize] = &[
    // AArch32: EL0 may have it.
    8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 28, 30,
    PFR0, PFR1, DFR0, ISAR0, ISAR1, ISAR2, MMFR0, MMFR1, MMFR2,
];

/// The field of the GIC system register interface, shown as present: the vGIC is there.
const GIC_FIELD: u64 = 1 << 24;

/// Adds this pCPU to the table: called on every pCPU before any vCPU runs.
pub fn init() {
    let mut own = [0u64; 64];
    read_all!(own,
        1: 0 1 2 3 4 5 6 7; 2: 0 1 2 3 4 5 6 7; 3: 0 1 2 3 4 5 6 7;
        4: 0 1 2 3 4 5 6 7; 5: 0 1 2 3 4 5 6 7; 6: 0 1 2 3 4 5 6 7; 7: 0 1 2 3 4 5 6 7;
    );
    let pauth = (own[ISAR1] & 0xff0_00ff0) | (own[ISAR2] & 0xff00) != 0;
    let tpidr2 = (own[PFR1] >> 24) & 0xf != 0;
    let csv2 = (own[PFR0] >> 56) & 0xf;
    let scxtnum = csv2 >= 2 || (csv2 == 1 && (own[PFR1] >> 32) & 0xf >= 2);
    let ras = (own[PFR0] >> 28) & 0xf != 0;
    let first = FIRST.swap(false, Ordering::AcqRel);
    FEATURES.call_once(|| Features {
        pauth,
        tpidr2,
        scxtnum,
        ras,
        active_registers: 1 << ((ICH_VTR_EL2.get() >> 26 & 7) as u32 + 1).saturating_sub(5),
    });
    for (register, value) in own.iter().enumerate() {
        if !SHOWN.contains(&register) {
            continue;
        }
        let mut shown = *value;
        for Limit(_, at, most) in LIMITS.iter().filter(|limit| limit.0 == register) {
            let field = (shown >> at) & 0xf;
            shown = shown & !(0xf << at) | field.min(*most) << at;
        }
        if register == PFR0 {
            shown = shown & !(0xf << 24) | GIC_FIELD;
        }
        let old = TABLE[register].load(Ordering::Relaxed);
        let merged = if first { shown } else { intersect(register, old, shown) };
        TABLE[register].store(merged, Ordering::Relaxed);
    }
}

/// The less of two values, field by field: 4-bit fields grow with what they offer, and those whose
/// 0b1111 means "none" are signed (D24.1.3).
fn intersect(register: usize, a: u64, b: u64) -> u64 {
    let mut least = 0;
    for at in (0..64).step_by(4) {
        let signed = match register {
            PFR0 => at == 16 || at == 20,
            DFR0 => at == 8 || at == 36,
            MMFR0 => at == 24 || at == 28,
            _ => false,
        };
        let (x, y) = ((a >> at) & 0xf, (b >> at) & 0xf);
        let order = |v: u64| if signed { v ^ 8 } else { v };
        least |= if order(x) <= order(y) { x } else { y } << at;
    }
    least
}

/// Bits of a physical address on this machine, by ID_AA64MMFR0_EL1.PARange; 48 at most, since
/// tables are made without LPA2.
pub fn pa_bits() -> u8 {
    match ID_AA64MMFR0_EL1.get() & 0xf {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        4 => 44,
        _ => 48,
    }
}

/// Bits of an IPA: what the machine has, at most 40.
pub fn ipa_bits() -> u8 {
    pa_bits().min(40)
}

/// Whether VMIDs have 16 bits (ID_AA64MMFR1_EL1.VMIDBits), not 8.
pub fn has_vmid16() -> bool {
    ID_AA64MMFR1_EL1.read(ID_AA64MMFR1_EL1::VMIDBits) == 2
}

/// The largest VMID.
pub fn most_vmid() -> u16 {
    if has_vmid16() { u16::MAX } else { u8::MAX.into() }
}
