//! A property and the forms that its value may have.

use core::fmt;
use core::str::Split;

/// A property: its name and its bytes, which stay where they are in the blob.
///
/// Prints its value as in a source file: `"strings"`, `<cells>` or `[bytes]`, cut short where it
/// is long.
#[derive(Clone, Copy, Debug)]
pub struct Property<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its value.
    pub bytes: &'a [u8],
}

impl<'a> Property<'a> {
    /// A value of exactly one cell.
    pub fn u32(&self) -> Option<u32> {
        self.bytes.try_into().ok().map(u32::from_be_bytes)
    }

    /// A value of exactly two cells.
    pub fn u64(&self) -> Option<u64> {
        self.bytes.try_into().ok().map(u64::from_be_bytes)
    }

    /// A number of one cell or of two, for properties that exist in both widths.
    pub fn number(&self) -> Option<u64> {
        self.u32().map(u64::from).or_else(|| self.u64())
    }

    /// A value that is one string.
    pub fn string(&self) -> Option<&'a str> {
        let mut strings = self.strings()?;
        strings.next().filter(|_| strings.next().is_none())
    }

    /// A value that is one or more strings.
    pub fn strings(&self) -> Option<Split<'a, char>> {
        let text = self.bytes.strip_suffix(&[0])?;
        Some(core::str::from_utf8(text).ok()?.split('\0'))
    }

    /// A value that is a list of cells, of any number.
    pub fn cells(&self) -> Option<impl ExactSizeIterator<Item = u32> + Clone + use<'a>> {
        Some(self.words()?.iter().map(|cell| u32::from_be_bytes(*cell)))
    }

    /// The same, as the bytes of each cell.
    pub(super) fn words(&self) -> Option<&'a [[u8; 4]]> {
        let (cells, rest) = self.bytes.as_chunks();
        rest.is_empty().then_some(cells)
    }
}

impl fmt::Display for Property<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let printable = |text: &str| !text.is_empty() && !text.chars().any(char::is_control);
        if self.bytes.is_empty() {
            return write!(f, "an empty value");
        }
        if let Some(strings) = self.strings().filter(|list| list.clone().all(printable)) {
            return list(f, strings, ", ", |f, text| {
                let more = if text.chars().nth(64).is_some() { "..." } else { "" };
                write!(f, "\"{text:.64}\"{more}")
            });
        }
        let (open, close) =
            if self.bytes.len().is_multiple_of(4) { ("<", ">") } else { ("[", "]") };
        write!(f, "{open}")?;
        match self.cells() {
            Some(cells) => list(f, cells, " ", |f, cell| write!(f, "{cell:#x}"))?,
            None => list(f, self.bytes.iter(), " ", |f, byte| write!(f, "{byte:02x}"))?,
        }
        write!(f, "{close}")
    }
}

/// Prints the first items of a list.
fn list<T>(
    f: &mut fmt::Formatter<'_>,
    items: impl Iterator<Item = T>,
    between: &str,
    print: impl Fn(&mut fmt::Formatter<'_>, T) -> fmt::Result,
) -> fmt::Result {
    const SHOWN: usize = 8;
    for (index, item) in items.take(SHOWN + 1).enumerate() {
        match index {
            0 => {}
            SHOWN => return write!(f, "{between}..."),
            _ => f.write_str(between)?,
        }
        print(f, item)?;
    }
    Ok(())
}
