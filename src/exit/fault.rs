//! What can neither be emulated nor answered by an exception: the VM stops, alone, with one line.

use aarch64_cpu::registers::{FAR_EL2, HPFAR_EL2};
use log::{error, warn};
use tock_registers::interfaces::Readable;

use super::esr::{Esr, Report};
use super::guest::{Guest, Next};
use crate::vm::life::Why;

/// Stops the VM: says which vCPU did what where.
#[cold]
pub fn stop(guest: &mut Guest, esr: Esr, why: &str) -> Next {
    let report = Report { esr, far: FAR_EL2.get(), hpfar: HPFAR_EL2.get() };
    error!(
        "{} vCPU {}: stopped: {report}, PC {:#x}: {why}",
        guest.vm.name, guest.vcpu.index, guest.state.frame.pc
    );
    guest.stop_vm(Why::Fault)
}

/// A physical SError while the guest ran: it is the guest's, as far as anyone can tell, so it gets
/// a virtual one (HCR_EL2.VSE), which it takes when it unmasks SErrors.
#[cold]
pub fn serror(guest: &mut Guest, esr: Esr) -> Next {
    let report = Report { esr, far: 0, hpfar: 0 };
    warn!("{} vCPU {}: {report}: passed on to it", guest.vm.name, guest.vcpu.index);
    guest.inject_serror(esr.iss());
    Next::Resume
}
