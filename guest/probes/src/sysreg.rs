//! System registers: every ID register can be read; what they say is there can be used, and what
//! they say is not there is UNDEFINED. A trapped read puts its value where the instruction says.

use crate::check;
use core::arch::asm;
use guest_rt::vectors::expect_fault;
use guest_rt::{arch, head, mrs, msr, println};

/// Reads S3_0_C0_C`M`_`O`; `None` if it is UNDEFINED.
fn id<const M: u8, const O: u8>() -> Option<u64> {
    let mut value = 0;
    let fault = expect_fault(|| {
        // SAFETY: reads an ID register.
        unsafe { asm!("mrs {}, S3_0_C0_C{m}_{o}", out(reg) value, m = const M, o = const O) };
    });
    match fault {
        None => Some(value),
        Some(_) => None,
    }
}

/// A row of eight ID registers.
fn row<const M: u8>() -> [Option<u64>; 8] {
    [
        id::<M, 0>(),
        id::<M, 1>(),
        id::<M, 2>(),
        id::<M, 3>(),
        id::<M, 4>(),
        id::<M, 5>(),
        id::<M, 6>(),
        id::<M, 7>(),
    ]
}

/// Checks that the register exists exactly if `present`.
macro_rules! feature {
    ($name:literal, $present:expr, $register:ident) => {{
        let fault = expect_fault(|| {
            mrs!($register);
        });
        let class = fault.map(|f| f.class());
        let want = if $present { None } else { Some(0) };
        check::equal(concat!("sysreg.", $name), class, want);
    }};
}

/// A field of an ID register.
fn field(register: u64, low: u32) -> u64 {
    register >> low & 0xf
}

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    id_registers();
    features();
    debug_and_implementation_defined();
    destinations();
    writable();
}

fn id_registers() {
    let rows = [row::<1>(), row::<2>(), row::<3>(), row::<4>(), row::<5>(), row::<6>(), row::<7>()];
    let undefined = rows.iter().flatten().filter(|value| value.is_none()).count();
    check::equal("sysreg.id-space-reads", undefined, 0);
    row::<0>(); // MIDR and neighbours; the unallocated ones may be UNDEFINED
    check::passed("sysreg.id-space-survived");

    let pfr0 = mrs!(ID_AA64PFR0_EL1);
    check::that("sysreg.el0-el1", matches!(pfr0 & 0xff, 0x11 | 0x22 | 0x12), "EL0 and EL1 there");
    check::equal("sysreg.gic", field(pfr0, 24), 1);
    check::equal("sysreg.mpidr", mrs!(MPIDR_EL1) & 0xff_80ff_ffff, 1 << 31);
    check::that("sysreg.midr", mrs!(MIDR_EL1) != 0, "a CPU's name");
    check::that("sysreg.frequency", mrs!(CNTFRQ_EL0) != 0, "a frequency");
}

fn features() {
    msr!(CPACR_EL1, 3 << 20 | 3 << 16 | 3 << 24); // FP, SVE, SME not trapped by EL1
    arch::isb();
    let pfr0 = mrs!(ID_AA64PFR0_EL1);
    let pfr1 = mrs!(ID_AA64PFR1_EL1);
    let dfr0 = mrs!(ID_AA64DFR0_EL1);
    let isar0 = mrs!(ID_AA64ISAR0_EL1);
    let isar1 = mrs!(ID_AA64ISAR1_EL1);
    let isar2 = id::<6, 2>().unwrap_or(0);
    let mmfr1 = mrs!(ID_AA64MMFR1_EL1);
    let mmfr2 = mrs!(ID_AA64MMFR2_EL1);
    let pauth = field(isar1, 4)
        | field(isar1, 8)
        | field(isar1, 24)
        | field(isar1, 28)
        | field(isar2, 8)
        | field(isar2, 12);
    let pmu = !matches!(field(dfr0, 8), 0 | 0xf);
    let mpam = field(pfr0, 40) | field(pfr1, 16) != 0;

    feature!("pmu-pmcr", pmu, PMCR_EL0);
    feature!("pmu-pmccntr", pmu, PMCCNTR_EL0);
    feature!("pmu-pmuserenr", pmu, PMUSERENR_EL0);
    feature!("pmu-pmintenset", pmu, PMINTENSET_EL1);
    feature!("sve-zcr", field(pfr0, 32) != 0, S3_0_C1_C2_0);
    feature!("sme-smcr", field(pfr1, 24) != 0, S3_0_C1_C2_6);
    feature!("pauth-apiakeylo", pauth != 0, S3_0_C2_C1_0);
    feature!("pauth-apgakeyhi", pauth != 0, S3_0_C2_C3_1);
    feature!("lor-lorid", field(mmfr1, 16) != 0, S3_0_C10_C4_7);
    feature!("ras-erridr", field(pfr0, 28) != 0, S3_0_C5_C3_0);
    feature!("amu-amcr", field(pfr0, 44) != 0, S3_3_C13_C2_0);
    feature!("mte-gcr", field(pfr1, 8) >= 2, S3_0_C1_C0_6);
    feature!("ssbs", field(pfr1, 4) >= 2, S3_3_C4_C2_6);
    feature!("rndr", field(isar0, 60) != 0, S3_3_C2_C4_0);
    feature!("pan", field(mmfr1, 20) != 0, S3_0_C4_C2_3);
    feature!("uao", field(mmfr2, 4) != 0, S3_0_C4_C2_4);
    feature!("dit", field(pfr0, 48) != 0, S3_3_C4_C2_5);
    feature!("spe-pmscr", field(dfr0, 32) != 0, S3_0_C9_C9_0);
    feature!("trbe-trblimitr", field(dfr0, 44) != 0, S3_0_C9_C11_0);
    feature!("trace-trfcr", field(dfr0, 40) != 0, S3_0_C1_C2_1);
    feature!("mpam-mpam1", mpam, S3_0_C10_C5_0);
    feature!("gic-sre", field(pfr0, 24) != 0, ICC_SRE_EL1);
}

fn debug_and_implementation_defined() {
    feature!("mdscr", true, MDSCR_EL1);
    feature!("oslsr", true, OSLSR_EL1);
    feature!("dbgbvr0", true, DBGBVR0_EL1);
    feature!("dbgbcr0", true, DBGBCR0_EL1);
    feature!("dbgwvr0", true, DBGWVR0_EL1);
    feature!("dbgwcr0", true, DBGWCR0_EL1);
    feature!("mdccsr", true, MDCCSR_EL0);
    // Implementation defined: a value or UNDEFINED, and nothing else.
    for (name, fault) in [
        (
            "sysreg.actlr",
            expect_fault(|| {
                mrs!(ACTLR_EL1);
            }),
        ),
        (
            "sysreg.s3_1_c15_c2_1",
            expect_fault(|| {
                mrs!(S3_1_C15_C2_1);
            }),
        ),
        (
            "sysreg.s3_0_c11_c0_0",
            expect_fault(|| {
                mrs!(S3_0_C11_C0_0);
            }),
        ),
        (
            "sysreg.s3_7_c15_c7_7",
            expect_fault(|| {
                mrs!(S3_7_C15_C7_7);
            }),
        ),
    ] {
        println!("INFO {name} {}", if fault.is_some() { "UNDEFINED" } else { "reads" });
        check::that(name, fault.is_none_or(|f| f.class() == 0), "a value or UNDEFINED");
    }
    // What belongs to EL2 and EL3 is UNDEFINED at EL1.
    feature!("hcr_el2", false, HCR_EL2);
    feature!("vbar_el2", false, VBAR_EL2);
    feature!("ich_hcr_el2", false, ICH_HCR_EL2);
    feature!("cntvoff_el2", false, CNTVOFF_EL2);
    feature!("scr_el3", false, SCR_EL3);
}

/// A read that a hypervisor traps lands in the register that the instruction names, and in no
/// other; number 31 is the zero register, not the stack pointer.
fn destinations() {
    let want = mrs!(ID_AA64PFR0_EL1);
    macro_rules! into {
        ($($register:literal)*) => { $(
            let got: u64;
            // SAFETY: the register is saved meanwhile.
            unsafe {
                asm!(concat!("mov x8, ", $register), concat!("mrs ", $register, ", ID_AA64PFR0_EL1"),
                    concat!("mov x9, ", $register), concat!("mov ", $register, ", x8"),
                    out("x8") _, out("x9") got);
            }
            check::equal(concat!("sysreg.into-", $register), got, want);
        )* };
    }
    into!("x0" "x1" "x15" "x18" "x29" "x30");
    let (before, after): (u64, u64);
    // SAFETY: nothing but the two registers changes.
    unsafe {
        asm!("mov {0}, sp", "mrs xzr, ID_AA64PFR0_EL1", "mrs xzr, MDSCR_EL1", "mov {1}, sp",
            out(reg) before, out(reg) after);
    }
    check::equal("sysreg.into-xzr", after, before);
}

/// What EL1 writes it reads again.
fn writable() {
    macro_rules! keeps {
        ($($register:ident $value:literal)*) => { $(
            let before = mrs!($register);
            msr!($register, $value);
            arch::isb();
            check::equal(concat!("sysreg.keeps-", stringify!($register)), mrs!($register), $value);
            msr!($register, before);
        )* };
    }
    keeps!(TPIDR_EL0 0x1234_5678_9abc_def0 TPIDR_EL1 0xfedc_ba98_7654_3210 TPIDRRO_EL0 0x55
        CONTEXTIDR_EL1 0x8765_4321 CNTKCTL_EL1 0x0b3 PAR_EL1 0x0000_0000_1234_5b81
        FAR_EL1 0x1111_2222_3333_4444 ESR_EL1 0x5600_0042 ELR_EL1 0x4020_0000 SPSR_EL1 0x3c5
        SP_EL0 0x4030_0000 MDSCR_EL1 0x1000 DBGBVR0_EL1 0x4020_0000 DBGWVR0_EL1 0x4020_0100);
    msr!(CSSELR_EL1, 2);
    arch::isb();
    check::equal("sysreg.keeps-CSSELR_EL1", mrs!(CSSELR_EL1), 2);
    msr!(CSSELR_EL1, 0);
}
