//! What gdb may ask for, for the crate: each request in terms of a [`Machine`].

use gdbstub::common::{Pid, Signal, Tid};
use gdbstub::target::ext::base::BaseOps;
use gdbstub::target::ext::base::multithread::*;
use gdbstub::target::ext::breakpoints::*;
use gdbstub::target::ext::extended_mode::*;
use gdbstub::target::ext::thread_extra_info::{ThreadExtraInfo, ThreadExtraInfoOps};
use gdbstub::target::{self, TargetError, TargetResult};

use super::registers::{Aarch64, Registers};
use super::slots::{self, Slots, Values};

/// Why a VM that ran has stopped.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Stop {
    /// This vCPU came to a BRK of the debugger's.
    Software(usize),
    /// To a breakpoint in its registers.
    Hardware(usize),
    /// This vCPU's access at this address hit a watchpoint.
    Watchpoint(usize, u64),
    /// This one has done its step.
    Stepped(usize),
    /// It was told to, by the debugger or by others.
    Told,
    /// It is off.
    Off,
}

/// VMs, of which one at a time is attached to. Only that one is meant by all the rest.
pub trait Machine {
    /// Attaches to VM `vm`, and has it stand still; to the first one that can be, if none is named.
    /// Returns which; `None` if it isn't there or doesn't run.
    fn attach(&mut self, vm: Option<usize>) -> Option<usize>;
    /// Lets go of it: breakpoints are gone, and it goes on.
    fn detach(&mut self);
    /// Turns it off.
    fn kill(&mut self);
    /// Which of its vCPUs are on, a bit each.
    fn on(&self) -> u64;
    /// Its name.
    fn name(&self) -> &str;
    /// Shows a vCPU's registers to `look`, which may change them. False if it is off.
    fn registers(&mut self, vcpu: usize, look: &mut dyn FnMut(&mut Registers)) -> bool;
    /// Reads memory at a virtual address of a vCPU; returns how many bytes it could.
    fn read(&mut self, vcpu: usize, va: u64, into: &mut [u8]) -> usize;
    /// Writes it; as for `read`.
    fn write(&mut self, vcpu: usize, va: u64, bytes: &[u8]) -> usize;
    /// Puts a BRK at `va`. False if it can't.
    fn add_software(&mut self, va: u64) -> bool;
    /// Puts back what was there.
    fn remove_software(&mut self, va: u64);
    /// How many breakpoint (group 0) or watchpoint (2) registers there are.
    fn count(&self, group: usize) -> usize;
    /// These are the debug registers from now on.
    fn load(&mut self, values: &Values);
    /// Lets these vCPUs go on, a bit each: of them these for one instruction.
    fn resume(&mut self, going: u64, stepping: u64);
    /// Has it stop soon.
    fn stop(&mut self);
    /// Whether it has stopped since it was resumed, and why.
    fn poll(&mut self) -> Option<Stop>;
}

/// A [`Machine`], and what gdb has said so far.
pub struct Target<M> {
    /// The machine.
    pub machine: M,
    /// Number of the VM that is attached to.
    pub vm: Option<usize>,
    /// Its breakpoint and watchpoint registers.
    pub slots: Slots,
    /// gdb attaches to VMs itself (`target extended-remote`).
    extended: bool,
    /// Of the next resume: vCPUs that go on, those that step, and whether all others go on, too.
    going: u64,
    stepping: u64,
    others: bool,
}

impl<M: Machine> Target<M> {
    /// Attached to nothing.
    pub fn new(machine: M) -> Self {
        let slots = Slots::default();
        Self { machine, vm: None, slots, extended: false, going: 0, stepping: 0, others: true }
    }

    /// Another gdb begins.
    pub fn begin(&mut self) {
        self.release();
        self.extended = false;
    }

    /// gdb has done with the VM.
    pub fn release(&mut self) {
        if self.vm.take().is_some() {
            self.machine.detach();
        }
        self.slots = Slots::default();
    }

    fn attach(&mut self, vm: Option<usize>) -> bool {
        self.slots = Slots::default();
        self.vm = self.machine.attach(vm);
        self.vm.is_some()
    }

    fn change(&mut self, change: impl FnOnce(&mut Slots, &M) -> bool) -> TargetResult<bool, Self> {
        let done = change(&mut self.slots, &self.machine);
        self.machine.load(&self.slots.values);
        Ok(done)
    }
}

/// gdb's number of vCPU `vcpu`.
pub fn thread(vcpu: usize) -> Tid {
    Tid::MIN.saturating_add(vcpu)
}

fn vcpu(thread: Tid) -> usize {
    thread.get() - 1
}

fn bit(thread: Tid) -> u64 {
    1u64.checked_shl(vcpu(thread) as u32).unwrap_or(0)
}

/// What gdb shows as "Cannot access memory": EFAULT.
fn fault<T, E>() -> Result<T, TargetError<E>> {
    Err(TargetError::Errno(14))
}

impl<M: Machine> target::Target for Target<M> {
    type Arch = Aarch64;
    type Error = ();

    fn base_ops(&mut self) -> BaseOps<'_, Aarch64, ()> {
        BaseOps::MultiThread(self)
    }

    fn support_breakpoints(&mut self) -> Option<BreakpointsOps<'_, Self>> {
        Some(self)
    }

    fn support_extended_mode(&mut self) -> Option<ExtendedModeOps<'_, Self>> {
        Some(self)
    }
}

impl<M: Machine> MultiThreadBase for Target<M> {
    fn read_registers(&mut self, into: &mut Registers, tid: Tid) -> TargetResult<(), Self> {
        match self.machine.registers(vcpu(tid), &mut |registers| *into = registers.clone()) {
            true => Ok(()),
            false => fault(),
        }
    }

    fn write_registers(&mut self, new: &Registers, tid: Tid) -> TargetResult<(), Self> {
        match self.machine.registers(vcpu(tid), &mut |registers| *registers = new.clone()) {
            true => Ok(()),
            false => fault(),
        }
    }

    fn read_addrs(&mut self, va: u64, into: &mut [u8], tid: Tid) -> TargetResult<usize, Self> {
        match self.machine.read(vcpu(tid), va, into) {
            0 if !into.is_empty() => fault(),
            count => Ok(count),
        }
    }

    fn write_addrs(&mut self, va: u64, bytes: &[u8], tid: Tid) -> TargetResult<(), Self> {
        match self.machine.write(vcpu(tid), va, bytes) == bytes.len() {
            true => Ok(()),
            false => fault(),
        }
    }

    fn list_active_threads(&mut self, active: &mut dyn FnMut(Tid)) -> Result<(), ()> {
        // `target remote` names no VM.
        if self.vm.is_some() || !self.extended && self.attach(None) {
            let on = self.machine.on();
            (0..64).filter(|vcpu| on >> vcpu & 1 != 0).for_each(|vcpu| active(thread(vcpu)));
        }
        Ok(())
    }

    fn support_resume(&mut self) -> Option<MultiThreadResumeOps<'_, Self>> {
        Some(self)
    }

    fn support_thread_extra_info(&mut self) -> Option<ThreadExtraInfoOps<'_, Self>> {
        Some(self)
    }
}

impl<M: Machine> ThreadExtraInfo for Target<M> {
    fn thread_extra_info(&self, tid: Tid, into: &mut [u8]) -> Result<usize, ()> {
        let mut text = arrayvec::ArrayString::<64>::new();
        // A name that is longer stays out.
        let _ = core::fmt::write(
            &mut text,
            format_args!("vCPU {} of {}", vcpu(tid), self.machine.name()),
        );
        let bytes = into.iter_mut().zip(text.bytes());
        Ok(bytes.map(|(place, byte)| *place = byte).count())
    }
}

impl<M: Machine> MultiThreadResume for Target<M> {
    fn resume(&mut self) -> Result<(), ()> {
        let going = if self.others { u64::MAX } else { self.going };
        self.machine.resume(going, self.stepping);
        Ok(())
    }

    fn clear_resume_actions(&mut self) -> Result<(), ()> {
        (self.going, self.stepping, self.others) = (0, 0, true);
        Ok(())
    }

    fn set_resume_action_continue(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), ()> {
        self.going |= bit(tid);
        Ok(())
    }

    fn support_single_step(&mut self) -> Option<MultiThreadSingleStepOps<'_, Self>> {
        Some(self)
    }

    fn support_scheduler_locking(&mut self) -> Option<MultiThreadSchedulerLockingOps<'_, Self>> {
        Some(self)
    }
}

impl<M: Machine> MultiThreadSingleStep for Target<M> {
    fn set_resume_action_step(&mut self, tid: Tid, _: Option<Signal>) -> Result<(), ()> {
        self.stepping |= bit(tid);
        self.going |= bit(tid);
        Ok(())
    }
}

impl<M: Machine> MultiThreadSchedulerLocking for Target<M> {
    fn set_resume_action_scheduler_lock(&mut self) -> Result<(), ()> {
        self.others = false;
        Ok(())
    }
}

impl<M: Machine> Breakpoints for Target<M> {
    fn support_sw_breakpoint(&mut self) -> Option<SwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_breakpoint(&mut self) -> Option<HwBreakpointOps<'_, Self>> {
        Some(self)
    }

    fn support_hw_watchpoint(&mut self) -> Option<HwWatchpointOps<'_, Self>> {
        Some(self)
    }
}

impl<M: Machine> SwBreakpoint for Target<M> {
    fn add_sw_breakpoint(&mut self, va: u64, _: usize) -> TargetResult<bool, Self> {
        Ok(self.machine.add_software(va))
    }

    fn remove_sw_breakpoint(&mut self, va: u64, _: usize) -> TargetResult<bool, Self> {
        self.machine.remove_software(va);
        Ok(true)
    }
}

impl<M: Machine> HwBreakpoint for Target<M> {
    fn add_hw_breakpoint(&mut self, va: u64, _: usize) -> TargetResult<bool, Self> {
        self.change(|slots, machine| slots.add(0, machine.count(0), slots::breakpoint(va)))
    }

    fn remove_hw_breakpoint(&mut self, va: u64, _: usize) -> TargetResult<bool, Self> {
        self.change(|slots, _| slots.remove(0, slots::breakpoint(va)))
    }
}

/// What a watchpoint's registers are to hold.
fn watched(va: u64, length: u64, kind: WatchKind) -> Option<(u64, u64)> {
    slots::watchpoint(va, length, kind != WatchKind::Write, kind != WatchKind::Read)
}

impl<M: Machine> HwWatchpoint for Target<M> {
    fn add_hw_watchpoint(
        &mut self,
        va: u64,
        length: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let Some(wanted) = watched(va, length, kind) else { return Ok(false) };
        self.change(|slots, machine| slots.add(2, machine.count(2), wanted))
    }

    fn remove_hw_watchpoint(
        &mut self,
        va: u64,
        length: u64,
        kind: WatchKind,
    ) -> TargetResult<bool, Self> {
        let Some(wanted) = watched(va, length, kind) else { return Ok(false) };
        self.change(|slots, _| slots.remove(2, wanted))
    }
}

/// gdb's processes are VMs, by number + 1.
impl<M: Machine> ExtendedMode for Target<M> {
    fn on_start(&mut self) -> Result<(), ()> {
        self.extended = true;
        Ok(())
    }

    fn attach(&mut self, pid: Pid) -> TargetResult<(), Self> {
        self.vm.take().into_iter().for_each(|_| self.machine.detach());
        if Target::attach(self, Some(pid.get() - 1)) { Ok(()) } else { Err(TargetError::NonFatal) }
    }

    fn query_if_attached(&mut self, _: Pid) -> TargetResult<AttachKind, Self> {
        Ok(AttachKind::Attach)
    }

    fn kill(&mut self, _: Option<Pid>) -> TargetResult<ShouldTerminate, Self> {
        self.machine.kill();
        Ok(ShouldTerminate::Yes)
    }

    /// VMs are started and reset by the operator.
    fn run(&mut self, _: Option<&[u8]>, _: Args<'_, '_>) -> TargetResult<Pid, Self> {
        Err(TargetError::NonFatal)
    }

    fn restart(&mut self) -> Result<(), ()> {
        Ok(())
    }

    fn support_current_active_pid(&mut self) -> Option<CurrentActivePidOps<'_, Self>> {
        Some(self)
    }
}

impl<M: Machine> CurrentActivePid for Target<M> {
    fn current_active_pid(&mut self) -> Result<Pid, ()> {
        Ok(Pid::MIN.saturating_add(self.vm.unwrap_or(0)))
    }
}
