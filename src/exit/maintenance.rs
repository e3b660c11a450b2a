//! Set/way cache maintenance: what a guest does before it turns its caches on or off.
//!
//! DC ISW, CSW and CISW act on one cache of one pCPU, and a vCPU moves: they can't do what the
//! guest means by them (DDI 0487 D7.5.9 says so of any system with more than one observer). What
//! it means is "all of my memory is where I see it without caches". So the first of them (they
//! come by the thousand) has all of the VM's memory cleaned and invalidated by address, a job in
//! slices, and sets HCR_EL2.TVM. Then the guest's writes of its translation registers trap, and
//! the one that turns its caches on or off has the memory cleaned once more and ends the watch.
//!
//! A vCPU that has to wait for the job keeps its PC on the instruction, and blocks.

use aarch64_cpu::registers::*;
use tock_registers::interfaces::{Readable, Writeable};

use super::esr::{SysReg, reg};
use super::guest::Guest;
use super::sysreg::Answer;
use crate::el2::traps::HCR_TVM;

/// SCTLR_EL1.M and C: translation and data caches.
const CACHES: u64 = 1 | 1 << 2;

/// DC ISW, CSW or CISW, trapped by HCR_EL2.TSW.
pub fn set_way(guest: &mut Guest) -> Answer {
    if guest.state.hcr & HCR_TVM == 0 {
        if !guest.vm.is_cleaned_for(guest.vcpu.index) {
            return Answer::Wait;
        }
        watch(guest, true);
    }
    Answer::Done
}

/// A write of a translation register, trapped by HCR_EL2.TVM; `None` for any other register.
pub fn translation(guest: &mut Guest, register: SysReg, value: u64) -> Option<Answer> {
    if guest.state.hcr & HCR_TVM == 0 {
        return None;
    }
    match register {
        reg::SCTLR_EL1 => return Some(control(guest, value)),
        reg::TTBR0_EL1 => TTBR0_EL1.set(value),
        reg::TTBR1_EL1 => TTBR1_EL1.set(value),
        reg::TCR_EL1 => TCR_EL1.set(value),
        reg::ESR_EL1 => ESR_EL1.set(value),
        reg::FAR_EL1 => FAR_EL1.set(value),
        reg::AFSR0_EL1 => AFSR0_EL1.set(value),
        reg::AFSR1_EL1 => AFSR1_EL1.set(value),
        reg::MAIR_EL1 => MAIR_EL1.set(value),
        reg::AMAIR_EL1 => AMAIR_EL1.set(value),
        reg::CONTEXTIDR_EL1 => CONTEXTIDR_EL1.set(value),
        _ => return None,
    }
    Some(Answer::Done)
}

fn control(guest: &mut Guest, value: u64) -> Answer {
    let on = |sctlr: u64| sctlr & CACHES == CACHES;
    let changes = on(SCTLR_EL1.get()) != on(value);
    if changes && !guest.vm.is_cleaned_for(guest.vcpu.index) {
        return Answer::Wait;
    }
    SCTLR_EL1.set(value);
    if changes {
        watch(guest, false);
    }
    Answer::Done
}

fn watch(guest: &mut Guest, on: bool) {
    let hcr = guest.state.hcr;
    guest.state.hcr = if on { hcr | HCR_TVM } else { hcr & !HCR_TVM };
    HCR_EL2.set(guest.state.hcr);
}
