//! ELF files.
//!
//! Source: the System V gABI, chapters 4 and 5; ELF for the Arm 64-bit Architecture (AAELF64).

use alloc::vec::Vec;

use super::{ImageError, MAX_SEGMENTS, Segment};
use crate::memory::Ipa;
use crate::vm::description::VmConfig;

const MAGIC: &[u8] = b"\x7fELF";
/// e_ident: ELFCLASS64, ELFDATA2LSB.
const CLASS_AND_DATA: &[u8] = &[2, 1];
const EM_AARCH64: u16 = 183;
/// e_type: ET_EXEC and ET_DYN, a fixed and a position-independent executable.
const EXECUTABLE: [u16; 2] = [2, 3];
const PT_LOAD: u32 = 1;
/// Bytes of a program header.
const HEADER: usize = 56;

pub(super) fn is_elf(file: &[u8]) -> bool {
    file.starts_with(MAGIC)
}

fn bytes<const N: usize>(file: &[u8], offset: usize) -> Result<[u8; N], ImageError> {
    let found = file.get(offset..).and_then(|rest| rest.first_chunk());
    found.copied().ok_or(ImageError::ElfTruncated(offset as u64, file.len()))
}

fn u16_at(file: &[u8], offset: usize) -> Result<u16, ImageError> {
    bytes(file, offset).map(u16::from_le_bytes)
}

fn u64_at(file: &[u8], offset: usize) -> Result<u64, ImageError> {
    bytes(file, offset).map(u64::from_le_bytes)
}

/// A program header of type PT_LOAD that takes memory.
#[derive(Clone, Copy)]
struct Loadable<'a> {
    vaddr: u64,
    segment: Segment<'a>,
}

/// The loadable segments by their p_paddr, and the start.
pub(super) fn load<'a>(vm: &VmConfig<'a>) -> Result<(Vec<Segment<'a>>, u64), ImageError> {
    let file = vm.kernel;
    if !is_elf(file) {
        return Err(ImageError::NoElf(file.len()));
    }
    let (kind, machine) = (u16_at(file, 16)?, u16_at(file, 18)?);
    if file.get(4..6) != Some(CLASS_AND_DATA)
        || machine != EM_AARCH64
        || !EXECUTABLE.contains(&kind)
    {
        return Err(ImageError::ElfKind(kind, machine));
    }
    let mut entry = u64_at(file, 24)?;
    let mut segments: Vec<Segment<'a>> = Vec::new();
    for index in 0..usize::from(u16_at(file, 56)?) {
        let Some(loadable) = program_header(file, index)? else {
            continue;
        };
        // An entry point is a virtual address, and the guest starts with translation off.
        let Segment { ipa, size, .. } = loadable.segment;
        match u64_at(file, 24)?.checked_sub(loadable.vaddr) {
            Some(offset) if offset < size => entry = ipa.get().wrapping_add(offset),
            _ => {}
        }
        if segments.len() == MAX_SEGMENTS {
            return Err(ImageError::ElfSegments(MAX_SEGMENTS));
        }
        segments.push(loadable.segment);
    }
    let lowest = segments.iter().map(|segment| segment.ipa.get()).min();
    let lowest = lowest.ok_or(ImageError::ElfEmpty)?;
    let shift = vm.load_address.map_or(0, |load| load.wrapping_sub(lowest));
    for segment in &mut segments {
        segment.ipa = segment.ipa.wrapping_add(shift);
    }
    Ok((segments, entry.wrapping_add(shift)))
}

/// Program header `index`, `None` where it loads nothing.
fn program_header(file: &[u8], index: usize) -> Result<Option<Loadable<'_>>, ImageError> {
    let (table, each) = (u64_at(file, 32)?, usize::from(u16_at(file, 54)?));
    if each < HEADER {
        return Err(ImageError::ElfHeaderSize(each));
    }
    let at = usize::try_from(table).ok().and_then(|table| table.checked_add(index * each));
    let at = at.ok_or(ImageError::ElfTruncated(table, file.len()))?;
    let header: [u8; HEADER] = bytes(file, at)?;
    if !header.starts_with(&PT_LOAD.to_le_bytes()) {
        return Ok(None);
    }
    let (offset, vaddr, paddr) = (u64_at(&header, 8)?, u64_at(&header, 16)?, u64_at(&header, 24)?);
    let (in_file, size) = (u64_at(&header, 32)?, u64_at(&header, 40)?);
    if size == 0 {
        return Ok(None);
    }
    let bytes = match offset.checked_add(in_file).filter(|_| in_file <= size) {
        // The offset of a segment of zeros means nothing.
        Some(_) if in_file == 0 => Some(&[][..]),
        Some(end) => file.get(offset as usize..end as usize),
        None => None,
    };
    let bytes = bytes.ok_or(ImageError::ElfSegment(offset, in_file, size, file.len()))?;
    Ok(Some(Loadable { vaddr, segment: Segment { ipa: Ipa::new(paddr), bytes, size } }))
}
