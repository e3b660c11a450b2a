//! PSCI towards the firmware (DEN0022): start CPUs, turn the machine off.

use smccc::psci::{self, Error};
use smccc::{Hvc, Smc};
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
