//! The loop that the whole hypervisor is readable from: pick a vCPU, load it, run it until it
//! comes back, handle why, put it away.

use super::guest::{Guest, Next};
use super::watch::{self, Watch};
use super::{Exit, handle, interrupt};
use crate::el2::{cache, percpu, vectors};
use crate::platform::timer;
use crate::sched::{EntityId, Pick, Presence, Reason, State};
use crate::trace;
use crate::vm::schedule::{self, Thing};
use crate::vm::{Vcpu, Vm};

/// What has run on this pCPU, until the run queue has it back.
struct Left {
    id: EntityId,
    reason: Reason,
    /// A vCPU, and which life of its VM it belongs to: looked at before it can be off, for from then
    /// on its VM may end and start anew.
    vcpu: Option<(&'static Vm, &'static Vcpu, usize)>,
}

/// What a pCPU does for the rest of its life.
pub fn pcpu_main() -> ! {
    let pcpu = percpu::this().id.get();
    let presence = schedule::presence(pcpu);
    let mut left: Option<Left> = None;
    loop {
        // Who has called this pCPU to the run queue has it there now, and finds what it was for. What
        // the last vCPU was told is in its vGIC, and looked at when that is loaded.
        presence.take_attention();
        let now = timer::now();
        let turn = schedule::with(|queue| {
            let put = left.as_ref().map(|left| queue.put(pcpu, left.id, now, left.reason));
            (put, queue.pick(pcpu, now), queue.next_event(pcpu))
        });
        let Some((put, picked, next_event)) = turn else { continue };
        if let Some((vm, vcpu, lives)) = left.take().and_then(|left| left.vcpu) {
            // Off by its own CPU_OFF, or because its VM stops or pauses.
            match put {
                Some(Ok(State::Off)) => vm.vcpu_is_off(vcpu, lives),
                Some(Ok(State::Paused)) => vm.check_left(),
                _ => {}
            }
        }
        match picked {
            Ok(Pick::Run { id, slice_end, waited, kick }) => {
                schedule::deliver(kick);
                let thing = schedule::thing(id);
                trace::note(|| watch::sched_in(thing, waited, slice_end));
                let (reason, vcpu) = match thing {
                    Some(Thing::Vcpu(vm, vcpu)) => {
                        let reason = run_vcpu(vm, vcpu, slice_end, next_event, waited);
                        (reason, Some((vm, vcpu, vm.lives())))
                    }
                    Some(Thing::Job(vm)) if vm.job_slice() => (Reason::Yield, None),
                    // Until it is called: a call that came meanwhile keeps it from blocking.
                    Some(Thing::Job(_)) => (Reason::Block { deadline: None }, None),
                    Some(Thing::Service(work)) => (work(), None),
                    None => (Reason::Off, None),
                };
                trace::note(|| watch::sched_out(thing, reason));
                left = Some(Left { id, reason, vcpu });
            }
            Ok(Pick::Idle { kick }) => {
                schedule::deliver(kick);
                idle(presence, next_event);
            }
            Err(_) => cache::wfi(),
        }
    }
}

/// Runs `vcpu` until it has to leave this pCPU.
#[inline(always)]
fn run_vcpu(
    vm: &'static Vm,
    vcpu: &'static Vcpu,
    slice_end: Option<u64>,
    next_event: Option<u64>,
    waited: u64,
) -> Reason {
    // SAFETY: the run queue has just given it to this pCPU.
    let mut guest = unsafe { Guest::load(vm, vcpu, slice_end, next_event) };
    guest.check_physical_timer();
    guest.tell_stolen_time(waited);
    if trace::is_watched() {
        run_loaded(&mut guest, watch::Crossings::default());
    } else {
        run_loaded(&mut guest, ());
    }
    guest.put()
}

/// Enters the guest and handles why it came back, again and again. A function of its own, so that
/// its few variables stay in registers.
#[inline(never)]
fn run_loaded(guest: &mut Guest, mut watch: impl Watch) {
    let presence = schedule::presence(guest.pcpu);
    loop {
        if !presence.enter() {
            if guest.attend(presence.take_attention()) == Next::Leave {
                return;
            }
            continue;
        }
        watch.enter(guest);
        let exit = run(guest);
        presence.leave();
        watch.exit(guest, exit);
        guest.check_virtual_timer();
        let next = handle(guest, exit);
        watch.handled(guest, next);
        if next == Next::Leave {
            return;
        }
    }
}

/// Enters the guest; returns why it came back.
#[inline(always)]
fn run(guest: &mut Guest) -> Exit {
    // SAFETY: `guest` is loaded on this pCPU, and its PSTATE is EL1's or EL0's: out of reset, or
    // as the hardware saved it, or by the injection of an exception to EL1.
    Exit::from_vector(unsafe { vectors::enter_guest(&raw mut guest.state.frame) })
}

/// Nothing to run: sleeps until something happens.
fn idle(presence: &Presence, next_event: Option<u64>) {
    timer::arm(next_event);
    if presence.sleep() {
        watch::sleep(None);
        presence.leave();
    }
    interrupt::take(None);
}
