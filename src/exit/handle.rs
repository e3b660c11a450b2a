//! The entry of every exit: by vector, then by exception class.

use aarch64_cpu::registers::{ESR_EL2, FAR_EL2};
use tock_registers::interfaces::Readable;

use super::esr::{Ec, Esr};
use super::guest::{Guest, Next};
use super::inject::Exception;
use super::{Exit, abort, call, fault, interrupt, pstate, sysreg, wait};
use crate::debug;
use crate::el2::debug::Owner;
use crate::sched::Reason;

/// Handles one exit. gdb's first breakpoint: `docs/exceptions.md` follows each class from here.
#[inline(never)]
pub fn handle(guest: &mut Guest, exit: Exit) -> Next {
    match exit {
        Exit::Synchronous => synchronous(guest, Esr::new(ESR_EL2.get())),
        _ => asynchronous(guest, exit),
    }
}

/// Each class has a function of its own, and this is nothing but branches to them: none pays for
/// the registers that another needs.
#[inline(always)]
fn synchronous(guest: &mut Guest, esr: Esr) -> Next {
    match esr.ec() {
        Ec::HVC64 => call::hvc(guest),
        Ec::SYSREG => sysreg::access(guest, esr),
        Ec::DATA_ABORT_LOWER => abort::data(guest, esr),
        Ec::WFX => wait::wfx(guest, esr),
        Ec::SMC64 => call::smc(guest, esr),
        Ec::INSTRUCTION_ABORT_LOWER => abort::instruction(guest, esr),
        _ => other(guest, esr),
    }
}

#[inline(never)]
fn asynchronous(guest: &mut Guest, exit: Exit) -> Next {
    match exit {
        Exit::SError => {
            guest.state.exits.serrors += 1;
            fault::serror(guest, Esr::new(ESR_EL2.get()))
        }
        _ => {
            guest.state.exits.interrupts += 1;
            interrupt::take(Some(guest))
        }
    }
}

/// First use of FP or SIMD since the vCPU was loaded. The guest's own CPACR_EL1 has allowed it:
/// its trap to EL1 has the higher priority (D1.3.5).
fn fp(guest: &mut Guest) -> Next {
    guest.state.exits.fp += 1;
    guest.state.context.load_fp();
    Next::Resume
}

/// The rest: what our traps take from a guest that it was never offered, its own exceptions, and
/// what can't be.
#[inline(never)]
fn other(guest: &mut Guest, esr: Esr) -> Next {
    if esr.ec() == Ec::FP_ACCESS {
        return fp(guest);
    }
    guest.state.exits.others += 1;
    match esr.ec() {
        // Not offered, by CPTR_EL2 and HCR_EL2; AArch32 coprocessors of EL0 likewise.
        Ec::UNKNOWN
        | Ec::SVE
        | Ec::SME
        | Ec::PAUTH
        | Ec::CP15_MCR
        | Ec::CP15_MCRR
        | Ec::CP14_MCR
        | Ec::CP14_LDC
        | Ec::CP14_MRRC
        | Ec::VMRS
        | Ec::LS64
        | Ec::ERET => coprocessor(guest, esr),
        // The guest's own, which come here only by a trap that isn't set: it takes them itself.
        Ec::SVC64
        | Ec::SVC32
        | Ec::ILLEGAL_STATE
        | Ec::PC_ALIGNMENT
        | Ec::SP_ALIGNMENT
        | Ec::FP64
        | Ec::FP32
        | Ec::BKPT32
        | Ec::PAC_FAIL
        | Ec::BRANCH_TARGET => guest.inject(Exception::reflect(esr, FAR_EL2.get())),
        Ec::BRK | Ec::BREAKPOINT_LOWER | Ec::STEP_LOWER | Ec::WATCHPOINT_LOWER => debug(guest, esr),
        _ => fault::stop(guest, esr, "no such exit is known"),
    }
}

/// A debug exception. It comes here while the operator's debugger has the VM (MDCR_EL2.TDE): if it is
/// the debugger's, the VM pauses with the vCPU where it is. A BRK of its own the guest takes itself.
fn debug(guest: &mut Guest, esr: Esr) -> Next {
    let (ec, pc, far) = (esr.ec(), guest.state.frame.pc, FAR_EL2.get());
    let is_debugged = guest.vm.debug_owner() != Owner::Guest;
    if is_debugged && debug::stops(guest.vm, guest.vcpu, ec, pc, far) {
        return guest.leave(Reason::Preempted);
    }
    guest.inject(Exception::reflect(esr, far))
}

/// A trapped instruction that the guest was never offered. AArch32 ones may be conditional: one
/// whose condition fails does nothing (D1.3.4).
fn coprocessor(guest: &mut Guest, esr: Esr) -> Next {
    if !pstate::condition_passed(esr, guest.state.frame.pstate) {
        guest.skip(esr);
        return Next::Resume;
    }
    guest.undefined()
}
