//! The check of a blob, before anyone walks it.

use super::{
    FDT_BEGIN_NODE, FDT_END, FDT_END_NODE, FDT_NOP, FDT_PROP, FdtError, HEADER_SIZE, MAX_DEPTH,
    StructureFault, word,
};

const MAGIC: u32 = 0xd00d_feed;

/// The header's fields by their order in it (Devicetree Specification v0.4, section 5.2).
fn field(header: &[u8], index: usize) -> Result<usize, FdtError> {
    let value = index.checked_mul(4).and_then(|offset| word(header, offset));
    value.map(|value| value as usize).ok_or(FdtError::TooShort(header.len()))
}

pub(super) fn total_size(header: &[u8]) -> Result<usize, FdtError> {
    if header.len() < HEADER_SIZE {
        return Err(FdtError::TooShort(header.len()));
    }
    match word(header, 0) {
        Some(MAGIC) => field(header, 1),
        found => Err(FdtError::Magic(found.unwrap_or(0))),
    }
}

/// The blob at the start of `bytes`, and the offset of its root node.
pub(super) fn check(bytes: &[u8]) -> Result<(&[u8], u32), FdtError> {
    let address = bytes.as_ptr().addr();
    if address & 3 != 0 {
        return Err(FdtError::Misaligned(address));
    }
    let total = total_size(bytes)?;
    let blob = match bytes.get(..total) {
        Some(blob) if total >= HEADER_SIZE => blob,
        _ => {
            return Err(FdtError::TotalSize(total, bytes.len()));
        }
    };
    let (version, compatible) = (field(blob, 5)? as u32, field(blob, 6)? as u32);
    if version < 17 || compatible > 17 {
        return Err(FdtError::Version(version, compatible));
    }

    check_reservations(blob, field(blob, 4)?)?;
    let strings = block(blob, "strings block", field(blob, 3)?, field(blob, 8)?)?;
    let start = field(blob, 2)?;
    if start & 3 != 0 {
        return Err(FdtError::BlockAlignment("structure block", start));
    }
    block(blob, "structure block", start, field(blob, 9)?)?;
    // The tokens are read by their offsets in the blob, cut off where their block ends.
    let structure = block(blob, "structure block", 0, start.saturating_add(field(blob, 9)?))?;
    let root = Structure { bytes: structure, strings, offset: start }.check()?;
    Ok((blob, root as u32))
}

fn block<'a>(
    blob: &'a [u8],
    block: &'static str,
    offset: usize,
    size: usize,
) -> Result<&'a [u8], FdtError> {
    let end = offset.checked_add(size);
    end.and_then(|end| blob.get(offset..end)).ok_or(FdtError::Block(
        block,
        offset,
        size,
        blob.len(),
    ))
}

/// The memory reservation block must end with an entry of zeros.
fn check_reservations(blob: &[u8], offset: usize) -> Result<(), FdtError> {
    const NAME: &str = "memory reservations";
    if offset & 7 != 0 {
        return Err(FdtError::BlockAlignment(NAME, offset));
    }
    let size = blob.len().saturating_sub(offset);
    let entries = block(blob, NAME, offset, size)?.as_chunks::<16>().0;
    match entries.contains(&[0; 16]) {
        true => Ok(()),
        false => Err(FdtError::ReservationsEnd(offset)),
    }
}

struct Structure<'a> {
    /// The blob from its start to the end of the structure block.
    bytes: &'a [u8],
    strings: &'a [u8],
    offset: usize,
}

impl Structure<'_> {
    /// Goes through all tokens and returns the root's offset.
    fn check(mut self) -> Result<usize, FdtError> {
        let mut state = State { root: None, depth: 0, properties_allowed: false };
        loop {
            let token = self.offset;
            match self.token(&mut state) {
                Ok(None) => {}
                Ok(Some(root)) => return Ok(root),
                Err(fault) => return Err(FdtError::Structure(token, fault)),
            }
        }
    }

    /// Checks one token; the last one gives the root's offset.
    fn token(&mut self, state: &mut State) -> Result<Option<usize>, StructureFault> {
        let offset = self.offset;
        match self.word()? {
            FDT_BEGIN_NODE => {
                match (state.depth, state.root) {
                    (0, None) => state.root = Some(offset),
                    (0, Some(_)) => return Err(StructureFault::SecondRoot),
                    (MAX_DEPTH.., _) => return Err(StructureFault::TooDeep),
                    _ => {}
                }
                self.node_name(state.depth == 0)?;
                state.depth = state.depth.saturating_add(1);
                state.properties_allowed = true;
            }
            FDT_END_NODE => {
                state.depth = state.depth.checked_sub(1).ok_or(StructureFault::Unopened)?;
                state.properties_allowed = false;
            }
            FDT_PROP if !state.properties_allowed => return Err(StructureFault::PropertyPlace),
            FDT_PROP => self.property()?,
            FDT_NOP => {}
            FDT_END if state.depth > 0 => return Err(StructureFault::Unclosed(state.depth)),
            FDT_END => return state.root.map(Some).ok_or(StructureFault::NoRoot),
            found => return Err(StructureFault::Token(found)),
        }
        Ok(None)
    }

    fn word(&mut self) -> Result<u32, StructureFault> {
        let value = word(self.bytes, self.offset).ok_or(StructureFault::Truncated)?;
        self.skip(4)?;
        Ok(value)
    }

    /// Steps over `size` bytes and the padding behind them.
    fn skip(&mut self, size: usize) -> Result<(), StructureFault> {
        let end = self.offset.checked_add(size).and_then(|end| end.checked_next_multiple_of(4));
        self.offset = end.ok_or(StructureFault::Truncated)?;
        Ok(())
    }

    fn node_name(&mut self, is_root: bool) -> Result<(), StructureFault> {
        let name = self.bytes.get(self.offset..).and_then(name_length);
        let name = name.filter(|length| is_root || *length > 0);
        self.skip(name.ok_or(StructureFault::NodeName)?.saturating_add(1))
    }

    fn property(&mut self) -> Result<(), StructureFault> {
        let (length, name) = (self.word()? as usize, self.word()? as usize);
        let name_length = self.strings.get(name..).and_then(name_length);
        if name_length.is_none_or(|length| length == 0) {
            return Err(StructureFault::PropertyName(name));
        }
        let left = self.bytes.len().saturating_sub(self.offset);
        if length > left {
            return Err(StructureFault::PropertyLength(length, left));
        }
        self.skip(length)
    }
}

/// How far the check is in the tree.
struct State {
    root: Option<usize>,
    depth: usize,
    properties_allowed: bool,
}

/// The length of the name at the start of `bytes`: printable ASCII without `/` up to a NUL.
/// Names are printed in faults and compared as text, so nothing else may pass. The length is
/// bounded, lest a million properties share one endless name.
fn name_length(bytes: &[u8]) -> Option<usize> {
    const MOST: usize = 255;
    let plain = |byte: &u8| byte.is_ascii_graphic() && *byte != b'/';
    let length = bytes.iter().take(MOST).take_while(|byte| plain(byte)).count();
    (bytes.get(length) == Some(&0)).then_some(length)
}
