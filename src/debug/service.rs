//! The service that moves bytes between gdb and a session, and looks whether the VM has stopped.

use spin::{Mutex, Once};

use super::machine::Vms;
use super::session::Session;
use crate::platform::virtio::Console;
use crate::platform::{gic, timer};
use crate::sched::{EntityId, Reason, SchedError};
use crate::vm::schedule;

/// Bytes that are taken in one slice: about a packet.
const SLICE: usize = 256;
/// A VM that is off is noticed so many times a second.
const LOOKS: u64 = 20;

struct Stub {
    console: Console,
    session: Session<Vms>,
}

/// Only tried, never waited for: the run queue has the service on one pCPU at a time anyway.
static STUB: Mutex<Option<Stub>> = Mutex::new(None);
static SERVICE: Once<EntityId> = Once::new();

/// Waits for gdb on `console`.
pub fn start(console: Console) -> Result<(), SchedError> {
    let session = Session::new(Vms::default());
    *STUB.lock() = Some(Stub { console, session });
    let service = schedule::add_service(work)?;
    SERVICE.call_once(|| service);
    Ok(())
}

/// The console has interrupted, or a vCPU has come to a breakpoint.
pub fn wake() {
    if let Some(service) = SERVICE.get() {
        schedule::wake(*service);
    }
}

fn work() -> Reason {
    let mut stub = STUB.try_lock();
    let Some(Stub { console, session }) = stub.as_deref_mut().and_then(Option::as_mut) else {
        return Reason::Yield;
    };
    console.acknowledge();
    session.poll();
    session.send(|bytes| console.send(bytes));
    let mut left = SLICE;
    // No question is taken before the last answer is on its way.
    while !session.has_answer()
        && left > 0
        && let Some(byte) = console.receive()
    {
        session.receive(byte);
        left -= 1;
    }
    session.send(|bytes| console.send(bytes));
    // What comes from here on interrupts, and so does the end of what was sent: what waits for it is
    // looked at then.
    gic::enable_spi(console.intid);
    if left == 0 {
        return Reason::Yield;
    }
    let is_running = session.is_running();
    drop(stub);
    let look = timer::now().saturating_add(timer::frequency() / LOOKS);
    Reason::Block { deadline: is_running.then_some(look) }
}
