//! PSCI towards the firmware (DEN0022): start CPUs, turn the machine off.

use smccc::arch::*;
use smccc::psci::{self, Error, PSCI_FEATURES, PSCI_SYSTEM_OFF, PSCI_VERSION};
use smccc::{Call, Hvc, Smc};
use spin::Once;

use super::machine::PsciMethod;
use crate::memory::Pa;

static METHOD: Once<PsciMethod> = Once::new();

/// Remembers how to call, where there is somebody.
pub fn init(method: Option<PsciMethod>) {
    if let Some(method) = method {
        METHOD.call_once(|| method);
    }
}

/// What the firmware's SMCCC_ARCH_FEATURES (DEN0028) says of SMCCC_ARCH_WORKAROUND_1, 2 and 3; -1,
/// NOT_SUPPORTED, where it has no such call.
pub fn mitigations() -> [i64; 3] {
    // Before PSCI 1.0 nobody says whether SMCCC_VERSION may be called.
    let is_there = call(PSCI_VERSION, 0) >= 0x1_0000
        && call(PSCI_FEATURES, SMCCC_VERSION) >= 0
        && call(SMCCC_VERSION, 0) >= 0x1_0001;
    let ask = |id| if is_there { call(SMCCC_ARCH_FEATURES, id).into() } else { -1 };
    [SMCCC_ARCH_WORKAROUND_1, SMCCC_ARCH_WORKAROUND_2, SMCCC_ARCH_WORKAROUND_3].map(ask)
}

/// Calls a function of the firmware; -1 where there is nobody.
pub fn call(function: u32, argument: u32) -> i32 {
    let arguments = [argument, 0, 0, 0, 0, 0, 0];
    let [result, ..] = match METHOD.get() {
        Some(PsciMethod::Smc) => Smc::call32(function, arguments),
        Some(PsciMethod::Hvc) => Hvc::call32(function, arguments),
        None => return -1,
    };
    result as i32
}

/// Starts the CPU with this affinity at `entry`.
pub fn cpu_on(mpidr: u64, entry: Pa) -> Result<(), Error> {
    match METHOD.get() {
        Some(PsciMethod::Smc) => psci::cpu_on::<Smc>(mpidr, entry.get(), 0),
        Some(PsciMethod::Hvc) => psci::cpu_on::<Hvc>(mpidr, entry.get(), 0),
        None => Err(Error::NotSupported),
    }
}

/// Turns the machine off. Returns if there is no firmware that could.
pub fn system_off() {
    call(PSCI_SYSTEM_OFF, 0);
}
