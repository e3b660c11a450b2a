//! Physical interrupts: EL2's own timer, kicks, the guest's virtual timer, maintenance of the list
//! registers, and the UART.

use core::sync::atomic::{AtomicU32, Ordering};

use super::guest::{Guest, Next};
use crate::debug;
use crate::el2::percpu;
use crate::monitor;
use crate::platform::machine::Machine;
use crate::platform::{console, gic, timer};
use crate::sched::Reason;
use crate::trace;
use crate::trace::format::{Event, Record, Who};
use crate::vm::{self, Vm, schedule};

/// INTIDs of this machine's interrupts, from its tree; none has number 0.
struct Intids {
    virtual_timer: AtomicU32,
    hypervisor_timer: AtomicU32,
    maintenance: AtomicU32,
    uart: AtomicU32,
    virtio: AtomicU32,
}

static INTIDS: Intids = Intids {
    virtual_timer: AtomicU32::new(0),
    hypervisor_timer: AtomicU32::new(0),
    maintenance: AtomicU32::new(0),
    uart: AtomicU32::new(0),
    virtio: AtomicU32::new(0),
};

/// Learns the numbers; returns the PPIs that every pCPU enables, EL2's own timer first.
pub fn init(machine: &Machine<'_>) -> [u32; 3] {
    let (timer, gic) = (machine.timer, &machine.gic);
    INTIDS.virtual_timer.store(timer.virt, Ordering::Relaxed);
    INTIDS.hypervisor_timer.store(timer.hypervisor, Ordering::Relaxed);
    INTIDS.maintenance.store(gic.maintenance, Ordering::Relaxed);
    INTIDS.uart.store(machine.console.intid, Ordering::Relaxed);
    [timer.hypervisor, timer.virt, gic.maintenance]
}

/// Learns the number of the debugger's console, where there is one.
pub fn init_virtio(intid: u32) {
    INTIDS.virtio.store(intid, Ordering::Relaxed);
}

/// Takes the interrupt that is pending, if one is; says whether the guest, if there is one, goes on.
/// Of several the one of the highest priority (platform/gic.rs); the next comes at once, when the
/// guest is entered or the pCPU sleeps.
#[inline(never)]
pub fn take(guest: Option<&mut Guest>) -> Next {
    let Some(intid) = gic::acknowledge() else { return Next::Resume };
    if intid == gic::KICK {
        gic::complete(intid);
        // Why is in the presence's attention bits: looked at before the next entry, or now.
        return match guest {
            Some(guest) => guest.attend(schedule::presence(guest.pcpu).take_attention()),
            None => Next::Resume,
        };
    }
    if intid == INTIDS.virtual_timer.load(Ordering::Relaxed) {
        if let Some(guest) = guest {
            return virtual_timer(guest, intid);
        }
        // A timer that fired just before its vCPU was put: it fires again when that is loaded.
        gic::complete(intid);
        return Next::Resume;
    }
    if intid == INTIDS.hypervisor_timer.load(Ordering::Relaxed) {
        // Its line goes down before it is deactivated, or it would be pending again at once.
        timer::arm(None);
        gic::complete(intid);
        return hypervisor_timer(guest);
    }
    gic::complete(intid);
    if intid == INTIDS.maintenance.load(Ordering::Relaxed) {
        if let Some(guest) = guest {
            maintenance(guest);
        }
    } else if intid == INTIDS.uart.load(Ordering::Relaxed) {
        uart();
    } else if intid == INTIDS.virtio.load(Ordering::Relaxed) {
        // The service acknowledges it at the device, perhaps on another pCPU, and enables it again.
        gic::disable_spi(intid);
        debug::wake();
    }
    Next::Resume
}

/// Tells the trace what [`take`] is about to take.
#[cold]
pub fn announce(who: Who) {
    let intid = gic::pending();
    let timers = [&INTIDS.virtual_timer, &INTIDS.hypervisor_timer];
    let event = match intid {
        gic::KICK => Event::Kicked,
        _ if timers.iter().any(|timer| timer.load(Ordering::Relaxed) == intid) => Event::Timer,
        _ => return,
    };
    trace::note(|| Record::new(event, who, intid, 0, 0));
}

/// A list register asks for attention.
#[inline(never)]
fn maintenance(guest: &mut Guest) {
    let effects = guest.vm.vgic.lock().sync(guest.vcpu.index, &mut guest.lrs);
    guest.notify(effects);
}

/// The terminal takes more, or keys were pressed: the VMs that they are for have to hear of it, or the
/// monitor.
#[inline(never)]
fn uart() {
    let tell = |vm| vm::by_id(vm).map_or_else(monitor::take_keys, Vm::take_keys);
    console::interrupt(tell, |vm, order| vm::by_id(vm).into_iter().for_each(|vm| vm.obey(order)));
}

/// The guest's own timer: it goes into a list register that is linked with it (HW=1), so that the
/// guest's end of interrupt deactivates the physical one too, without an exit.
fn virtual_timer(guest: &mut Guest, intid: u32) -> Next {
    gic::drop_priority(intid);
    let index = guest.vcpu.index;
    guest.timer_line = Some(true);
    let effects = guest.vm.vgic.lock().raise_timer(index, intid as u16, &mut guest.lrs);
    guest.notify(effects);
    Next::Resume
}

/// The end of a slice, or a deadline of somebody's.
#[inline(never)]
fn hypervisor_timer(mut guest: Option<&mut Guest>) -> Next {
    let now = timer::now();
    if let Some(guest) = &mut guest
        && guest.slice_end.is_some_and(|end| end <= now)
    {
        // Deadlines that are due too make the timer fire again at once.
        return guest.leave(Reason::Preempted);
    }
    let pcpu = percpu::this().id.get();
    let due = schedule::with(|queue| (queue.expire(pcpu, now), queue.next_event(pcpu)));
    let Some((Ok(kick), next_event)) = due else { return Next::Resume };
    let (own, others) = kick.split(pcpu);
    schedule::deliver(others);
    // Without a guest the run queue is looked at next, and what it says arms the timer.
    let Some(guest) = guest else { return Next::Resume };
    if own {
        return guest.leave(Reason::Preempted);
    }
    guest.next_event = next_event;
    guest.check_physical_timer();
    Next::Resume
}
