//! WFI and WFE: a vCPU that has nothing to do.

use aarch64_cpu::registers::HCR_EL2;
use tock_registers::interfaces::Readable;

use super::esr::Esr;
use super::guest::{Guest, Next};
use super::{interrupt, watch};
use crate::el2::traps;
use crate::platform::timer;
use crate::sched::Reason;
use crate::vm::schedule;

/// WFI blocks the vCPU until an interrupt is deliverable or one of its timers fires; WFE only
/// gives the pCPU away. Both may end early (D1.7.1, D1.7.2), so nothing goes wrong if they do.
#[inline(never)]
pub fn wfx(guest: &mut Guest, esr: Esr) -> Next {
    guest.state.exits.waits += 1;
    guest.skip(esr);
    if esr.waits_for_event() {
        return guest.leave(Reason::Yield);
    }
    block(guest)
}

/// Blocks the vCPU until an interrupt is deliverable; or not at all, if one is.
///
/// As long as nobody else wants the pCPU it waits on it, loaded as it is: most sleeps end by its
/// own timer, and leaving and coming back costs more than all the rest.
pub fn block(guest: &mut Guest) -> Next {
    let mut called = false;
    loop {
        // From here on a wake-up is remembered by the run queue: what is posted after the check
        // below keeps the vCPU from blocking.
        let now = timer::now();
        let free = rest(guest, now);
        if wakes(guest) {
            rouse(guest, now);
            return go_on(guest, called);
        }
        if called || !free {
            let deadline = guest.deadline();
            return guest.leave(Reason::Block { deadline });
        }
        called = sleep(guest);
        rouse(guest, timer::now());
        if wakes(guest) {
            return go_on(guest, called);
        }
    }
}

/// The wait is over. But who was called leaves all the same: the call is taken from the attention
/// word, and nobody repeats it.
fn go_on(guest: &mut Guest, called: bool) -> Next {
    if called { guest.leave(Reason::Preempted) } else { Next::Resume }
}

/// Whether there is what ends a WFI (D1.7.2): an interrupt that PSTATE alone may mask, or a virtual
/// SError. What has arrived goes into the list registers first: they are what is looked at.
fn wakes(guest: &mut Guest) -> bool {
    let mut vgic = guest.vm.vgic.lock();
    let effects = vgic.deliver(guest.vcpu.index, &mut guest.lrs);
    let wakes = vgic.has_deliverable(guest.vcpu.index, &guest.lrs);
    drop(vgic);
    guest.notify(effects);
    wakes || HCR_EL2.get() & traps::HCR_VSE != 0
}

/// The pCPU sleeps with the vCPU loaded. Its timers' interrupts, kicks and all others end it. True
/// where the run queue wants the pCPU.
fn sleep(guest: &mut Guest) -> bool {
    let presence = schedule::presence(guest.pcpu);
    if presence.sleep() {
        watch::sleep(Some(guest));
        presence.leave();
    }
    let called = presence.take_attention() & schedule::RESCHEDULE != 0;
    interrupt::take(Some(guest)) == Next::Leave || called
}

fn rest(guest: &Guest, now: u64) -> bool {
    let rest = schedule::with(|queue| queue.rest(guest.pcpu, guest.vcpu.entity, now));
    rest == Some(Ok(true))
}

fn rouse(guest: &Guest, now: u64) {
    let _ = schedule::with(|queue| queue.rouse(guest.pcpu, guest.vcpu.entity, now));
}
