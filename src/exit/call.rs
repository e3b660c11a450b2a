//! HVC and SMC: the guest calls (SMCCC, DEN0028). Both are answered alike, and no SMC is passed
//! on: what firmware a machine has is none of a guest's business.

use super::esr::Esr;
use super::guest::{Guest, Next};
use crate::device::psci::{self, Outcome};
use crate::platform::timer;
use crate::sched::Reason;
use crate::vm::life::Why;
use crate::vm::schedule;

/// HVC: ELR_EL2 is behind it already (D1.3.4: it is the preferred return address).
#[inline]
pub fn hvc(guest: &mut Guest) -> Next {
    let x = &guest.state.frame.x;
    let arguments = [x[0], x[1], x[2], x[3]];
    match psci::call(&guest.vm.psci, arguments, || guest.vm.power.lock()) {
        Outcome::Return(value) => {
            guest.state.frame.x[0] = value;
            Next::Resume
        }
        outcome => act(guest, outcome),
    }
}

/// SMC, trapped by HCR_EL2.TSC: ELR_EL2 is on it, so that it could be done again.
pub fn smc(guest: &mut Guest, esr: Esr) -> Next {
    guest.skip(esr);
    hvc(guest)
}

#[cold]
fn act(guest: &mut Guest, outcome: Outcome) -> Next {
    match outcome {
        Outcome::Return(value) => guest.state.frame.x[0] = value,
        Outcome::CpuOn { target, entry, context } => {
            guest.state.frame.x[0] = 0;
            if let Some(vcpu) = guest.vm.vcpus.get(target) {
                // SAFETY: of all callers `cpu_on` has chosen this one, by Off → OnPending under
                // the lock; and a vCPU is Off only after its pCPU has put it away.
                unsafe { vcpu.reset(entry, context) };
                // On before it can run: it may be off again before this call returns.
                guest.vm.power.lock().started(target);
                schedule::tell(|queue| queue.start(vcpu.entity, timer::now()));
            }
        }
        Outcome::CpuOff => return guest.leave(Reason::Off),
        Outcome::Suspend => {
            guest.state.frame.x[0] = 0;
            return super::wait::block(guest);
        }
        Outcome::SystemOff => guest.vm.stop(Why::PowerOff),
        Outcome::SystemReset => guest.vm.stop(Why::Reset),
    }
    Next::Resume
}
