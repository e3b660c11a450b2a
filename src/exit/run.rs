//! The loop that the whole hypervisor is readable from: pick a vCPU, load it, run it until it
//! comes back, handle why, put it away.

use super::guest::{Guest, Next};
use super::{Exit, handle, interrupt};
use crate::el2::{cache, percpu, vectors};
use crate::platform::timer;
use crate::sched::{EntityId, Pick, Reason, State};
use crate::vm::schedule::{self, Thing};
use crate::vm::{Vcpu, Vm};

/// What a pCPU does for the rest of its life.
pub fn pcpu_main() -> ! {
    let pcpu = percpu::this().id.get();
    loop {
        let now = timer::now();
        let picked = schedule::with(|queue| (queue.pick(pcpu, now), queue.next_event(pcpu)));
        match picked {
            Some((Ok(Pick::Run { id, slice_end, waited, kick }), next_event)) => {
                schedule::deliver(kick);
                let thing = schedule::thing(id);
                // What it would have been called back for it has just done.
                let reason = match thing {
                    Some(Thing::Vcpu(vm, vcpu)) => {
                        run_vcpu(vm, vcpu, slice_end, next_event, waited)
                    }
                    Some(Thing::Job(vm)) if vm.job_slice() => Reason::Yield,
                    // Until it is called: a call that came meanwhile keeps it from blocking.
                    Some(Thing::Job(_)) => Reason::Block { deadline: None },
                    None => Reason::Off,
                };
                put_away(pcpu, id, thing, reason);
            }
            Some((Ok(Pick::Idle { kick }), next_event)) => {
                schedule::deliver(kick);
                idle(pcpu, next_event);
            }
            Some((Err(_), _)) | None => cache::wfi(),
        }
    }
}

/// Puts away what has run. A vCPU may be off by its own CPU_OFF, or leave because its VM stops or
/// pauses.
#[inline(always)]
fn put_away(pcpu: usize, id: EntityId, thing: Option<Thing>, reason: Reason) {
    let Some(Thing::Vcpu(vm, vcpu)) = thing else {
        schedule::with(|queue| queue.put(pcpu, id, timer::now(), reason));
        return;
    };
    // Looked at before it is off: from then on its VM may end and start anew.
    let lives = vm.lives();
    match schedule::with(|queue| queue.put(pcpu, id, timer::now(), reason)) {
        Some(Ok(State::Off)) => vm.vcpu_is_off(vcpu, lives),
        Some(Ok(State::Paused)) => vm.check_left(),
        _ => {}
    }
}

/// Runs `vcpu` until it has to leave this pCPU.
fn run_vcpu(
    vm: &'static Vm,
    vcpu: &'static Vcpu,
    slice_end: Option<u64>,
    next: Option<u64>,
    waited: u64,
) -> Reason {
    // SAFETY: the run queue has just given it to this pCPU.
    let mut guest = unsafe { Guest::load(vm, vcpu, slice_end, next) };
    guest.tell_stolen_time(waited);
    run_loaded(&mut guest);
    guest.put()
}

/// Enters the guest and handles why it came back, again and again. A function of its own, so that
/// its few variables stay in registers.
#[inline(never)]
fn run_loaded(guest: &mut Guest) {
    let presence = schedule::presence(guest.pcpu);
    loop {
        if !presence.enter() {
            if guest.attend(presence.take_attention()) == Next::Leave {
                return;
            }
            continue;
        }
        let exit = run(guest);
        presence.leave();
        guest.check_virtual_timer();
        if handle(guest, exit) == Next::Leave {
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
fn idle(pcpu: usize, next_event: Option<u64>) {
    timer::arm(next_event);
    let presence = schedule::presence(pcpu);
    if presence.sleep() {
        // Interrupts are masked, which doesn't keep them from ending a WFI (D1.7.2).
        cache::dsb_sy();
        cache::wfi();
        presence.leave();
    }
    presence.take_attention();
    interrupt::take(None);
}
