//! What the operator watches: the trace, and the time that exits take.

use log::info;

use super::life::{InvalidTransition, Life};
use super::schedule::{self, Thing};
use super::{Vm, all};
use crate::sched::Kick;
use crate::trace::format::{Event, JOB, Record, Stage, Who};
use crate::trace::{self, Error};

/// Begins to write the trace, into rings of `records`; says where it is.
pub fn start_trace(records: u32) -> Result<(), Error> {
    let vms = all().last().map_or(0, |vm| vm.id + 1);
    let names = (0..vms).map(|id| super::by_id(id).map_or("", |vm| vm.name.as_str()));
    let (pa, bytes) = trace::begin(records, schedule::pcpus(), names)?;
    recall();
    info!("trace: {records} records a pCPU at {pa}, {bytes:#x} bytes");
    Ok(())
}

/// Ends it.
pub fn stop_trace() {
    trace::end();
    recall();
}

/// Starts to take the times of all exits, anew; or stops.
pub fn time_exits(on: bool) {
    for vcpu in all().flat_map(|vm| &vm.vcpus).filter(|_| on) {
        let times = vcpu.times.call_once(Default::default);
        times.kinds.iter().for_each(trace::Times::clear);
    }
    trace::watch(trace::TIMES, on);
    recall();
}

/// Calls every vCPU back to the run queue: it goes on in the loop that watches, or in the other.
fn recall() {
    let everybody = u8::MAX >> (8 - schedule::pcpus().min(8));
    schedule::deliver(Kick { reschedule: everybody, notice: 0 });
}

impl Thing {
    /// What it is called in the trace.
    pub const fn who(&self) -> Who {
        match self {
            Self::Vcpu(vm, vcpu) => Who { vm: vm.id as u16, vcpu: vcpu.index as u8 },
            Self::Job(vm) => Who { vm: vm.id as u16, vcpu: JOB },
            Self::Service(_) => Who { vcpu: JOB, ..Who::NOBODY },
        }
    }
}

impl Vm {
    /// Takes a step of its life, and tells the trace of it.
    pub(super) fn step<R>(
        &self,
        step: impl FnOnce(&mut Life) -> Result<R, InvalidTransition>,
    ) -> Result<R, InvalidTransition> {
        let mut life = self.life.lock();
        step(&mut life).inspect(|_| self.note_life(&life))
    }

    /// Tells the trace where in its life it is now.
    pub(super) fn note_life(&self, life: &Life) {
        let stage = match life {
            Life::Made => Stage::Made,
            Life::Preparing => Stage::Preparing,
            Life::Running => Stage::Running,
            Life::Pausing => Stage::Pausing,
            Life::Paused(_) => Stage::Paused,
            Life::Stopping(_) => Stage::Stopping,
            Life::Releasing(_) => Stage::Releasing,
            Life::Off(_) => Stage::Off,
        };
        let who = Who { vm: self.id as u16, ..Who::NOBODY };
        trace::note(|| Record::new(Event::Life, who, stage as u32, 0, 0));
    }
}
