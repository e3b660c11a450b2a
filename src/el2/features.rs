//! What a guest may use, decided in one place: what it is shown of the ID registers, what hides
//! behind a trap (traps.rs), and which registers are switched because of it (state.rs).

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::registers::{ICH_VTR_EL2, ID_AA64MMFR0_EL1, ID_AA64MMFR1_EL1, MIDR_EL1};
use spin::Once;
use tock_registers::interfaces::Readable;

use super::regs::{CTR_EL0, DCZID_EL0};
use super::traps::{CPTR, HCR, MDCR};
use crate::platform::cpu::register::*;
use crate::platform::cpu::{Cpu, Unlike, common, shown, shown_fields};

/// The fields of ID registers that read as zero because of a trap: register and lowest bit, then the
/// control register and its bit that keeps guests from the feature, and by what it does so. Checked
/// below: none is shown, and the trap is as said.
///
/// Other fields are hidden as well, without a trap of ours. Either EL1 has nothing of the feature
/// by architecture, or nothing unless HCRX_EL2, the fine-grained traps or VTCR_EL2 enable it, and
/// these stay 0: EL2, EL3, Secure EL2, RME, MPAM (which MPAM2_EL2 traps), NMI, GCS, THE, BRBE, XS,
/// LS64, MOPS, FGT, VHE, VMIDBits, TWED, HCX, TIDCP1, CMOW, FWB, EVT. Or it has no state, and may
/// be used all the same: TME, WFxT, ExS, ECV, SpecSEI, IESB.
#[rustfmt::skip]
const HIDDEN: &[(usize, u32, u64, u32, u64)] = &[
    (PFR0, 28, HCR, 36, 1),     // RAS: TERR; DISR_EL1 is switched
    (PFR0, 32, CPTR, 8, 1),     // SVE: TZ
    (PFR0, 44, CPTR, 30, 1),    // AMU: TAM
    (PFR1, 8, HCR, 56, 0),      // MTE: ATA,
    (PFR1, 8, HCR, 58, 1),      // and TID5 for GMID_EL1
    (PFR1, 12, HCR, 36, 1),     // RAS_frac: TERR
    (PFR1, 24, CPTR, 12, 1),    // SME: TSM; TPIDR2_EL0 is switched
    (PFR1, 32, HCR, 53, 0),     // CSV2_frac, SCXTNUM_ELx: EnSCXT
    (DFR0, 4, CPTR, 20, 1),     // trace registers: TTA
    (DFR0, 8, MDCR, 6, 1),      // PMU: TPM,
    (DFR0, 8, MDCR, 5, 1),      // TPMCR
    (DFR0, 32, MDCR, 14, 1),    // SPE: TPMS,
    (DFR0, 32, MDCR, 12, 0),    // E2PB
    (DFR0, 40, MDCR, 19, 1),    // trace filter: TTRF
    (DFR0, 44, MDCR, 24, 0),    // trace buffer: E2TB
    (A32_DFR0, 24, MDCR, 6, 1), // PMU, from AArch32: TPM
    (MMFR1, 16, HCR, 35, 1),    // LORegions: TLOR
    (MMFR2, 24, HCR, 42, 0),    // NV: NV
];

const _: () = {
    let mut i = 0;
    while i < HIDDEN.len() {
        let (register, at, control, bit, value) = HIDDEN[i];
        assert!(shown_fields(register) >> at & 0xf == 0, "it is shown");
        assert!(control >> bit & 1 == value, "its trap is not as said");
        i += 1;
    }
};

/// CPU features that the world switch asks about: the same on all pCPUs.
pub struct Features {
    /// Pointer authentication: keys are switched.
    pub pauth: bool,
    /// TPIDR2_EL0 exists, and no trap of ours hides it.
    pub tpidr2: bool,
    /// FEAT_RAS: a virtual SError has a syndrome, and DISR_EL1 exists.
    pub ras: bool,
    /// How many ICH_AP0Rn_EL2 there are: 1, 2 or 4, by ICH_VTR_EL2.PREbits.
    pub active_registers: u32,
}

/// The ID registers as guests read them: what all pCPUs have in common.
static TABLE: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];
/// The least ID_AA64PFR0_EL1.CSV2, of which guests are shown 1 at most.
static CSV2: AtomicU64 = AtomicU64::new(u64::MAX);

static FIRST: Once<(Cpu, Features)> = Once::new();

/// Nothing: what [`features`] says before [`init`].
static NONE: Features = Features { pauth: false, tpidr2: false, ras: false, active_registers: 1 };

/// This machine's features.
#[inline(always)]
pub fn features() -> &'static Features {
    FIRST.get().map_or(&NONE, |(_, features)| features)
}

/// What a guest reads from the ID register with this CRm and op2. Unallocated ones are 0.
#[inline(always)]
pub fn id_register(crm: u64, op2: u64) -> u64 {
    TABLE[((crm << 3 | op2) & 63) as usize].load(Ordering::Relaxed)
}

/// ID_AA64PFR0_EL1.CSV2 of all pCPUs: 3 says that branch history can't be exploited either.
pub fn csv2() -> u64 {
    CSV2.load(Ordering::Relaxed)
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

fn this_cpu() -> Cpu {
    let mut id = [0u64; 64];
    read_all!(id,
        1: 0 1 2 3 4 5 6 7; 2: 0 1 2 3 4 5 6 7; 3: 0 1 2 3 4 5 6 7;
        4: 0 1 2 3 4 5 6 7; 5: 0 1 2 3 4 5 6 7; 6: 0 1 2 3 4 5 6 7; 7: 0 1 2 3 4 5 6 7;
    );
    let (midr, ich_vtr) = (MIDR_EL1.get(), ICH_VTR_EL2.get());
    Cpu { id, midr, ctr: CTR_EL0.get(), dczid: DCZID_EL0.get(), ich_vtr }
}

/// Adds this pCPU to the table: called on every pCPU before any vCPU runs. Returns the first pCPU;
/// the error says what keeps vCPUs of that one from running here as well.
pub fn init() -> Result<&'static Cpu, Unlike> {
    let own = this_cpu();
    let shown = shown(&own.id);
    let is_first = FIRST.get().is_none();
    let (first, _) = FIRST.call_once(|| {
        let features = Features {
            pauth: own.has_pauth(),
            tpidr2: own.has(PFR1, 24),
            ras: own.has(PFR0, 28),
            active_registers: 1 << ((own.ich_vtr >> 26 & 7) as u32 + 1).saturating_sub(5),
        };
        (own.clone(), features)
    });
    first.check(&own)?;
    for (register, (slot, own)) in TABLE.iter().zip(shown).enumerate() {
        let all = if is_first { own } else { common(register, slot.load(Ordering::Relaxed), own) };
        slot.store(all, Ordering::Relaxed);
    }
    CSV2.fetch_min(own.id[PFR0] >> 56 & 0xf, Ordering::Relaxed);
    if is_first || own.midr != first.midr {
        super::errata::tell(own.midr);
    }
    Ok(first)
}

/// 32 bytes of RNDRRS, if this CPU has it and it delivers.
pub fn random() -> Option<[u8; 32]> {
    // ID_AA64ISAR0_EL1.RNDR, on all pCPUs.
    if id_register(6, 0) >> 60 == 0 {
        return None;
    }
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_mut(8) {
        let number = (0..10).find_map(|_| {
            let (number, failed): (u64, u64);
            // SAFETY: FEAT_RNG is there. Z is set where there is no entropy at the moment (C6.2).
            unsafe {
                asm!("mrs {}, S3_3_C2_C4_1", "cset {}, eq", out(reg) number, out(reg) failed,
                    options(nomem, nostack))
            };
            (failed == 0).then_some(number)
        })?;
        chunk.copy_from_slice(&number.to_le_bytes());
    }
    Some(bytes)
}

/// How long a physical address is on this machine, as ID_AA64MMFR0_EL1.PARange has it; 48 bits at
/// most, since tables are made without LPA2.
pub fn pa_range() -> u64 {
    (ID_AA64MMFR0_EL1.get() & 0xf).min(5)
}

/// Bits of an IPA: what the machine has, at most 40.
pub fn ipa_bits() -> u8 {
    [32, 36].get(pa_range() as usize).copied().unwrap_or(40)
}

/// Whether VMIDs have 16 bits (ID_AA64MMFR1_EL1.VMIDBits), not 8.
pub fn has_vmid16() -> bool {
    ID_AA64MMFR1_EL1.read(ID_AA64MMFR1_EL1::VMIDBits) == 2
}

/// The largest VMID.
pub fn most_vmid() -> u16 {
    if has_vmid16() { u16::MAX } else { u8::MAX.into() }
}
