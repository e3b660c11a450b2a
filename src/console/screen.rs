//! The terminal's last row, and the bytes that change it.
//!
//! The row is either empty, or has the line of the VM in the foreground as far as that is written.
//! Whatever else is to be shown takes that line away first and puts it back after.

use super::line::Line;
use super::ring::Ring;

/// What stands before the hypervisor's own lines.
pub const OWN: &[u8] = b"[mezzanine] ";
/// Back to the start of the row, and erase it.
const ERASE: &[u8] = b"\r\x1b[K";
/// Colours as they were.
const NO_STYLE: &[u8] = b"\x1b[m";

/// What the terminal's last row has in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Row {
    /// Nothing.
    Clear,
    /// The line of the VM in the foreground, up to its last byte.
    Live,
    /// That line as it was once: there was no room for what came then.
    Stale,
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
}

impl<const N: usize> Screen<N> {
    /// An empty row.
    pub const EMPTY: Self = Self { out: Ring::EMPTY, row: Row::Clear, styled: false, lost: 0 };

    /// `line` was shown and still is if `byte` is added.
    pub fn echo(&mut self, line: &Line, byte: u8) {
        if self.row != Row::Live {
            return self.show(line);
        }
        self.out.put(&[byte]);
        if !self.out.commit() {
            self.row = Row::Stale;
        }
    }

    /// Shows `line` as it is.
    pub fn show(&mut self, line: &Line) {
        self.erase();
        self.put_partial(line);
        if !self.commit(Row::Live) && self.row == Row::Live {
            self.row = Row::Stale;
        }
    }

    /// Passes on `line`'s sequence.
    pub fn pass(&mut self, line: &Line) {
        if self.row != Row::Live {
            self.show(line);
        }
        if self.row == Row::Live {
            self.out.put(line.sequence());
            self.styled |= self.out.commit();
        }
    }

    /// The line that is in the row is complete.
    pub fn end(&mut self, line: &mut Line) {
        if self.row != Row::Live {
            line.complete();
            return self.line(line.prefix(), &[line.text()], None);
        }
        self.plain();
        self.out.put(b"\r\n");
        if !self.commit(Row::Clear) {
            self.row = Row::Stale;
            self.lost = self.lost.saturating_add(1);
        }
    }

    /// Takes away what is in the row.
    pub fn hide(&mut self) {
        self.erase();
        if !self.commit(Row::Clear) {
            self.row = Row::Stale;
        }
    }

    /// Shows a whole line, `head` and the parts of `text`, and then `partial`.
    pub fn line(&mut self, head: &[u8], text: &[&[u8]], partial: Option<&Line>) {
        self.erase();
        self.put_lost();
        self.out.put(head);
        text.iter().for_each(|part| self.out.put(part));
        self.out.put(b"\r\n");
        if let Some(line) = partial {
            self.put_partial(line);
        }
        let row = if partial.is_some() { Row::Live } else { Row::Clear };
        self.lost = if self.commit(row) { 0 } else { self.lost.saturating_add(1) };
    }

    /// There is room again: says how many lines were lost, if any, and shows `partial`, if it
    /// isn't shown.
    pub fn catch_up(&mut self, partial: Option<&Line>) {
        if self.lost > 0 {
            self.erase();
            self.put_lost();
            if self.commit(Row::Clear) {
                self.lost = 0;
            }
        }
        if let Some(line) = partial
            && self.row != Row::Live
        {
            self.show(line);
        }
    }

    /// Whether the row has a line in it, up to its last byte.
    pub fn is_live(&self) -> bool {
        self.row == Row::Live
    }

    fn put_partial(&mut self, line: &Line) {
        self.out.put(line.prefix());
        self.out.put(line.text());
        for _ in 0..line.back() {
            self.out.put(b"\x08");
        }
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

    /// Ends what was put; if it fits, the row is `row` now, without colours.
    fn commit(&mut self, row: Row) -> bool {
        let fits = self.out.commit();
        if fits {
            (self.row, self.styled) = (row, false);
        }
        fits
    }
}
