//! Power control by PSCI (Arm DEN0022), with the calling convention of SMCCC (Arm DEN0028).

use crate::boot;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, Ordering};

/// PSCI_VERSION.
pub const VERSION: u32 = 0x8400_0000;
/// CPU_SUSPEND, 64-bit.
pub const CPU_SUSPEND: u32 = 0xc400_0001;
/// CPU_OFF.
pub const CPU_OFF: u32 = 0x8400_0002;
/// CPU_ON, 64-bit.
pub const CPU_ON: u32 = 0xc400_0003;
/// AFFINITY_INFO, 64-bit.
pub const AFFINITY_INFO: u32 = 0xc400_0004;
/// MIGRATE_INFO_TYPE.
pub const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
/// SYSTEM_OFF.
pub const SYSTEM_OFF: u32 = 0x8400_0008;
/// SYSTEM_RESET.
pub const SYSTEM_RESET: u32 = 0x8400_0009;
/// PSCI_FEATURES.
pub const FEATURES: u32 = 0x8400_000a;

/// SUCCESS.
pub const SUCCESS: i64 = 0;
/// NOT_SUPPORTED.
pub const NOT_SUPPORTED: i64 = -1;
/// INVALID_PARAMETERS.
pub const INVALID_PARAMETERS: i64 = -2;
/// ALREADY_ON.
pub const ALREADY_ON: i64 = -4;
/// ON_PENDING.
pub const ON_PENDING: i64 = -5;
/// INVALID_ADDRESS.
pub const INVALID_ADDRESS: i64 = -9;

/// Whether calls go by SMC (to firmware at EL3, or what stands for it) rather than by HVC.
static BY_SMC: AtomicBool = AtomicBool::new(false);

/// Takes the conduit from the tree's `/psci` node: `method` is "hvc" or "smc".
pub(crate) fn choose_conduit() {
    let method = boot::tree().and_then(|tree| tree.string(&["psci"], "method"));
    let by_smc = match method {
        Some(method) => method == "smc",
        None => crate::head::entry_el() == 2,
    };
    BY_SMC.store(by_smc, Ordering::Relaxed);
}

/// "hvc" or "smc".
pub fn conduit() -> &'static str {
    if BY_SMC.load(Ordering::Relaxed) { "smc" } else { "hvc" }
}

/// Makes a call with up to three arguments and gives back x0.
pub fn call(function: u32, arguments: [u64; 3]) -> i64 {
    let [mut x1, mut x2, mut x3] = arguments;
    let mut x0 = u64::from(function);
    // SAFETY: by SMCCC 1.1 a call changes x0 to x3 at most; `clobber_abi` also allows for the
    // older convention, by which it may change x4 to x17.
    unsafe {
        if BY_SMC.load(Ordering::Relaxed) {
            asm!("smc #0", inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3,
                clobber_abi("C"));
        } else {
            asm!("hvc #0", inout("x0") x0, inout("x1") x1, inout("x2") x2, inout("x3") x3,
                clobber_abi("C"));
        }
    }
    let _ = (x1, x2, x3);
    x0 as i64
}

/// PSCI_VERSION: major version in bits 31:16, minor in 15:0.
pub fn version() -> i64 {
    call(VERSION, [0; 3])
}

/// Starts CPU `mpidr` at `entry` with `context` in its x0.
pub fn cpu_on(mpidr: u64, entry: u64, context: u64) -> i64 {
    call(CPU_ON, [mpidr, entry, context])
}

/// 0 if the CPU is on, 1 if off, 2 if it is about to come on.
pub fn affinity_info(mpidr: u64) -> i64 {
    call(AFFINITY_INFO, [mpidr, 0, 0])
}

/// Switches the calling CPU off. It returns only on failure.
pub fn cpu_off() -> i64 {
    call(CPU_OFF, [0; 3])
}

/// Switches the machine off.
pub fn system_off() -> ! {
    call(SYSTEM_OFF, [0; 3]);
    crate::println!("FAIL system_off: it returned");
    loop {
        crate::arch::wfi();
    }
}

/// Starts the machine anew.
pub fn system_reset() -> ! {
    call(SYSTEM_RESET, [0; 3]);
    crate::println!("FAIL system_reset: it returned");
    loop {
        crate::arch::wfi();
    }
}
