//! Calls beside PSCI: SMCCC's own, random numbers (TRNG), stolen time (PV time); and the seeds in
//! the device tree, which have the same source as the random numbers.
//!
//! `random`: the machine has entropy; without it there must be none of either. `ms=N` (default 100):
//! for so long time is watched while others have the CPU; `exact`: on a machine that counts time by
//! instructions, where nobody else takes any.

use crate::{call, check, hvc};
use core::arch::asm;
use guest_rt::vectors::expect_fault;
use guest_rt::{boot, head, mmio, mrs, println, psci, timer};

const SMCCC_VERSION: u32 = 0x8000_0000;
const ARCH_FEATURES: u32 = 0x8000_0001;
const WORKAROUND_1: u32 = 0x8000_8000;
const WORKAROUND_3: u32 = 0x8000_3fff;
const HYPERVISOR_UID: u32 = 0x8600_ff01;
const TRNG_VERSION: u32 = 0x8400_0050;
const TRNG_FEATURES: u32 = 0x8400_0051;
const TRNG_GET_UUID: u32 = 0x8400_0052;
const TRNG_RND32: u32 = 0x8400_0053;
const TRNG_RND64: u32 = 0xc400_0053;
const PV_TIME_FEATURES: u32 = 0xc500_0020;
const PV_TIME_ST: u32 = 0xc500_0021;

fn value(function: u32, argument: u32) -> i64 {
    psci::call(function, [argument.into(), 0, 0])
}

/// The probe.
pub fn run() {
    head::init();
    discovery();
    if boot::has("random") {
        random();
    } else {
        for function in [TRNG_VERSION, TRNG_FEATURES, TRNG_GET_UUID, TRNG_RND32, TRNG_RND64] {
            check::equal("smccc.no-trng", value(function, TRNG_RND64), psci::NOT_SUPPORTED);
        }
    }
    seeds();
    stolen_time();
    check::end();
}

fn discovery() {
    check::equal("smccc.version", value(SMCCC_VERSION, 0), 0x1_0001);
    check::equal("smccc.arch-features", value(ARCH_FEATURES, ARCH_FEATURES), 0);
    check::equal("smccc.features-unknown", value(ARCH_FEATURES, 0x8000_0003), -1);
    check::equal("smccc.hypervisor-uid", value(HYPERVISOR_UID, 0), -1);
    // No firmware of QEMU's board has a workaround: the CPU is safe by itself, or nothing is known.
    let csv2 = mrs!(ID_AA64PFR0_EL1) >> 56 & 0xf;
    let want = if csv2 >= 1 { 1 } else { -1 };
    check::equal("smccc.workaround-1", value(ARCH_FEATURES, WORKAROUND_1), want);
    check::equal("smccc.workaround-1-call", value(WORKAROUND_1, 0), want.min(0));
    let three = value(ARCH_FEATURES, WORKAROUND_3);
    check::equal("smccc.workaround-3-call", value(WORKAROUND_3, 0), three.min(0));
}

/// Calls with `bits` in x1; x0 to x3, if x4 to x17 are what they were.
fn draw(function: u32, bits: u64) -> [u64; 4] {
    let mut x: [u64; 4] = [function.into(), bits, 0x1234, 0x5678];
    let (x4, x17): (u64, u64);
    // SAFETY: a call changes x0 to x3 at most (SMCCC 1.1).
    unsafe {
        asm!("mov x4, #4", "mov x17, #17", "hvc #0", inout("x0") x[0], inout("x1") x[1],
            inout("x2") x[2], inout("x3") x[3], out("x4") x4, out("x17") x17,
            clobber_abi("C"));
    }
    if (x4, x17) != (4, 17) {
        check::failed("smccc.random-preserves", format_args!("{x4} {x17}"), "4 17");
    }
    x
}

fn random() {
    check::equal("smccc.trng-version", value(TRNG_VERSION, 0), 0x1_0000);
    for function in [TRNG_VERSION, TRNG_FEATURES, TRNG_GET_UUID, TRNG_RND32, TRNG_RND64] {
        check::equal("smccc.trng-features", value(TRNG_FEATURES, function), 0);
    }
    check::equal("smccc.trng-features-unknown", value(TRNG_FEATURES, 0x8400_0054), -1);
    let uuid = draw(TRNG_GET_UUID, 0);
    check::that("smccc.trng-uuid", uuid[0] < 0xffff_ffff && uuid != draw(TRNG_RND64, 192), "one");
    check::equal("smccc.trng-uuid-again", draw(TRNG_GET_UUID, 0), uuid);
    for (function, most) in [(TRNG_RND32, 96), (TRNG_RND64, 192)] {
        for bits in [0, most + 1, u64::from(u32::MAX)] {
            check::equal("smccc.trng-refuses", draw(function, bits)[0], -2i64 as u64);
        }
        let (one, two) = (draw(function, most), draw(function, most));
        check::equal("smccc.trng-draws", (one[0], two[0]), (0, 0));
        check::that("smccc.trng-differs", (1..4).all(|n| one[n] != two[n]), "other bits each time");
        let few = draw(function, 7);
        check::that("smccc.trng-bits", few[..3] == [0; 3] && few[3] < 128, "7 bits, in x3");
    }
}

fn seeds() {
    let seed = |name| boot::tree().and_then(|tree| tree.property(&["chosen"], name));
    let filled = |name| seed(name).map(|seed| (seed.len(), seed.iter().any(|&byte| byte != 0)));
    let want = |length| boot::has("random").then_some((length, true));
    check::equal("smccc.rng-seed", filled("rng-seed"), want(32));
    check::equal("smccc.kaslr-seed", filled("kaslr-seed"), want(8));
    if let Some(seed) = seed("rng-seed") {
        println!("INFO smccc: rng-seed {seed:02x?}");
    }
}

/// The time for which this vCPU wanted to run and could not is the time that it finds missing.
fn stolen_time() {
    check::equal("smccc.pv-time", value(ARCH_FEATURES, PV_TIME_FEATURES), 0);
    check::equal("smccc.pv-time-features", value(PV_TIME_FEATURES, PV_TIME_ST), 0);
    check::equal("smccc.pv-time-unknown", value(PV_TIME_FEATURES, 0xc500_0022), -1);
    let place = value(PV_TIME_ST, 0) as usize;
    check::that(
        "smccc.stolen-place",
        place != usize::MAX && place.is_multiple_of(64),
        "64 bytes, aligned",
    );
    check::equal("smccc.stolen-revision", mmio::read64(place), 0);
    expect_fault(|| mmio::write64(place + 8, !0));
    check::that("smccc.stolen-read-only", mmio::read64(place + 8) != !0, "what it was");
    let next = call!("hvc #0", PV_TIME_ST);
    hvc::preserved("smccc.stolen-preserves", &next);

    let stolen = || mmio::read64(place + 8);
    let (start, before) = (timer::now(), stolen());
    let (mut last, mut missing) = (start, 0);
    while last - start < timer::ms(boot::number("ms").unwrap_or(100)) {
        let now = timer::now();
        if now - last > timer::frequency() / 1000 {
            missing += now - last;
        }
        last = now;
    }
    let missing = missing * 1000 / (timer::frequency() / 1000) * 1000;
    let stolen = stolen() - before;
    println!("INFO smccc: stolen={stolen} missing={missing}");
    if !boot::has("exact") {
        return; // on a busy host more is missing than the hypervisor knows of
    }
    // What EL2 itself takes is in the one and not in the other.
    check::that("smccc.stolen", stolen.abs_diff(missing) <= 1_000_000 + missing / 20, "as missing");
}
