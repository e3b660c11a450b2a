//! A property and the forms that its value may have.

use core::fmt;

use super::c_string;

/// A property: its name and its bytes, which stay where they are in the blob.
#[derive(Clone, Copy)]
pub struct Property<'a> {
    /// The strings block from its name on: a walk passes by many names that nobody reads.
    name: &'a [u8],
    value: Value<'a>,
}

impl<'a> Property<'a> {
    pub(super) fn new(name: &'a [u8], value: &'a [u8]) -> Self {
        Self { name, value: Value(value) }
    }

    /// Its name.
    pub fn name(&self) -> &'a str {
        c_string(self.name).unwrap_or("")
    }

    /// Whether it is called `name`.
    pub fn is(&self, name: &str) -> bool {
        let rest = self.name.strip_prefix(name.as_bytes());
        rest.is_some_and(|rest| rest.first() == Some(&0))
    }

    /// Its value, which prints itself.
    pub fn value(&self) -> Value<'a> {
        self.value
    }

    /// Its bytes.
    pub fn bytes(&self) -> &'a [u8] {
        self.value.0
    }

    /// A value of exactly one cell.
    pub fn u32(&self) -> Option<u32> {
        self.bytes().try_into().ok().map(u32::from_be_bytes)
    }

    /// A value of exactly two cells.
    pub fn u64(&self) -> Option<u64> {
        self.bytes().try_into().ok().map(u64::from_be_bytes)
    }

    /// A number of one cell or of two, for properties that exist in both widths.
    pub fn number(&self) -> Option<u64> {
        self.u32().map(u64::from).or_else(|| self.u64())
    }

    /// A value that is one string.
    pub fn string(&self) -> Option<&'a str> {
        let (0, text) = self.bytes().split_last()? else {
            return None;
        };
        let text = core::str::from_utf8(text).ok()?;
        (!text.contains('\0')).then_some(text)
    }

    /// A value that is one or more strings.
    pub fn strings(&self) -> Option<Strings<'a>> {
        let (0, text) = self.bytes().split_last()? else {
            return None;
        };
        Some(Strings(Some(core::str::from_utf8(text).ok()?)))
    }

    /// A value that is a list of cells, of any number.
    pub fn cells(&self) -> Option<Cells<'a>> {
        let (cells, []) = self.bytes().as_chunks() else {
            return None;
        };
        Some(Cells(cells))
    }
}

impl fmt::Debug for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} = {}", self.name(), self.value)
    }
}

/// The strings of a list.
#[derive(Clone)]
pub struct Strings<'a>(Option<&'a str>);

impl<'a> Iterator for Strings<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let text = self.0?;
        let (first, rest) = match text.split_once('\0') {
            Some((first, rest)) => (first, Some(rest)),
            None => (text, None),
        };
        self.0 = rest;
        Some(first)
    }
}

/// The cells of a list.
#[derive(Clone)]
pub struct Cells<'a>(&'a [[u8; 4]]);

impl Iterator for Cells<'_> {
    type Item = u32;

    fn next(&mut self) -> Option<u32> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(u32::from_be_bytes(*first))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.0.len(), Some(self.0.len()))
    }
}

impl ExactSizeIterator for Cells<'_> {}

/// The value of a property, printed as in a source file: `"strings"`, `<cells>` or `[bytes]`,
/// cut short where it is long.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Value<'a>(pub &'a [u8]);

/// Characters, cells or bytes of a value that are printed.
const SHOWN: usize = 64;
const SHOWN_CELLS: usize = 8;

impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let property = Property { name: &[], value: *self };
        let printable = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if self.0.is_empty() {
            return write!(f, "an empty value");
        }
        if let Some(strings) = property.strings().filter(|list| list.clone().all(printable)) {
            return self.fmt_strings(f, strings);
        }
        if let Some(cells) = property.cells() {
            let more = cells.len() > SHOWN_CELLS;
            for (index, cell) in cells.take(SHOWN_CELLS).enumerate() {
                write!(f, "{}{cell:#x}", if index == 0 { "<" } else { " " })?;
            }
            return write!(f, "{}>", if more { " ..." } else { "" });
        }
        let more = self.0.len() > SHOWN_CELLS;
        for (index, byte) in self.0.iter().take(SHOWN_CELLS).enumerate() {
            write!(f, "{}{byte:02x}", if index == 0 { "[" } else { " " })?;
        }
        write!(f, "{}]", if more { " ..." } else { "" })
    }
}

impl Value<'_> {
    fn fmt_strings(&self, f: &mut fmt::Formatter<'_>, strings: Strings<'_>) -> fmt::Result {
        let mut left = SHOWN;
        for (index, text) in strings.enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            let end = text.char_indices().nth(left).map(|(at, _)| at);
            let shown = end.and_then(|end| text.get(..end)).unwrap_or(text);
            left = left.saturating_sub(text.len());
            write!(f, "{separator}\"{shown}\"")?;
            if left == 0 {
                return write!(f, "...");
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}
