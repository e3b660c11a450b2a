//! PSCI towards the firmware (DEN0022): start CPUs, turn the machine off.

use core::sync::atomic::{AtomicU8, Ordering};

use super::machine::PsciMethod;
use crate::el2::smp;
use crate::memory::Pa;

const CPU_ON: u64 = 0xc400_0003;
const SYSTEM_OFF: u64 = 0x8400_0008;

static CONDUIT: AtomicU8 = AtomicU8::new(0);

/// Remembers how to call.
pub fn init(method: Option<PsciMethod>) {
    let code = match method {
        None => 0,
        Some(PsciMethod::Smc) => 1,
        Some(PsciMethod::Hvc) => 2,
    };
    CONDUIT.store(code, Ordering::Relaxed);
}

fn call(function: u64, arguments: [u64; 3]) -> Option<i64> {
    match CONDUIT.load(Ordering::Relaxed) {
        1 => Some(smp::smc(function, arguments)),
        2 => Some(smp::hvc(function, arguments)),
        _ => None,
    }
}

/// Starts the CPU with this affinity at `entry`, with `context` in its x0. The error is the
/// firmware's, or `None` if there is none.
pub fn cpu_on(mpidr: u64, entry: Pa, context: u64) -> Result<(), Option<i64>> {
    match call(CPU_ON, [mpidr, entry.get(), context]) {
        Some(0) => Ok(()),
        error => Err(error),
    }
}

/// Turns the machine off. Returns if there is no firmware that could.
pub fn system_off() {
    let _ = call(SYSTEM_OFF, [0; 3]);
}
