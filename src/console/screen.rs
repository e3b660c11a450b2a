//! The terminal's last row, and the bytes that change it.
//!
//! The row is either empty, or has the line of the VM in the foreground as far as that is written.
//! Whatever else is to be shown takes that line away first and puts it back after.
//!
//! In a raw view the whole screen is that VM's. What else is to be shown waits.

use arrayvec::ArrayVec;

use super::line::Line;
use super::ring::Ring;

/// What stands before the hypervisor's own lines.
pub const OWN: &[u8] = b"[mezzanine] ";
/// Back to the start of the row, and erase it.
const ERASE: &[u8] = b"\r\x1b[K";
/// Colours as they were.
const NO_STYLE: &[u8] = b"\x1b[m";

/// Bytes of others' lines that wait for the end of a raw view.
const HELD: usize = 4 << 10;
/// Puts right what a program may have left: ends a string (CAN, ST); soft reset (DECSTR); cursor
/// keys, origin, mouse, alternate screen and bracketed paste off, wrapping and cursor on; no insertion,
/// the usual keypad; ASCII as G0 and G1, and G0 in use; no colours; all rows scroll. Then the row
/// below the last.
pub const PUT_RIGHT: &[u8] = b"\x18\x1b\\\x1b[!p\x1b[?1;6;9;1000;1002;1003;1049;2004l\x1b[?7;25h\
    \x1b[4l\x1b>\x1b(B\x1b)B\x0f\x1b[m\x1b[r\x1b[999H\r\n";

/// What the terminal's last row has in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Row {
    /// Nothing.
    Clear,
    /// The line of the VM in the foreground, up to its last byte.
    Live,
    /// That line as it was once: there was no room for what came then.
    Stale,
    /// Whatever the VM in the foreground has put there: the raw view.
    Raw,
    /// The same. The raw view is over when the bytes before are out.
    Over,
}

/// The terminal, and what is on its way there.
pub struct Screen<const N: usize> {
    /// Bytes on their way.
    pub out: Ring<N>,
    row: Row,
    /// The row has colours.
    styled: bool,
    /// Lines for which there was no room, and nobody has been told of yet.
    lost: usize,
    /// Others' lines that came in the raw view.
    held: ArrayVec<u8, HELD>,
    /// How many bytes of the raw view there was no room for.
    missed: usize,
}

impl<const N: usize> Screen<N> {
    /// An empty row.
    pub const EMPTY: Self = Self {
        out: Ring::EMPTY,
        row: Row::Clear,
        styled: false,
        lost: 0,
        held: ArrayVec::new_const(),
        missed: 0,
    };

    /// `line` was shown and still is if `byte` is added.
    pub fn echo(&mut self, line: &Line, byte: u8) {
        if self.row != Row::Live {
            return self.show(Some(line));
        }
        self.out.put(&[byte]);
        if !self.out.commit() {
            self.row = Row::Stale;
        }
    }

    /// Shows `partial` as it is in the place of what is in the row, or nothing.
    pub fn show(&mut self, partial: Option<&Line>) {
        if self.is_held() {
            return;
        }
        self.erase();
        if !self.commit(partial) && self.row == Row::Live {
            self.row = Row::Stale;
        }
    }

    /// Passes on `line`'s sequence.
    pub fn pass(&mut self, line: &Line) {
        if self.row != Row::Live {
            self.show(Some(line));
        }
        if self.row == Row::Live {
            self.out.put(line.sequence());
            self.styled |= self.out.commit();
        }
    }

    /// The line that is in the row, up to its last byte, is complete.
    pub fn end(&mut self) {
        self.plain();
        self.out.put(b"\r\n");
        if !self.commit(None) {
            self.row = Row::Stale;
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Shows a whole line, `head` and the parts of `text`, and then `partial`.
    pub fn line(&mut self, head: &[u8], text: &[&[u8]], partial: Option<&Line>) {
        if self.is_held() {
            return self.hold(head, text);
        }
        self.erase();
        self.put_lost();
        self.out.put(head);
        text.iter().for_each(|part| self.out.put(part));
        self.out.put(b"\r\n");
        self.lost = if self.commit(partial) { 0 } else { self.lost.saturating_add(1) };
    }

    /// Whether there may be something to catch up with.
    pub fn is_behind(&self) -> bool {
        self.row != Row::Live || self.lost > 0
    }

    /// There is room again: says how many lines were lost, if any, and shows `partial`, if it
    /// isn't shown.
    pub fn catch_up(&mut self, partial: Option<&Line>) {
        match self.row {
            Row::Raw => return,
            Row::Over => self.put_right(),
            _ => {}
        }
        if self.lost > 0 {
            self.erase();
            self.put_lost();
            if self.commit(None) {
                self.lost = 0;
            }
        }
        if partial.is_some() && self.row != Row::Live {
            self.show(partial);
        }
    }

    /// The screen is `line`'s VM's.
    pub fn begin_raw(&mut self, line: &Line) {
        const END: &[u8] = b" has the terminal, until Ctrl-] r";
        self.line(OWN, &[b"INFO: console: ", line.name(), END], None);
        self.row = Row::Raw;
    }

    /// A byte of the raw view.
    pub fn raw(&mut self, byte: u8) {
        self.out.put(&[byte]);
        if !self.out.commit() {
            self.missed = self.missed.saturating_add(1);
        }
    }

    /// Ends the raw view, if there is one, when all of it is out; says whether there was.
    pub fn end_raw(&mut self) -> bool {
        let raw = self.row == Row::Raw;
        if raw {
            self.row = Row::Over;
            if self.out.is_empty() {
                self.put_right();
            }
        }
        raw
    }

    /// The raw view is over, and there is room: puts the terminal right, and shows what waited.
    fn put_right(&mut self) {
        let missed = core::mem::take(&mut self.missed);
        self.out.put(PUT_RIGHT);
        self.out.put(OWN);
        self.out.put(b"INFO: console: end of the raw view; ");
        self.put_number(missed);
        self.out.put(b" bytes of it lost\r\n");
        self.commit(None);
        for byte in &self.held {
            self.out.put(&[*byte]);
            if *byte == b'\n' {
                self.lost = self.lost.saturating_add(usize::from(!self.out.commit()));
            }
        }
        self.held.clear();
    }

    /// Keeps a line for later, if there is room.
    fn hold(&mut self, head: &[u8], text: &[&[u8]]) {
        let before = self.held.len();
        let mut parts = [head].into_iter().chain(text.iter().copied()).chain([&b"\r\n"[..]]);
        if parts.any(|part| self.held.try_extend_from_slice(part).is_err()) {
            self.held.truncate(before);
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Whether lines wait for the end of a raw view.
    fn is_held(&self) -> bool {
        matches!(self.row, Row::Raw | Row::Over)
    }

    /// Whether `bytes` can go out now, and are neither held nor lost.
    pub fn has_room(&self, bytes: usize) -> bool {
        !self.is_held() && self.out.room() >= bytes
    }

    /// Whether the row has a line in it, up to its last byte.
    pub fn is_live(&self) -> bool {
        self.row == Row::Live
    }

    fn put_lost(&mut self) {
        if self.lost > 0 {
            self.out.put(OWN);
            self.out.put(b"WARN: console: ");
            self.put_number(self.lost);
            self.out.put(b" lines lost\r\n");
        }
    }

    fn put_number(&mut self, number: usize) {
        if number > 9 {
            self.put_number(number / 10);
        }
        self.out.put(&[b'0' + (number % 10) as u8]);
    }

    fn plain(&mut self) {
        if self.styled {
            self.out.put(NO_STYLE);
        }
    }

    fn erase(&mut self) {
        self.plain();
        if self.row != Row::Clear {
            self.out.put(ERASE);
        }
    }

    /// Ends what was put, with what is shown of a line behind it. If it fits, the row has that now,
    /// or nothing, and no colours.
    fn commit(&mut self, partial: Option<&Line>) -> bool {
        if let Some(line) = partial {
            self.out.put(line.prefix());
            self.out.put(line.text());
            for _ in 0..line.back() {
                self.out.put(b"\x08");
            }
        }
        let fits = self.out.commit();
        if fits {
            let row = if partial.is_some() { Row::Live } else { Row::Clear };
            (self.row, self.styled) = (row, false);
        }
        fits
    }
}
