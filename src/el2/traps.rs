//! What traps to EL2, and what doesn't: every bit of every control register, stated, with its
//! reason. Bit names and numbers are those of DDI 0487 D24.2; what is not named is RES0 on the
//! CPUs that we know, and written as 0.
//!
//! What traps because a guest must not use it is also hidden in its ID registers: features.rs says
//! both for each feature.

use aarch64_cpu::registers::*;
use tock_registers::interfaces::{Readable, Writeable};

use super::cache;
use super::features::{has_vmid16, ipa_bits, pa_range};
use super::regs::{HCRX_EL2, HSTR_EL2, MPAM2_EL2, OSLAR_EL1, PMCR_EL0, VPIDR_EL2};
use crate::memory::stage2;
use crate::platform::cpu::Cpu;
use crate::platform::cpu::register::{MMFR0, MMFR1, PFR0, PFR1};

/// A bit or field of a control register: its lowest bit, its value, its name, and why. The monitor
/// shows them so.
pub type Field = (u32, u64, &'static str, &'static str);
/// In the place of a value: the CPU decides.
pub const BY_CPU: u64 = u64::MAX;

/// The value of a control register with these fields.
const fn value(fields: &[Field]) -> u64 {
    let mut sum = 0;
    let mut i = 0;
    while i < fields.len() {
        if fields[i].1 != BY_CPU {
            sum |= fields[i].1 << fields[i].0;
        }
        i += 1;
    }
    sum
}

/// HCR_EL2 (D24.2.48) while a guest runs.
pub const HCR: u64 = value(HCR_FIELDS);
/// Its fields.
#[rustfmt::skip]
pub const HCR_FIELDS: &[Field] = &[
    (0, 1,    "VM", "stage 2 is on"),
    (1, 1,    "SWIO", "a set/way invalidate also cleans: nobody loses another's data"),
    (2, 1,    "PTW", "a stage-1 walk into a device faults: no side effect by a walker"),
    (3, 1,    "FMO", "physical FIQs come to EL2, virtual FIQs exist"),
    (4, 1,    "IMO", "the same for IRQs; EL1's ICC_* registers are the virtual ICV_* ones"),
    (5, 1,    "AMO", "the same for SErrors"),
    (6, 0,    "VF", "no FIQ is pended by hand: the list registers do it"),
    (7, 0,    "VI", "no IRQ is pended by hand"),
    (8, 0,    "VSE", "set for the moment in which an SError is injected"),
    (9, 1,    "FB", "local TLB and I-cache maintenance is broadcast: a vCPU moves between pCPUs"),
    (10, 1,   "BSU", "barriers reach at least the inner shareable domain, for the same reason"),
    (12, 0,   "DC", "a guest with its stage 1 off has uncached memory, as on the bare machine"),
    (13, 1,   "TWI", "WFI frees the pCPU for whoever wants it (cleared for a dedicated vCPU)"),
    (14, 0,   "TWE", "WFE is a short wait for a neighbour: its time slice bounds it"),
    (15, 1,   "TID0", "AArch32 JIDR and the like"),
    (16, 1,   "TID1", "REVIDR, AIDR: the implementer's, answered as 0"),
    (17, 0,   "TID2", "CTR and the cache ID registers: read 78,000 times in a boot, no secret"),
    (18, 1,   "TID3", "the feature ID registers: what isn't offered isn't shown"),
    (19, 1,   "TSC", "SMC is answered here; none reaches the firmware"),
    (20, 1,   "TIDCP", "IMPLEMENTATION DEFINED registers"),
    (21, 1,   "TACR", "ACTLR_EL1"),
    (22, 1,   "TSW", "set/way maintenance, which can't work on a moving vCPU"),
    (23, 0,   "TPCP", "maintenance by address to the point of coherency is the guest's own"),
    (24, 0,   "TPU", "and to the point of unification"),
    (25, 0,   "TTLB", "TLB maintenance acts on the guest's VMID alone"),
    (26, 0,   "TVM", "writes of translation registers; set while a set/way clean is under way"),
    (27, 0,   "TGE", "guests have an EL1: their SVCs and aborts go there, not here"),
    (28, 0,   "TDZ", "DC ZVA is harmless"),
    (29, 0,   "HCD", "HVC is the guests' way to call"),
    (30, 0,   "TRVM", "reads of translation registers"),
    (31, 1,   "RW", "EL1 is AArch64"),
    (32, 0,   "CD", "stage 2 doesn't force data uncached"),
    (33, 0,   "ID", "nor instructions"),
    (34, 0,   "E2H", "EL2 keeps its own registers, apart from EL1's: what this project teaches"),
    (35, 1,   "TLOR", "limited ordering regions"),
    (36, 1,   "TERR", "RAS error records: they may name another VM's memory"),
    (37, 1,   "TEA", "synchronous external aborts come here first"),
    (38, 0,   "MIOCNCE", "mismatched attributes stay coherent"),
    (40, 1,   "APK", "pointer authentication keys are the guest's own, switched (features.rs)"),
    (41, 1,   "API", "and its instructions don't trap"),
    (42, 0,   "NV", "no nested virtualization"),
    (46, 0,   "FWB", "memory attributes combine as ever"),
    (53, 0,   "EnSCXT", "SCXTNUM_ELx trap"),
    (56, 0,   "ATA", "allocation tags"),
    (58, 1,   "TID5", "GMID_EL1, of MTE"),
];

/// HCR_EL2.TWI, cleared for a dedicated vCPU: its pCPU has nothing better to do.
pub const HCR_TWI: u64 = 1 << 13;
/// HCR_EL2.VSE: a virtual SError is pending.
pub const HCR_VSE: u64 = 1 << 8;
/// HCR_EL2.TVM.
pub const HCR_TVM: u64 = 1 << 26;

/// CPTR_EL2 (D24.2.34, E2H=0) with FP and SIMD trapped: a vCPU that was just loaded.
pub const CPTR: u64 = value(CPTR_FIELDS);
/// Its fields.
#[rustfmt::skip]
pub const CPTR_FIELDS: &[Field] = &[
    (0, 0xff, "RES1", "always"),
    (8, 1,    "TZ", "SVE"),
    (9, 1,    "RES1", "always"),
    (10, 1,   "TFP", "FP and SIMD, until this vCPU's registers are loaded"),
    (12, 1,   "TSM", "SME"),
    (13, 1,   "RES1", "always"),
    (20, 1,   "TTA", "trace registers"),
    (30, 1,   "TAM", "activity monitors"),
    (31, 0,   "TCPAC", "CPACR_EL1 is the guest's own"),
];

/// CPTR_EL2 with this vCPU's FP registers loaded.
pub const CPTR_FP: u64 = CPTR & !(1 << 10);

/// MDCR_EL2 (D24.2.100) without HPMN, which the CPU tells.
pub const MDCR: u64 = value(MDCR_FIELDS);
/// Its fields.
#[rustfmt::skip]
pub const MDCR_FIELDS: &[Field] = &[
    (0, BY_CPU,  "HPMN", "how many counters are EL1's: all, as at reset"),
    (5, 1,    "TPMCR", "PMCR_EL0"),
    (6, 1,    "TPM", "all performance monitors: none is offered"),
    (7, 0,    "HPME", "nor are EL2's own counters on"),
    (8, 0,    "TDE", "a guest's debug exceptions are the guest's, unless a debugger has it"),
    (9, 1,    "TDA", "debug registers are kept per vCPU, and in the hardware only when in use"),
    (10, 1,   "TDOSA", "OS lock registers"),
    (11, 1,   "TDRA", "debug ROM address"),
    (12, 0,   "E2PB", "the profiling buffer is EL2's: its registers trap"),
    (14, 1,   "TPMS", "statistical profiling"),
    (17, 1,   "HPMD", "nothing counts at EL2"),
    (19, 1,   "TTRF", "trace filter"),
    (23, 1,   "HCCD", "the cycle counter stops at EL2"),
    (24, 0,   "E2TB", "the trace buffer is EL2's"),
];

/// Fields of VTCR_EL2, which `memory::stage2` puts together.
#[rustfmt::skip]
pub const VTCR_FIELDS: &[Field] = &[
    (0, BY_CPU,  "T0SZ", "an IPA has 64 minus so many bits"),
    (6, 1,       "SL0", "a walk begins at level 1"),
    (8, 1,       "IRGN0", "walks are write-back cacheable"),
    (10, 1,      "ORGN0", "in the outer caches, too"),
    (12, 3,      "SH0", "and inner shareable"),
    (14, 0,      "TG0", "the granule is 4 KiB"),
    (16, BY_CPU, "PS", "how many bits a PA has, by ID_AA64MMFR0_EL1.PARange"),
    (19, BY_CPU, "VS", "VMIDs have 16 bits where the CPU has them, else 8"),
    (21, 0,      "HA", "the tables are written with AF set"),
    (22, 0,      "HD", "nobody counts dirty pages"),
    (31, 1,      "RES1", "always"),
    (32, 0,      "DS", "no 52-bit addresses"),
];

/// MDCR_EL2.TDE, set for the vCPUs of a VM that the operator debugs.
pub const MDCR_TDE: u64 = 1 << 8;

/// HSTR_EL2 (D24.2.63): CP15 accesses by primary register, of AArch32 EL0. None: what matters is
/// trapped by the controls above, the rest is EL0's by architecture.
const HSTR: u64 = 0;

/// CNTHCTL_EL2 (D24.2.4, E2H=0).
const CNTHCTL: u64 = value(CNTHCTL_FIELDS);
/// Its fields.
#[rustfmt::skip]
pub const CNTHCTL_FIELDS: &[Field] = &[
    (0, 1,    "EL1PCTEN", "the physical counter may be read: time is no secret"),
    (1, 0,    "EL1PCEN", "the physical timer traps and is emulated: EL2 has the one comparator"),
    (2, 0,    "EVNTEN", "no event stream out of EL2"),
];

/// MPAM2_EL2 (Arm DDI 0598, 5.3): TRAPMPAM1EL1 and TRAPMPAM0EL1, memory partitioning.
const MPAM2: u64 = 1 << 49 | 1 << 48;

/// Sets all of it on this pCPU. HCR_EL2 stays as it is for EL2's own running: [`HCR`] is written
/// when a vCPU is loaded; between guests its bits don't matter to EL2 (E2H=0, TGE=0).
pub fn init(cpu: &Cpu) {
    HCR_EL2.set(HCR);
    CPTR_EL2.set(CPTR);
    // HPMN: all counters are EL1's to have, as at reset; fewer would make the rest EL2's.
    // PMUVer says whether PMCR_EL0 exists.
    let has_pmu = !matches!(ID_AA64DFR0_EL1.read(ID_AA64DFR0_EL1::PMUVer), 0 | 0xf);
    let counters = if has_pmu { PMCR_EL0.get() >> 11 & 0x1f } else { 0 };
    MDCR_EL2.set(MDCR | counters);
    // Out of reset OSLK keeps debug exceptions away (D2.2); a guest's own OS lock is in memory.
    OSLAR_EL1.set(0);
    HSTR_EL2.set(HSTR);
    CNTHCTL_EL2.set(CNTHCTL);
    // What newer CPUs have beside these holds anything out of reset. A 0 enables nothing for EL1
    // that isn't said above, and traps what can only be enabled here (D24.2.49, D24.2.62).
    if cpu.has(MMFR1, 40) {
        HCRX_EL2.set(0);
    }
    if cpu.has(MMFR0, 56) {
        HFGRTR_EL2.set(0);
        HFGWTR_EL2.set(0);
        HFGITR_EL2.set(0);
        HDFGRTR_EL2.set(0);
        HDFGWTR_EL2.set(0);
    }
    if cpu.has(PFR0, 40) || cpu.has(PFR1, 16) {
        MPAM2_EL2.set(MPAM2);
    }
    VTTBR_EL2.set(0);
    VTCR_EL2.set(stage2::vtcr(ipa_bits(), pa_range(), has_vmid16()));
    // A vCPU moves, and stays what it was.
    VPIDR_EL2.set(cpu.midr);
    cache::isb();
}
