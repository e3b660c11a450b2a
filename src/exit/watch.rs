//! What the run loop tells of each crossing, where anything is watched.
//!
//! The loop is written once and compiled twice: with `()`, which tells nothing and costs nothing, and
//! with [`Crossings`]. Which one runs a vCPU is decided when it is loaded.

use core::sync::atomic::Ordering;

use aarch64_cpu::registers::{ESR_EL2, FAR_EL2, HPFAR_EL2};
use tock_registers::interfaces::Readable;

use super::esr::{Ec, Esr};
use super::guest::{Guest, Next};
use super::{Exit, interrupt};
use crate::device::vgic::CpuInterface;
use crate::el2::cache;
use crate::platform::{gic, timer};
use crate::sched::Reason;
use crate::trace;
use crate::trace::format::{Event, KINDS, Left, Record, Who};
use crate::vm::schedule::Thing;

/// The most list registers that there can be.
const LISTS: usize = 16;

/// Who is told of crossings.
pub trait Watch {
    /// The guest is about to be entered.
    fn enter(&mut self, guest: &Guest);
    /// It came back.
    fn exit(&mut self, guest: &Guest, exit: Exit);
    /// What it came back for has been handled.
    fn handled(&mut self, guest: &Guest, next: Next);
}

impl Watch for () {
    #[inline(always)]
    fn enter(&mut self, _: &Guest) {}
    #[inline(always)]
    fn exit(&mut self, _: &Guest, _: Exit) {}
    #[inline(always)]
    fn handled(&mut self, _: &Guest, _: Next) {}
}

/// Tells the trace, and takes the time.
#[derive(Default)]
pub struct Crossings {
    /// What the list registers held when they were last told of.
    lists: [u64; LISTS],
    /// The counts of exits when the last one began, and the time, without what was slept before.
    counts: [u64; KINDS],
    began: u64,
}

impl Crossings {
    /// The list registers that have changed since the last call.
    fn tell_lists(&mut self, guest: &Guest, event: Event) {
        let lists = self.lists.iter_mut().enumerate().take(guest.lrs.lr_count());
        for (index, told) in lists {
            let value = guest.lrs.lr(index);
            if core::mem::replace(told, value) != value {
                trace::note(|| Record::new(event, guest.who(), index as u32, value, 0));
            }
        }
    }
}

impl Watch for Crossings {
    fn enter(&mut self, guest: &Guest) {
        self.tell_lists(guest, Event::ListWrite);
        let frame = &guest.state.frame;
        trace::note(|| Record::new(Event::Enter, guest.who(), 0, frame.pc, frame.pstate));
    }

    fn exit(&mut self, guest: &Guest, exit: Exit) {
        self.began = timer::now().wrapping_sub(slept(guest));
        self.counts = guest.state.exits.kinds().map(|(_, count)| count);
        let (frame, who) = (&guest.state.frame, guest.who());
        match exit {
            Exit::Synchronous => tell_synchronous(guest, Esr::new(ESR_EL2.get())),
            Exit::SError => trace::note(|| {
                let esr = ESR_EL2.get() as u32;
                Record::new(Event::ExitSError, who, esr, frame.pc, frame.pstate)
            }),
            Exit::Irq | Exit::Fiq => {
                trace::note(|| {
                    Record::new(Event::ExitIrq, who, gic::pending(), frame.pc, frame.pstate)
                });
                interrupt::announce(who);
            }
        }
        self.tell_lists(guest, Event::ListRead);
    }

    fn handled(&mut self, guest: &Guest, next: Next) {
        let now = guest.state.exits.kinds().map(|(_, count)| count);
        let kind = now.iter().zip(&self.counts).position(|(now, before)| now != before);
        if let Some((times, kind)) = guest.vcpu.times().zip(kind) {
            let spent = timer::now().wrapping_sub(slept(guest)).wrapping_sub(self.began);
            times.kinds.get(kind).into_iter().for_each(|times| times.add(spent));
        }
        trace::note(|| {
            let kind = kind.map_or(0, |kind| kind as u32 + 1);
            let leaves = u64::from(next == Next::Leave);
            Record::new(Event::Handled, guest.who(), kind, guest.state.frame.pc, leaves)
        });
    }
}

/// Ticks that it has slept at EL2.
fn slept(guest: &Guest) -> u64 {
    guest.vcpu.times().map_or(0, |times| times.slept.load(Ordering::Relaxed))
}

/// Of an abort or a watchpoint where it was, of any other class where the guest is and what is in x0;
/// and what it calls for.
fn tell_synchronous(guest: &Guest, esr: Esr) {
    let (who, x) = (guest.who(), &guest.state.frame.x);
    let (a, b) = match esr.ec() {
        Ec::DATA_ABORT_LOWER | Ec::INSTRUCTION_ABORT_LOWER | Ec::WATCHPOINT_LOWER => {
            (FAR_EL2.get(), HPFAR_EL2.get())
        }
        _ => (guest.state.frame.pc, x[0]),
    };
    trace::note(|| Record::new(Event::ExitSync, who, esr.bits() as u32, a, b));
    if matches!(esr.ec(), Ec::HVC64 | Ec::SMC64) {
        trace::note(|| Record::new(Event::Call, who, x[0] as u32, x[1], x[2]));
    }
}

/// Sleeps in WFI until an interrupt is pending.
pub fn sleep(guest: Option<&Guest>) {
    let who = guest.map_or(Who::NOBODY, |guest| guest.who());
    let watched = trace::is_watched();
    let since = if watched { timer::now() } else { 0 };
    trace::note(|| Record::new(Event::Idle, who, 0, 0, 0));
    // Interrupts are masked, which doesn't keep them from ending a WFI (D1.7.2).
    cache::dsb_sy();
    cache::wfi();
    if watched {
        if let Some(times) = guest.and_then(|guest| guest.vcpu.times()) {
            times.slept.fetch_add(timer::now().wrapping_sub(since), Ordering::Relaxed);
        }
        trace::note(|| Record::new(Event::Awake, who, 0, 0, 0));
        interrupt::announce(who);
    }
}

/// A pCPU begins to run `thing`.
pub fn sched_in(thing: Option<Thing>, waited: u64, slice_end: Option<u64>) -> Record {
    let who = thing.map_or(Who::NOBODY, |thing| thing.who());
    Record::new(Event::SchedIn, who, 0, waited, slice_end.unwrap_or(u64::MAX))
}

/// It has run it, and gives it back for `reason`.
pub fn sched_out(thing: Option<Thing>, reason: Reason) -> Record {
    let who = thing.map_or(Who::NOBODY, |thing| thing.who());
    let (left, deadline) = match reason {
        Reason::Yield => (Left::Yield, None),
        Reason::Preempted => (Left::Preempted, None),
        Reason::Block { deadline } => (Left::Block, deadline),
        Reason::Off => (Left::Off, None),
    };
    Record::new(Event::SchedOut, who, left as u32, deadline.unwrap_or(u64::MAX), 0)
}
