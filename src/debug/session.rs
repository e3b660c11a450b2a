//! A session with gdb: bytes in, bytes out, and a VM that stops.

use alloc::sync::Arc;

use arrayvec::ArrayVec;
use gdbstub::common::Signal;
use gdbstub::conn::Connection;
use gdbstub::stub::state_machine::GdbStubStateMachine;
use gdbstub::stub::{GdbStubBuilder, GdbStubError, MultiThreadStopReason};
use gdbstub::target::ext::breakpoints::WatchKind;
use spin::Mutex;

use super::target::{Machine, Stop, Target, thread};

/// The longest packet that gdb may send.
const PACKET: usize = 2048;
/// How a session begins. The console doesn't tell that the one before is over, so this does: no other
/// `$` is ever in a packet.
const GREETING: &[u8] = b"$qSupported";

/// Bytes for gdb: the longest answers are memory, in two digits a byte. The stub is passed by value
/// from state to state, so they lie elsewhere.
#[derive(Clone, Default)]
struct Output(Arc<Mutex<ArrayVec<u8, { 2 * PACKET }>>>);

impl Connection for Output {
    type Error = ();

    fn write(&mut self, byte: u8) -> Result<(), ()> {
        self.0.lock().try_push(byte).map_err(|_| ())
    }

    fn flush(&mut self) -> Result<(), ()> {
        Ok(())
    }
}

type Stub<M> = GdbStubStateMachine<'static, Target<M>, Output>;

/// The stub, and what it works on.
pub struct Session<M: Machine + 'static> {
    target: Target<M>,
    /// `None` after what it couldn't make sense of: it begins anew.
    stub: Option<Stub<M>>,
    output: Output,
    /// How much of [`GREETING`] has come.
    greeted: usize,
}

impl<M: Machine> Session<M> {
    /// Waits for gdb.
    pub fn new(machine: M) -> Self {
        let (target, output) = (Target::new(machine), Output::default());
        Self { target, stub: None, output, greeted: 0 }
    }

    /// Whether the VM runs, as far as gdb knows: then it is to be polled.
    pub fn is_running(&self) -> bool {
        matches!(self.stub, Some(GdbStubStateMachine::Running(_)))
    }

    /// A byte from gdb.
    pub fn receive(&mut self, byte: u8) {
        self.greeted = match GREETING.get(self.greeted) {
            Some(wanted) if *wanted == byte => self.greeted + 1,
            _ => usize::from(byte == b'$'),
        };
        if self.greeted == GREETING.len() {
            self.target.begin();
            self.stub = None;
            self.output.0.lock().clear();
            GREETING.iter().take(GREETING.len() - 1).for_each(|byte| self.pump(*byte));
        }
        self.pump(byte);
    }

    fn pump(&mut self, byte: u8) {
        let target = &mut self.target;
        let next = match self.stub.take().or_else(|| fresh(&self.output, target)) {
            Some(GdbStubStateMachine::Idle(stub)) => stub.incoming_data(target, byte),
            Some(GdbStubStateMachine::Running(stub)) => stub.incoming_data(target, byte),
            // Left at once, below.
            other => return self.stub = other,
        };
        self.stub = next.and_then(|stub| settle(target, stub)).ok();
    }

    /// Tells gdb if the VM has stopped.
    pub fn poll(&mut self) {
        if !self.is_running() {
            return;
        }
        let Some(stop) = self.target.machine.poll() else { return };
        let reason = self.reason(stop);
        if let Some(GdbStubStateMachine::Running(stub)) = self.stub.take() {
            let told = stub.report_stop(&mut self.target, reason);
            self.stub = told.and_then(|stub| settle(&mut self.target, stub)).ok();
        }
    }

    fn reason(&self, stop: Stop) -> MultiThreadStopReason<u64> {
        let signal =
            |vcpu, signal| MultiThreadStopReason::SignalWithThread { tid: thread(vcpu), signal };
        match stop {
            Stop::Software(vcpu) => MultiThreadStopReason::SwBreak(thread(vcpu)),
            Stop::Hardware(vcpu) => MultiThreadStopReason::HwBreak(thread(vcpu)),
            Stop::Stepped(vcpu) => signal(vcpu, Signal::SIGTRAP),
            Stop::Told => {
                let first = self.target.machine.on().trailing_zeros() as usize;
                signal(if first < 64 { first } else { 0 }, Signal::SIGINT)
            }
            Stop::Watchpoint(vcpu, far) => match self.target.slots.hit(far) {
                Some((addr, loads, stores)) => {
                    let kind = match (loads, stores) {
                        (true, true) => WatchKind::ReadWrite,
                        (true, false) => WatchKind::Read,
                        _ => WatchKind::Write,
                    };
                    MultiThreadStopReason::Watch { tid: thread(vcpu), kind, addr }
                }
                None => signal(vcpu, Signal::SIGTRAP),
            },
            Stop::Off => MultiThreadStopReason::Exited(0),
        }
    }

    /// Whether something waits to be sent to gdb.
    pub fn has_answer(&self) -> bool {
        !self.output.0.lock().is_empty()
    }

    /// Gives it to `send`, which says how much of it is on its way.
    pub fn send(&mut self, send: impl FnOnce(&[u8]) -> usize) {
        let mut output = self.output.0.lock();
        let sent = send(&output).min(output.len());
        output.drain(..sent);
    }
}

/// Leaves the states in which a stub takes no byte.
fn settle<M: Machine>(
    target: &mut Target<M>,
    stub: Stub<M>,
) -> Result<Stub<M>, GdbStubError<(), ()>> {
    match stub {
        // It is told when the VM has stopped.
        GdbStubStateMachine::CtrlCInterrupt(stub) => {
            target.machine.stop();
            stub.interrupt_handled(target, None::<MultiThreadStopReason<u64>>)
        }
        GdbStubStateMachine::Disconnected(stub) => {
            target.release();
            Ok(stub.return_to_idle())
        }
        stub => Ok(stub),
    }
}

/// A stub that knows nothing yet.
fn fresh<M: Machine>(output: &Output, target: &mut Target<M>) -> Option<Stub<M>> {
    let stub = GdbStubBuilder::new(output.clone()).packet_buffer_size(PACKET).build().ok()?;
    stub.run_state_machine(target).ok()
}

#[cfg(test)]
mod tests;
