//! The check of a blob, before anyone walks it.

use super::{
    FDT_BEGIN_NODE, FDT_END, FDT_END_NODE, FDT_NOP, FDT_PROP, FdtError, HEADER_SIZE, MAX_DEPTH,
    word,
};

const MAGIC: u32 = 0xd00d_feed;

/// The header's fields by their order in it (Devicetree Specification v0.4, section 5.2).
fn field(header: &[u8], index: usize) -> Result<usize, FdtError> {
    let value = index.checked_mul(4).and_then(|offset| word(header, offset));
    value.map(|value| value as usize).ok_or(FdtError::TooShort {
        found: header.len(),
    })
}

pub(super) fn total_size(header: &[u8]) -> Result<usize, FdtError> {
    if header.len() < HEADER_SIZE {
        return Err(FdtError::TooShort {
            found: header.len(),
        });
    }
    match word(header, 0) {
        Some(MAGIC) => field(header, 1),
        found => Err(FdtError::Magic {
            found: found.unwrap_or(0),
        }),
    }
}

/// The blob at the start of `bytes`, and the offset of its root node.
pub(super) fn check(bytes: &[u8]) -> Result<(&[u8], u32), FdtError> {
    let address = bytes.as_ptr().addr();
    if address & 3 != 0 {
        return Err(FdtError::Misaligned { address });
    }
    let total = total_size(bytes)?;
    let blob = match bytes.get(..total) {
        Some(blob) if total >= HEADER_SIZE => blob,
        _ => {
            return Err(FdtError::TotalSize {
                total,
                available: bytes.len(),
            });
        }
    };
    let (version, compatible) = (field(blob, 5)? as u32, field(blob, 6)? as u32);
    if version < 17 || compatible > 17 {
        return Err(FdtError::Version {
            version,
            compatible,
        });
    }

    check_reservations(blob, field(blob, 4)?)?;
    let strings = block(blob, "strings block", field(blob, 3)?, field(blob, 8)?)?;
    let start = field(blob, 2)?;
    if start & 3 != 0 {
        return Err(FdtError::BlockAlignment {
            block: "structure block",
            offset: start,
        });
    }
    block(blob, "structure block", start, field(blob, 9)?)?;
    // The tokens are read by their offsets in the blob, cut off where their block ends.
    let structure = block(
        blob,
        "structure block",
        0,
        start.saturating_add(field(blob, 9)?),
    )?;
    let root = Structure {
        bytes: structure,
        strings,
        offset: start,
    }
    .check()?;
    Ok((blob, root as u32))
}

fn block<'a>(
    blob: &'a [u8],
    block: &'static str,
    offset: usize,
    size: usize,
) -> Result<&'a [u8], FdtError> {
    let end = offset.checked_add(size);
    end.and_then(|end| blob.get(offset..end))
        .ok_or(FdtError::Block {
            block,
            offset,
            size,
            total: blob.len(),
        })
}

/// The memory reservation block must end with an entry of zeros.
fn check_reservations(blob: &[u8], offset: usize) -> Result<(), FdtError> {
    const NAME: &str = "memory reservations";
    if offset & 7 != 0 {
        return Err(FdtError::BlockAlignment {
            block: NAME,
            offset,
        });
    }
    let size = blob.len().saturating_sub(offset);
    let entries = block(blob, NAME, offset, size)?.as_chunks::<16>().0;
    match entries.contains(&[0; 16]) {
        true => Ok(()),
        false => Err(FdtError::ReservationsEnd { offset }),
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
        let mut root = None;
        let mut depth = 0usize;
        let mut properties_allowed = false;
        loop {
            let offset = self.offset;
            let token = self.word()?;
            match token {
                FDT_BEGIN_NODE => {
                    match (depth, root) {
                        (0, None) => root = Some(offset),
                        (0, Some(_)) => return Err(FdtError::SecondRoot { offset }),
                        (MAX_DEPTH.., _) => return Err(FdtError::TooDeep { offset }),
                        _ => {}
                    }
                    self.node_name(offset, depth == 0)?;
                    depth = depth.saturating_add(1);
                    properties_allowed = true;
                }
                FDT_END_NODE => {
                    depth = depth.checked_sub(1).ok_or(FdtError::Unopened { offset })?;
                    properties_allowed = false;
                }
                FDT_PROP if !properties_allowed => {
                    return Err(FdtError::PropertyPlace { offset });
                }
                FDT_PROP => self.property(offset)?,
                FDT_NOP => {}
                FDT_END if depth > 0 => return Err(FdtError::Unclosed { offset, depth }),
                FDT_END => return root.ok_or(FdtError::NoRoot),
                found => return Err(FdtError::Token { offset, found }),
            }
        }
    }

    fn word(&mut self) -> Result<u32, FdtError> {
        let truncated = FdtError::Truncated {
            offset: self.offset,
        };
        let value = word(self.bytes, self.offset).ok_or(truncated)?;
        self.skip(4)?;
        Ok(value)
    }

    /// Steps over `size` bytes and the padding behind them.
    fn skip(&mut self, size: usize) -> Result<(), FdtError> {
        let truncated = FdtError::Truncated {
            offset: self.offset,
        };
        let end = self.offset.checked_add(size).ok_or(truncated)?;
        self.offset = end.checked_next_multiple_of(4).ok_or(truncated)?;
        Ok(())
    }

    fn node_name(&mut self, token: usize, is_root: bool) -> Result<(), FdtError> {
        let name = self.bytes.get(self.offset..).and_then(name_length);
        let name = name.filter(|length| is_root || *length > 0);
        let length = name.ok_or(FdtError::NodeName { offset: token })?;
        self.skip(length.saturating_add(1))
    }

    fn property(&mut self, token: usize) -> Result<(), FdtError> {
        let length = self.word()? as usize;
        let name = self.word()? as usize;
        match self.strings.get(name..).and_then(name_length) {
            Some(1..) => {}
            _ => {
                return Err(FdtError::PropertyName {
                    offset: token,
                    name,
                });
            }
        }
        let left = self.bytes.len().saturating_sub(self.offset);
        if length > left {
            return Err(FdtError::PropertyLength {
                offset: token,
                length,
                left,
            });
        }
        self.skip(length)
    }
}

/// The length of the name at the start of `bytes`: printable ASCII without `/` up to a NUL.
/// Names are printed in faults and compared as text, so nothing else may pass.
fn name_length(bytes: &[u8]) -> Option<usize> {
    let length = bytes
        .iter()
        .position(|byte| !byte.is_ascii_graphic() || *byte == b'/')?;
    (bytes.get(length) == Some(&0)).then_some(length)
}
