//! HVC and SMC: the guest calls (SMCCC, DEN0028). Both are answered alike, and no SMC is passed
//! on: what firmware a machine has is none of a guest's business.

use aarch64_cpu::registers::SCTLR_EL1;
use tock_registers::interfaces::Readable;

use super::esr::Esr;
use super::guest::{Guest, Next};
use crate::device::calls::{self, Outcome, code};
use crate::device::{STOLEN_TIME_BASE, STOLEN_TIME_STRIDE};
use crate::platform::psci;
use crate::sched::Reason;
use crate::vm::life::Why;

/// HVC: ELR_EL2 is behind it already (D1.3.4: it is the preferred return address).
#[inline(never)]
pub fn hvc(guest: &mut Guest) -> Next {
    guest.state.exits.calls += 1;
    let x = &guest.state.frame.x;
    let arguments = [x[0], x[1], x[2], x[3]];
    match calls::call(&guest.vm.calls, arguments, || guest.vm.settled_power()) {
        Outcome::Return(value) => {
            guest.state.frame.x[0] = value;
            Next::Resume
        }
        outcome => act(guest, outcome),
    }
}

/// SMC, trapped by HCR_EL2.TSC: ELR_EL2 is on it, so that it could be done again.
#[inline(never)]
pub fn smc(guest: &mut Guest, esr: Esr) -> Next {
    guest.skip(esr);
    hvc(guest)
}

#[cold]
fn act(guest: &mut Guest, outcome: Outcome) -> Next {
    let x = &mut guest.state.frame.x;
    match outcome {
        Outcome::Return(value) => x[0] = value,
        Outcome::Four(values) => x[..4].copy_from_slice(&values),
        Outcome::Random(bits, each) => match &guest.vm.random {
            Some(random) => x[..4].copy_from_slice(&random.lock().answer(bits, each)),
            None => x[0] = code::NOT_SUPPORTED,
        },
        Outcome::StolenTime => {
            x[0] = STOLEN_TIME_BASE + guest.vcpu.index as u64 * STOLEN_TIME_STRIDE;
        }
        Outcome::Firmware(function) => {
            psci::call(function, 0);
            x[0] = code::SUCCESS;
        }
        Outcome::CpuOn { target, entry, context } => {
            x[0] = code::SUCCESS;
            if let Some(vcpu) = guest.vm.vcpus.get(target) {
                // SAFETY: of all callers `cpu_on` has chosen this one, by Off → OnPending under
                // the lock; and a vCPU is Off only after its pCPU has put it away.
                unsafe {
                    vcpu.reset(entry, context, guest.vm.debug_owner());
                    // It starts with the caller's endianness (DEN0022 6.4).
                    vcpu.state().context.el1.sctlr |= SCTLR_EL1.get() & SCTLR_EE;
                }
                guest.vm.start_vcpu(vcpu);
            }
        }
        Outcome::CpuOff => return guest.leave(Reason::Off),
        Outcome::Suspend => {
            x[0] = code::SUCCESS;
            return super::wait::block(guest);
        }
        Outcome::SystemOff => return guest.stop_vm(Why::PowerOff),
        Outcome::SystemReset => return guest.stop_vm(Why::Reset),
    }
    Next::Resume
}

/// SCTLR_EL1.EE: data accesses at EL1 are big-endian.
const SCTLR_EE: u64 = 1 << 25;
