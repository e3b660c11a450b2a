//! The monitor at work: a service of the run queue, woken by keys, by its deadlines, and by nothing
//! else. A slice does one thing: sends some of what waits for the terminal, does a step of the command
//! that is at work, or takes a key.

use alloc::boxed::Box;
use alloc::string::String;

use log::error;
use spin::{Mutex, Once};

use super::ask;
use super::command::Command;
use super::prompt::Prompt;
use super::task::{Next, Task};
use crate::console::Ring;
use crate::el2::lock::{Lock, rank};
use crate::platform::{console, timer};
use crate::sched::{EntityId, Reason};
use crate::vm::{one_less, one_more, schedule};

/// Keys that may wait.
const KEYS: usize = 256;
/// Bytes that go to the console at once: a part of a line.
const PIECE: usize = 128;
/// Pieces that do in one slice.
const PIECES: usize = 8;

static SERVICE: Once<(EntityId, usize)> = Once::new();
/// What was typed for it, until the service comes to it. The console keeps the keys of one party only.
static WAITING: Lock<Ring<KEYS>, { rank::DEVICE }> = Lock::new(Ring::EMPTY);
/// Outside the order of locks: the service alone takes it, and that is on one pCPU at a time.
static SESSION: Mutex<Option<Session>> = Mutex::new(None);

/// What goes on at the prompt.
struct Session {
    prompt: Prompt,
    /// What the command line has typed, key by key, until it ends.
    script: Option<Box<dyn Iterator<Item = u8> + Send>>,
    task: Option<Task>,
    /// What waits for room on the console, and how much of it is out.
    output: String,
    sent: usize,
}

/// Begins, once all VMs are announced. `script` are commands, separated by `;`, that are typed first;
/// the machine stays on until they are done.
pub fn init(script: &'static str) {
    let number = console::add_monitor();
    let commands = script.split(';').map(str::trim).filter(|command| !command.is_empty());
    let mut keys = commands.flat_map(|command| command.bytes().chain([b'\r'])).peekable();
    let script = keys.peek().is_some().then(|| {
        one_more();
        Box::new(keys) as _
    });
    let (prompt, output) = (Prompt::default(), String::new());
    *SESSION.lock() = Some(Session { prompt, script, task: None, output, sent: 0 });
    match schedule::add_service(serve) {
        Ok(service) => drop(SERVICE.call_once(|| (service, number))),
        Err(refused) => error!("no monitor: {refused}"),
    }
}

/// Takes the keys that wait on the console, and has the service look at them.
pub fn take_keys() {
    let Some((service, number)) = SERVICE.get() else { return };
    let mut keys = WAITING.lock();
    while keys.room() > 0
        && let Some(key) = console::next_key(*number)
    {
        keys.put(&[key]);
        keys.commit();
    }
    drop(keys);
    schedule::wake(*service);
}

fn serve() -> Reason {
    SESSION.lock().as_mut().map_or(Reason::Block { deadline: None }, Session::slice)
}

impl Session {
    fn slice(&mut self) -> Reason {
        self.catch_up();
        for _ in 0..PIECES {
            let rest = self.output.as_bytes().get(self.sent..).unwrap_or_default();
            if rest.is_empty() {
                break;
            }
            let line =
                rest.iter().position(|byte| *byte == b'\n').map_or(rest.len(), |end| end + 1);
            let piece = rest.get(..line.min(PIECE)).unwrap_or_default();
            if !console::say(piece) {
                return Reason::Block { deadline: Some(timer::now() + timer::frequency() / 200) };
            }
            self.sent += piece.len();
        }
        if self.sent < self.output.len() {
            return Reason::Yield;
        }
        self.output.clear();
        self.sent = 0;
        match &mut self.task {
            Some(task) => match task.step(&mut self.output) {
                Next::More => {}
                Next::Wait(until) if !(task.ends_by_key() && typed().is_some()) => {
                    return Reason::Block { deadline: Some(until) };
                }
                Next::Wait(_) | Next::Done => {
                    self.task = None;
                    self.prompt.done();
                }
            },
            None => match self.key() {
                Some(key) => self.take(key),
                None => return Reason::Block { deadline: None },
            },
        }
        Reason::Yield
    }

    /// Has what the editor shows follow what is there.
    fn catch_up(&mut self) {
        self.output.extend(self.prompt.take_shown().into_iter().map(char::from));
    }

    fn key(&mut self) -> Option<u8> {
        if let Some(script) = &mut self.script {
            if let Some(key) = script.next() {
                return Some(key);
            }
            self.script = None;
            one_less();
        }
        typed()
    }

    fn take(&mut self, key: u8) {
        let Some(line) = self.prompt.key(key) else { return };
        match Command::parse(&line, ask::find) {
            Ok(command) => self.task = Some(Task::new(command)),
            Err(wrong) => {
                self.catch_up();
                ask::error(&mut self.output, &wrong);
                self.prompt.done();
            }
        }
    }
}

/// The next key that a person has typed. What had no room here still waits on the console.
fn typed() -> Option<u8> {
    let (_, number) = SERVICE.get()?;
    let mut keys = WAITING.lock();
    keys.pop().or_else(|| console::next_key(*number))
}
