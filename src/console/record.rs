//! The hypervisor's own records, cut into lines.

use core::fmt;

use arrayvec::ArrayVec;

use super::line::MAX;

/// Takes a record's text and gives it out in lines, each with the same head: at each line end, and
/// where a line gets too long.
pub struct Record<F: FnMut(&[u8])> {
    line: ArrayVec<u8, MAX>,
    /// Length of the head.
    head: usize,
    /// A line that has to be given out even if it is empty.
    open: bool,
    sink: F,
}

impl<F: FnMut(&[u8])> Record<F> {
    /// A record whose lines begin with `head` and a colon, and go to `sink`.
    pub fn new(head: &str, sink: F) -> Self {
        let mut this = Self { line: ArrayVec::new(), head: 0, open: true, sink };
        head.chars().chain(": ".chars()).for_each(|c| this.push(c));
        this.head = this.line.len();
        this
    }

    /// Gives out the last line.
    pub fn finish(mut self) {
        if self.open {
            self.flush();
        }
    }

    fn push(&mut self, c: char) {
        // Names and words of others are quoted in records, and may hold anything.
        let c = if c.is_control() { '?' } else { c };
        let mut bytes = [0; 4];
        let bytes = c.encode_utf8(&mut bytes).as_bytes();
        if self.line.try_extend_from_slice(bytes).is_err() {
            self.flush();
            let _ = self.line.try_extend_from_slice(bytes);
        }
        self.open = true;
    }

    fn flush(&mut self) {
        (self.sink)(&self.line);
        self.line.truncate(self.head);
        self.open = false;
    }
}

impl<F: FnMut(&[u8])> fmt::Write for Record<F> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for c in text.chars() {
            if c == '\n' {
                self.flush();
            } else {
                self.push(c);
            }
        }
        Ok(())
    }
}
