//! WFI and WFE: a vCPU that has nothing to do.

use super::esr::Esr;
use super::guest::{Guest, Next};
use crate::platform::timer;
use crate::sched::Reason;
use crate::vm::schedule;

/// WFI blocks the vCPU until an interrupt is deliverable or one of its timers fires; WFE only
/// gives the pCPU away. Both may end early (D1.7.1, D1.7.2), so nothing goes wrong if they do.
#[inline(never)]
pub fn wfx(guest: &mut Guest, esr: Esr) -> Next {
    guest.skip(esr);
    if esr.waits_for_event() {
        return guest.leave(Reason::Yield);
    }
    block(guest)
}

/// Blocks the vCPU until an interrupt is deliverable; or not at all, if one is.
pub fn block(guest: &mut Guest) -> Next {
    // From here on a wake-up is remembered by the run queue: what is posted after the check below
    // keeps the vCPU from blocking.
    let entity = guest.vcpu.entity;
    let _ = schedule::with(|queue| queue.acknowledge(entity));
    // What has arrived goes into the list registers first: they are what is looked at.
    guest.deliver_interrupts();
    if guest.vm.vgic.lock().has_deliverable(guest.vcpu.index, &guest.lrs) {
        return Next::Resume;
    }
    let deadline = guest.deadline();
    match deadline {
        Some(at) if at <= timer::now() => Next::Resume,
        _ => guest.leave(Reason::Block { deadline }),
    }
}
