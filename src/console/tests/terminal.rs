//! A terminal without a right edge, as far as the console uses one.

use std::string::String;
use std::vec::Vec;

/// The rows so far, the last being the one with the cursor.
pub struct Terminal {
    rows: Vec<Vec<u8>>,
    column: usize,
    /// Bytes of a control sequence so far, ESC included.
    sequence: Vec<u8>,
    /// Control sequences that were passed on, in order.
    pub passed: Vec<Vec<u8>>,
}

impl Terminal {
    pub fn new() -> Self {
        Self { rows: std::vec![Vec::new()], column: 0, sequence: Vec::new(), passed: Vec::new() }
    }

    pub fn take(&mut self, byte: u8) {
        let row = self.rows.last_mut().expect("a row");
        if !self.sequence.is_empty() {
            self.sequence.push(byte);
            if !matches!(byte, 0x40..0x7f) || self.sequence.len() == 2 {
                return;
            }
            match std::mem::take(&mut self.sequence) {
                erase if erase == b"\x1b[K" => row.truncate(self.column),
                other => self.passed.push(other),
            }
            return;
        }
        match byte {
            b'\r' => self.column = 0,
            b'\n' => self.rows.push(Vec::new()),
            0x07 => self.passed.push(std::vec![byte]),
            0x08 => self.column = self.column.saturating_sub(1),
            0x1b => self.sequence.push(byte),
            0x20..=0x7e | 0x80.. => {
                row.resize(row.len().max(self.column + 1), b' ');
                row[self.column] = byte;
                self.column += 1;
            }
            _ => panic!("{byte:#x} on the terminal"),
        }
    }

    /// All rows, the one with the cursor included.
    pub fn rows(&self) -> Vec<String> {
        let text = |row: &Vec<u8>| String::from_utf8_lossy(row).into_owned();
        self.rows.iter().map(text).collect()
    }

    /// The last row and the cursor's column.
    pub fn last(&self) -> (String, usize) {
        (self.rows().pop().expect("a row"), self.column)
    }
}
