//! PSCI towards the firmware (DEN0022): start CPUs, turn the machine off.

use smccc::psci::{self, Error};
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
    const PSCI_VERSION: u32 = 0x8400_0000;
    const PSCI_FEATURES: u32 = 0x8400_000a;
    const SMCCC_VERSION: u32 = 0x8000_0000;
    const ARCH_FEATURES: u32 = 0x8000_0001;
    // Before PSCI 1.0 nobody says whether SMCCC_VERSION may be called.
    let is_there = call(PSCI_VERSION, 0) >= 0x1_0000
        && call(PSCI_FEATURES, SMCCC_VERSION) >= 0
        && call(SMCCC_VERSION, 0) >= 0x1_0001;
    let ask = |id| if is_there { call(ARCH_FEATURES, id).into() } else { -1 };
    [0x8000_8000, 0x8000_7fff, 0x8000_3fff].map(ask)
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
    let _ = match METHOD.get() {
        Some(PsciMethod::Smc) => psci::system_off::<Smc>(),
        Some(PsciMethod::Hvc) => psci::system_off::<Hvc>(),
        None => Ok(()),
    };
}
