//! The console: one terminal for all VMs and the hypervisor.
//!
//! Every line stands alone behind the name of who wrote it, `[alpha] text`, and is never torn: a
//! VM's bytes gather in its line, and only whole lines go out. The VM in the
//! foreground has the keyboard, and what it wrote is shown at once, line end or not, so that its
//! prompt can be answered; when a line of somebody else's comes, the prompt steps aside for it. In
//! batch there is no terminal, so nobody waits at a prompt and only whole lines are shown.
//!
//! In the *raw view* the VM in the foreground has the terminal for itself, for programs that fill a
//! screen: its bytes are passed on as they are, and everybody else's lines wait, or are lost, until
//! it ends.
//!
//! The operator's monitor is one more party with a line of its own, and has the keyboard when it is in
//! the foreground. What it says is never lost: it waits for room.
//!
//! What goes out waits in a bounded [`Ring`] until the UART takes it. When that is full,
//! whole lines are lost, counted, and told of.

mod line;
mod record;
mod ring;
mod screen;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::ops::Range;

use line::{Line, Step};
pub use record::Record;
pub use ring::Ring;
pub use screen::OWN;
use screen::Screen;

/// The key that starts a command to the console: Ctrl-].
pub const COMMAND: u8 = 0x1d;

/// The keys behind it.
const HELP: &[u8] = b"INFO: console: Ctrl-] and: a digit moves the keyboard, m moves it to the \
    monitor, p pauses or resumes its VM, s starts it when it is off, r begins or ends its raw view, \
    ? lists keys and VMs, Ctrl-] sends one";

/// What stands before the monitor's lines. No VM may have this name.
const MONITOR: &str = "monitor";
/// Room for a line of the monitor's and what it brings along: the row is taken away and put back.
const LINE_ROOM: usize = 2 << 10;

/// What became of a byte from the keyboard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// It began a command, was one or none, or no VM is there to get it.
    None,
    /// It is for the VM of this number.
    ToVm(usize, u8),
    /// The keyboard is perhaps another VM's now.
    Switched,
    /// The VM of this number is to do something.
    Order(usize, Order),
}

/// What the operator's keys ask of a VM.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Order {
    /// To stand still, or to go on.
    PauseOrResume,
    /// To start, if it hasn't been started or is off.
    Start,
}

/// The VMs' lines.
struct Lines {
    /// By VM number; refused VMs have none. The monitor's is behind them.
    all: Vec<Option<Line>>,
    foreground: usize,
    /// The monitor's number.
    monitor: Option<usize>,
    batch: bool,
}

impl Lines {
    fn get(&self, vm: usize) -> Option<&Line> {
        self.all.get(vm)?.as_ref()
    }

    fn get_mut(&mut self, vm: usize) -> Option<&mut Line> {
        self.all.get_mut(vm)?.as_mut()
    }

    /// What the VM in the foreground has written of a line, if that is to be shown.
    fn partial(&self) -> Option<&Line> {
        self.get(self.foreground).filter(|line| !self.batch && !line.text().is_empty())
    }
}

/// The multiplexer, with at most `N` bytes on their way to the terminal.
pub struct Mux<const N: usize> {
    screen: Screen<N>,
    lines: Lines,
    /// The last key was Ctrl-].
    command: bool,
}

impl<const N: usize> Mux<N> {
    /// No VM yet, and a terminal.
    pub const EMPTY: Self = Self {
        screen: Screen::EMPTY,
        lines: Lines { all: Vec::new(), foreground: 0, monitor: None, batch: false },
        command: false,
    };

    /// Nobody looks on: whole lines only.
    pub fn set_batch(&mut self, batch: bool) {
        self.lines.batch = batch;
    }

    /// VM `vm` is called `name`. The first VM has the keyboard.
    pub fn add_vm(&mut self, vm: usize, name: &str) {
        let all = &mut self.lines.all;
        if vm >= all.len() {
            all.resize_with(vm + 1, || None);
        }
        if all.iter().all(Option::is_none) {
            self.lines.foreground = vm;
        }
        if let Some(line) = all.get_mut(vm) {
            *line = Some(Line::new(name));
        }
    }

    /// All VMs are there: adds the monitor, and returns the number by which keys and
    /// [`say`](Self::say) go to it.
    pub fn add_monitor(&mut self) -> usize {
        let number = self.lines.all.len();
        self.add_vm(number, MONITOR);
        self.lines.monitor = Some(number);
        number
    }

    /// What the monitor says next: at most a line, or a part of one. False, with nothing done, while
    /// there is no room for it.
    pub fn say(&mut self, text: &[u8]) -> bool {
        let Some(monitor) = self.lines.monitor.filter(|_| self.screen.has_room(LINE_ROOM)) else {
            return false;
        };
        text.iter().for_each(|byte| self.byte(monitor, *byte));
        true
    }

    /// The numbers that VMs and the monitor may have.
    pub fn vms(&self) -> Range<usize> {
        0..self.lines.all.len()
    }

    /// A byte that a VM sent. In the middle of a line it costs some ten instructions.
    #[inline(always)]
    pub fn byte(&mut self, vm: usize, byte: u8) {
        let live = vm == self.lines.foreground && !self.lines.batch;
        let Some(line) = self.lines.get_mut(vm) else { return };
        match line.take(byte, live) {
            Step::End => self.end_line(vm),
            Step::EndBefore => {
                self.end_line(vm);
                // The line is empty now, so this ends here.
                self.byte(vm, byte);
            }
            Step::Echo(byte) if live => self.screen.echo(line, byte),
            Step::Redraw if live => self.screen.show(Some(line)),
            Step::Pass if live => self.screen.pass(line),
            Step::Raw => self.screen.raw(byte),
            _ => {}
        }
    }

    #[cold]
    fn end_line(&mut self, vm: usize) {
        let is_foreground = vm == self.lines.foreground;
        if let Some(line) = self.lines.get_mut(vm) {
            line.complete();
        }
        if is_foreground && self.screen.is_live() {
            self.screen.end();
        } else if let Some(line) = self.lines.get(vm) {
            let partial = self.lines.partial().filter(|_| !is_foreground);
            self.screen.line(line.prefix(), &[line.text()], partial);
        }
        if let Some(line) = self.lines.get_mut(vm) {
            line.clear();
        }
    }

    /// The VM is off, or starts anew: what it left without a line end is shown.
    pub fn flush(&mut self, vm: usize) {
        let shown = vm == self.lines.foreground && self.screen.is_live();
        // The monitor has a prompt in its line, always.
        let is_vm = self.lines.monitor != Some(vm);
        if self.lines.get(vm).is_some_and(|line| shown || is_vm && !line.text().is_empty()) {
            self.end_line(vm);
        }
        if vm == self.lines.foreground {
            self.end_raw();
        }
        if let Some(line) = self.lines.get_mut(vm) {
            line.reset();
        }
    }

    /// A line of the hypervisor's own, in parts.
    pub fn own_line(&mut self, text: &[&[u8]]) {
        self.screen.line(OWN, text, self.lines.partial());
    }

    /// A byte from the keyboard.
    pub fn input(&mut self, byte: u8) -> Input {
        let command = core::mem::replace(&mut self.command, false);
        let vm = self.lines.foreground;
        match byte {
            COMMAND if !command => self.command = true,
            _ if command && byte != COMMAND => return self.command(vm, byte),
            _ if self.lines.get(vm).is_none() => {}
            _ => return Input::ToVm(vm, byte),
        }
        Input::None
    }

    /// The key behind Ctrl-], with the keyboard at `vm`. Any of them ends the raw view.
    fn command(&mut self, vm: usize, key: u8) -> Input {
        let was_raw = self.end_raw();
        let is_vm = self.lines.monitor != Some(vm) && self.lines.get(vm).is_some();
        let monitor = self.lines.monitor;
        match (key, monitor) {
            (b'0'..=b'9', _) => return self.switch(usize::from(key & 0xf), key),
            (b'm', Some(monitor)) => return self.switch(monitor, key),
            (b'p', _) if is_vm => return Input::Order(vm, Order::PauseOrResume),
            (b's', _) if is_vm => return Input::Order(vm, Order::Start),
            // In batch there is no terminal to give away.
            (b'r', _) if is_vm && !was_raw && !self.lines.batch => self.begin_raw(vm),
            (b'?', _) => {
                self.own_line(&[HELP]);
                let vms = (0..10).filter(|vm| Some(*vm) != monitor);
                vms.chain(monitor).for_each(|party| self.list(party));
            }
            _ => {}
        }
        Input::None
    }

    /// Gives the terminal to `vm`.
    fn begin_raw(&mut self, vm: usize) {
        self.flush(vm);
        if let Some(line) = self.lines.get_mut(vm) {
            self.screen.begin_raw(line);
            line.begin_raw();
        }
    }

    /// Ends the raw view, if there is one; says whether there was.
    fn end_raw(&mut self) -> bool {
        let raw = self.screen.end_raw();
        if raw && let Some(line) = self.lines.get_mut(self.lines.foreground) {
            line.reset();
        }
        raw
    }

    /// Moves the keyboard to `party`, for which `key` was pressed.
    fn switch(&mut self, party: usize, key: u8) -> Input {
        let is_meant = key == b'm' || self.lines.monitor != Some(party);
        if self.lines.get(party).is_none() || !is_meant {
            self.own_line(&[b"WARN: console: no VM ", &[key]]);
            return Input::None;
        }
        if party != self.lines.foreground {
            // The other's prompt goes, and is back when that VM is.
            self.screen.show(None);
            self.lines.foreground = party;
        }
        self.list(party);
        Input::Switched
    }

    /// Says which VM has number `party`, 0 to 9, if one has, or that it is the monitor.
    fn list(&mut self, party: usize) {
        let Some(line) = self.lines.get(party) else { return };
        let is_foreground = party == self.lines.foreground;
        let keyboard: &[u8] = if is_foreground { b" has the keyboard" } else { b"" };
        let digit = [b'0'.wrapping_add(party as u8)];
        let parts: [&[u8]; 3] = match self.lines.monitor == Some(party) {
            true => [b"the ", b"", b""],
            false => [b"VM ", &digit, b" "],
        };
        let text = [b"INFO: console: ", parts[0], parts[1], parts[2], line.name(), keyboard];
        self.screen.line(OWN, &text, self.lines.partial());
    }

    /// Whether nothing is on its way to the terminal.
    pub fn is_quiet(&self) -> bool {
        self.screen.out.is_empty()
    }

    /// The next byte for the terminal, which stays the next until it is [taken](Self::pop).
    #[inline]
    pub fn peek(&mut self) -> Option<u8> {
        if self.screen.out.is_empty() && self.screen.is_behind() {
            self.screen.catch_up(self.lines.partial());
        }
        self.screen.out.peek()
    }

    /// Takes the byte that [`peek`](Self::peek) has shown.
    pub fn pop(&mut self) {
        self.screen.out.pop();
    }

    /// Whoever was at work on it is not coming back: forgets what is half done.
    pub fn recover(&mut self) {
        self.screen.out.roll_back();
    }
}
