//! A VM's current line: what a terminal of its own would show in the row where its cursor is.
//!
//! The VM's bytes are not passed on: they change this model of one row, and the row is shown. So
//! whatever a VM sends, it can't leave its row, nor its place behind its prefix. What an editor of
//! one line sends (shells, bootloaders) is understood, as ECMA-48 and the VT102 have it.

use arrayvec::ArrayVec;

/// Bytes that a line has at most. A longer one goes on in another.
pub const MAX: usize = 256;
/// Bytes of a VM's name that are shown.
const NAME: usize = 31;
/// Parameter bytes of a control sequence that are kept; longer sequences do nothing.
const PARAMETERS: usize = 16;
/// Columns from one tab stop to the next.
const TAB: usize = 8;

/// What a byte came to.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Step {
    /// Nothing to see.
    Nothing,
    /// A terminal that shows the row, and gets this byte, shows the row as it is now.
    Echo(u8),
    /// The row has to be shown anew.
    Redraw,
    /// The sequence in [`Line::sequence`] concerns the terminal, not the row: a colour, a question.
    Pass,
    /// The line is complete.
    End,
    /// The line is complete, and the byte, to be offered again, belongs to the next.
    EndBefore,
    /// There are no lines: the byte is the terminal's, whatever it does there.
    Raw,
}

/// Where in a sequence of bytes we are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mode {
    Plain,
    /// Behind a carriage return: what follows decides whether it was a line's end.
    Returned,
    /// Behind ESC.
    Escape,
    /// Behind ESC and an intermediate byte: a final byte ends it.
    Intermediate,
    /// In a control sequence: ESC `[` parameters final.
    Control,
    /// In a string for the terminal (title, palette, …), which is of no concern here.
    Text,
    /// Whatever comes is the terminal's.
    Raw,
}

/// A VM's line.
pub struct Line {
    prefix: ArrayVec<u8, { NAME + 3 }>,
    text: ArrayVec<u8, MAX>,
    /// The cursor: an index into the text, at most its length. Every byte counts as a column.
    at: usize,
    mode: Mode,
    sequence: ArrayVec<u8, { PARAMETERS + 3 }>,
}

impl Line {
    /// The empty line of the VM called `name`.
    pub fn new(name: &str) -> Self {
        let bytes = name.bytes().take(NAME).map(|byte| match byte {
            b'!'..=b'~' if byte != b']' => byte,
            _ => b'?',
        });
        let (mut prefix, text, sequence) = (ArrayVec::new(), ArrayVec::new(), ArrayVec::new());
        for byte in [b'['].into_iter().chain(bytes).chain(*b"] ") {
            let _ = prefix.try_push(byte);
        }
        Self { prefix, text, at: 0, mode: Mode::Plain, sequence }
    }

    /// What stands before each of the VM's lines: its name in brackets, and a blank.
    pub fn prefix(&self) -> &[u8] {
        &self.prefix
    }

    /// The VM's name, as it is shown.
    pub fn name(&self) -> &[u8] {
        self.prefix.get(1..self.prefix.len().saturating_sub(2)).unwrap_or_default()
    }

    /// The row's text.
    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// How far left of the text's end the cursor is.
    pub fn back(&self) -> usize {
        self.text.len().saturating_sub(self.at)
    }

    /// What [`Step::Pass`] passes.
    pub fn sequence(&self) -> &[u8] {
        &self.sequence
    }

    /// The line is complete: takes the blanks away by which an editor has wiped out what stood to
    /// the right of the cursor.
    pub fn complete(&mut self) {
        let (kept, wiped) = self.text.split_at_checked(self.at).unwrap_or_default();
        self.text.truncate(kept.len() + wiped.trim_ascii_end().len());
    }

    /// Starts the next line.
    pub fn clear(&mut self) {
        self.text.clear();
        self.at = 0;
    }

    /// Starts the next line, of a VM that has started anew.
    pub fn reset(&mut self) {
        self.clear();
        self.mode = Mode::Plain;
    }

    /// From here to the next reset bytes are not looked at.
    pub fn begin_raw(&mut self) {
        self.mode = Mode::Raw;
    }

    /// Takes a byte. A carriage return without a line feed leads a line that is shown, as `live`
    /// says, back to its start; of one that isn't it is the end, so that a log has all of it.
    #[inline]
    pub fn take(&mut self, byte: u8, live: bool) -> Step {
        if self.mode == Mode::Plain && matches!(byte, b' '..=b'~') && self.at < MAX {
            return self.write(byte);
        }
        self.take_other(byte, live)
    }

    fn take_other(&mut self, byte: u8, live: bool) -> Step {
        match (self.mode, byte) {
            (Mode::Plain, _) => return self.control(byte),
            (Mode::Returned, _) => return self.returned(byte, live),
            (Mode::Raw, _) => return Step::Raw,
            // A control character ends what it stands in, and is taken for itself.
            (Mode::Text, 0x07) => self.mode = Mode::Plain,
            (_, ..0x20) => {
                self.mode = Mode::Plain;
                return self.control(byte);
            }
            (Mode::Text, _) | (Mode::Intermediate, ..0x30) => {}
            (Mode::Escape, b'[') => {
                self.mode = Mode::Control;
                self.sequence = b"\x1b[".iter().copied().collect();
            }
            (Mode::Escape, b']' | b'P' | b'X' | b'^' | b'_') => self.mode = Mode::Text,
            (Mode::Escape, ..0x30) => self.mode = Mode::Intermediate,
            (Mode::Control, 0x20..0x40) => drop(self.sequence.try_push(byte)),
            (Mode::Control, 0x40..0x7f) => {
                self.mode = Mode::Plain;
                if self.sequence.try_push(byte).is_ok() {
                    return self.control_sequence(byte);
                }
            }
            (Mode::Escape | Mode::Intermediate | Mode::Control, _) => self.mode = Mode::Plain,
        }
        Step::Nothing
    }

    fn returned(&mut self, byte: u8, live: bool) -> Step {
        if byte == b'\r' {
            return Step::Nothing;
        }
        self.mode = Mode::Plain;
        if byte == b'\n' {
            return Step::End;
        }
        if !live && !self.text.is_empty() {
            return Step::EndBefore;
        }
        self.at = 0;
        match self.take(byte, live) {
            Step::End => Step::End,
            // The cursor has moved, whatever else.
            _ => Step::Redraw,
        }
    }

    /// A byte that isn't part of a sequence, or a letter beyond ASCII.
    fn control(&mut self, byte: u8) -> Step {
        match byte {
            b'\n' => Step::End,
            b'\r' => self.enter(Mode::Returned),
            0x1b => self.enter(Mode::Escape),
            0x07 => Step::Echo(byte),
            0x08 if self.at > 0 => {
                self.at = self.at.saturating_sub(1);
                Step::Echo(byte)
            }
            b'\t' | b' '..=b'~' | 0x80.. if self.at >= MAX => Step::EndBefore,
            b'\t' => self.forward(TAB - self.at % TAB),
            b' '..=b'~' => self.write(byte),
            0x80.. => {
                let before = self.at.checked_sub(1).and_then(|at| self.text.get(at));
                let after = self.text.get(self.at + 1);
                let paired = before.is_some_and(|before| is_c1(*before, byte))
                    || after.is_some_and(|after| is_c1(byte, *after));
                self.write(if paired { b'?' } else { byte })
            }
            _ => Step::Nothing,
        }
    }

    fn enter(&mut self, mode: Mode) -> Step {
        self.mode = mode;
        Step::Nothing
    }

    /// Writes at the cursor, which is not at [`MAX`].
    #[inline]
    fn write(&mut self, byte: u8) -> Step {
        match self.text.get_mut(self.at) {
            Some(slot) => *slot = byte,
            None => drop(self.text.try_push(byte)),
        }
        self.at += 1;
        Step::Echo(byte)
    }

    /// Moves the cursor right, over what is there or over blanks.
    fn forward(&mut self, columns: usize) -> Step {
        self.at = self.at.saturating_add(columns).min(MAX);
        self.pad(self.at);
        Step::Redraw
    }

    /// Adds blanks until the text is as long as said, as far as there is room.
    fn pad(&mut self, length: usize) {
        while self.text.len() < length && self.text.try_push(b' ').is_ok() {}
    }

    /// A control sequence is complete (ECMA-48, 8.3).
    fn control_sequence(&mut self, last: u8) -> Step {
        let parameters = self.sequence.get(2..self.sequence.len().saturating_sub(1));
        let parameters = parameters.unwrap_or_default();
        let plain = parameters.iter().all(|byte| matches!(byte, b'0'..=b';'));
        let digits = parameters.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0usize, |number, digit| {
            number.saturating_mul(10).saturating_add(usize::from(digit & 0xf))
        });
        let count = number.max(1);
        match last {
            _ if !plain => return Step::Nothing,
            // SGR, and DSR's question for the cursor's place.
            b'm' => return Step::Pass,
            b'n' if number == 6 => return Step::Pass,
            // CUB, CUF
            b'D' => self.at = self.at.saturating_sub(count),
            b'C' => return self.forward(count),
            // EL, ED: of what is below and above this row nothing is ours.
            b'K' | b'J' if number == 0 => self.text.truncate(self.at),
            b'K' | b'J' if number == 2 => self.clear(),
            b'P' => self.delete(count),
            b'@' => self.insert(count),
            _ => return Step::Nothing,
        }
        Step::Redraw
    }

    /// DCH: what is right of the cursor moves left.
    fn delete(&mut self, count: usize) {
        let count = count.min(self.back());
        if let Some(rest) = self.text.get_mut(self.at..) {
            rest.rotate_left(count.min(rest.len()));
        }
        self.text.truncate(self.text.len().saturating_sub(count));
        // What meets at the cursor now.
        let before = self.at.checked_sub(1).and_then(|at| self.text.get(at).copied());
        if let (Some(before), Some(after)) = (before, self.text.get_mut(self.at))
            && is_c1(before, *after)
        {
            *after = b'?';
        }
    }

    /// ICH: what is right of the cursor moves right; what leaves the row is lost.
    fn insert(&mut self, count: usize) {
        let count = count.min(MAX.saturating_sub(self.at));
        self.pad(self.text.len() + count);
        if let Some(rest) = self.text.get_mut(self.at..) {
            rest.rotate_right(count.min(rest.len()));
            rest.iter_mut().take(count).for_each(|byte| *byte = b' ');
        }
    }
}

/// Whether two bytes are, in UTF-8, a control character of the set C1. A terminal may do what it
/// says, so no such pair gets into a line.
fn is_c1(first: u8, second: u8) -> bool {
    first == 0xc2 && matches!(second, 0x80..0xa0)
}
