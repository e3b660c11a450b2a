//! The console: one terminal for all VMs and the hypervisor.
//!
//! Every line stands alone behind the name of who wrote it, `[alpha] text`, and is never torn: a
//! VM's bytes gather in its line, and only whole lines go out. The VM in the
//! foreground has the keyboard, and what it wrote is shown at once, line end or not, so that its
//! prompt can be answered; when a line of somebody else's comes, the prompt steps aside for it. In
//! batch there is no terminal, so nobody waits at a prompt and only whole lines are shown.
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

/// What became of a byte from the keyboard.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Input {
    /// Nothing: it began a command, was none, or no VM is there to get it.
    None,
    /// It is for the VM of this number.
    ToVm(usize, u8),
    /// The keyboard is this VM's now.
    Switched(usize),
    /// The VMs were listed.
    List,
    /// There is no VM of this number.
    NoSuchVm(usize),
}

/// The multiplexer, with at most `N` bytes on their way to the terminal.
pub struct Mux<const N: usize> {
    screen: Screen<N>,
    /// By VM number; refused VMs have none.
    lines: Vec<Option<Line>>,
    foreground: usize,
    batch: bool,
    /// The last key was Ctrl-].
    command: bool,
}

impl<const N: usize> Mux<N> {
    /// No VM yet, and a terminal.
    pub const fn new() -> Self {
        Self {
            screen: Screen::new(),
            lines: Vec::new(),
            foreground: 0,
            batch: false,
            command: false,
        }
    }

    /// Nobody looks on: whole lines only.
    pub fn set_batch(&mut self, batch: bool) {
        self.batch = batch;
    }

    /// VM `vm` is called `name`. The first VM has the keyboard.
    pub fn add_vm(&mut self, vm: usize, name: &str) {
        if vm >= self.lines.len() {
            self.lines.resize_with(vm + 1, || None);
        }
        if self.lines.iter().all(Option::is_none) {
            self.foreground = vm;
        }
        if let Some(line) = self.lines.get_mut(vm) {
            *line = Some(Line::new(name));
        }
    }

    /// The VM that has the keyboard.
    pub fn foreground(&self) -> usize {
        self.foreground
    }

    /// The numbers that VMs may have.
    pub fn vms(&self) -> Range<usize> {
        0..self.lines.len()
    }

    /// A byte that a VM sent. In the middle of a line it costs some ten instructions.
    #[inline]
    pub fn byte(&mut self, vm: usize, byte: u8) {
        let live = vm == self.foreground && !self.batch;
        let Some(line) = line_mut(&mut self.lines, vm) else {
            return;
        };
        match line.take(byte, live) {
            Step::End => self.end_line(vm),
            Step::EndBefore => {
                self.end_line(vm);
                // The line is empty now, so this ends here.
                self.byte(vm, byte);
            }
            Step::Echo(byte) if live => self.screen.echo(line, byte),
            Step::Redraw if live => self.screen.show(line),
            Step::Pass if live => self.screen.pass(line),
            _ => {}
        }
    }

    #[cold]
    fn end_line(&mut self, vm: usize) {
        let Some(line) = line_mut(&mut self.lines, vm) else {
            return;
        };
        if vm == self.foreground {
            self.screen.end(line);
        } else {
            line.complete();
            let partial = partial(&self.lines, self.foreground, self.batch);
            if let Some(line) = line_of(&self.lines, vm) {
                self.screen.line(line.prefix(), &[line.text()], partial);
            }
        }
        if let Some(line) = line_mut(&mut self.lines, vm) {
            line.clear();
        }
    }

    /// The VM is off, or starts anew: what it left without a line end is shown.
    pub fn flush(&mut self, vm: usize) {
        let shown = vm == self.foreground && self.screen.is_live();
        if line_of(&self.lines, vm).is_some_and(|line| shown || !line.text().is_empty()) {
            self.end_line(vm);
        }
        if let Some(line) = line_mut(&mut self.lines, vm) {
            line.reset();
        }
    }

    /// A line of the hypervisor's own.
    pub fn own_line(&mut self, text: &[u8]) {
        self.say(&[text]);
    }

    fn say(&mut self, text: &[&[u8]]) {
        let partial = partial(&self.lines, self.foreground, self.batch);
        self.screen.line(OWN, text, partial);
    }

    /// A byte from the keyboard.
    pub fn input(&mut self, byte: u8) -> Input {
        let command = core::mem::replace(&mut self.command, false);
        match byte {
            COMMAND if !command => {
                self.command = true;
                Input::None
            }
            b'0'..=b'9' if command => self.switch(byte),
            b'?' if command => {
                self.list();
                Input::List
            }
            _ if command && byte != COMMAND => Input::None,
            _ if line_of(&self.lines, self.foreground).is_none() => Input::None,
            _ => Input::ToVm(self.foreground, byte),
        }
    }

    fn switch(&mut self, digit: u8) -> Input {
        let vm = usize::from(digit & 0xf);
        if line_of(&self.lines, vm).is_none() {
            self.say(&[b"WARN: console: no VM ", &[digit]]);
            return Input::NoSuchVm(vm);
        }
        if vm != self.foreground {
            // The other's prompt goes, and is back when that VM is.
            self.screen.hide();
            self.foreground = vm;
        }
        self.list_one(vm);
        Input::Switched(vm)
    }

    fn list(&mut self) {
        (0..self.lines.len().min(10)).for_each(|vm| self.list_one(vm));
    }

    fn list_one(&mut self, vm: usize) {
        let Some(line) = line_of(&self.lines, vm) else {
            return;
        };
        let keyboard: &[u8] = if vm == self.foreground { b" has the keyboard" } else { b"" };
        let partial = partial(&self.lines, self.foreground, self.batch);
        let digit = [b'0'.wrapping_add(vm as u8)];
        let text: [&[u8]; 5] = [b"INFO: console: VM ", &digit, b" ", line.name(), keyboard];
        self.screen.line(OWN, &text, partial);
    }

    /// Whether nothing is on its way to the terminal.
    #[inline]
    pub fn is_quiet(&self) -> bool {
        self.screen.out.is_empty()
    }

    /// The next byte for the terminal, which stays the next until it is [taken](Self::pop).
    pub fn peek(&mut self) -> Option<u8> {
        if self.screen.out.is_empty() {
            self.screen.catch_up(partial(&self.lines, self.foreground, self.batch));
        }
        self.screen.out.peek()
    }

    /// Takes the byte that [`peek`](Self::peek) has shown.
    #[inline]
    pub fn pop(&mut self) {
        self.screen.out.pop();
    }

    /// Whoever was at work on it is not coming back: forgets what is half done.
    pub fn recover(&mut self) {
        self.screen.out.roll_back();
    }
}

impl<const N: usize> Default for Mux<N> {
    fn default() -> Self {
        Self::new()
    }
}

fn line_of(lines: &[Option<Line>], vm: usize) -> Option<&Line> {
    lines.get(vm)?.as_ref()
}

#[inline]
fn line_mut(lines: &mut [Option<Line>], vm: usize) -> Option<&mut Line> {
    lines.get_mut(vm)?.as_mut()
}

/// What the VM in the foreground has written of a line, if that is to be shown.
fn partial(lines: &[Option<Line>], foreground: usize, batch: bool) -> Option<&Line> {
    line_of(lines, foreground).filter(|line| !batch && !line.text().is_empty())
}
