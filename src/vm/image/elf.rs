//! ELF files.
//!
//! Source: the System V gABI, chapters 4 and 5; ELF for the Arm 64-bit Architecture (AAELF64).

use alloc::vec::Vec;

use super::{Segment, number};
use crate::memory::Ipa;
use crate::vm::description::{Fault, VmConfig};

/// The most loadable segments that an ELF file may have.
const MAX_SEGMENTS: usize = 32;
/// e_ident: ELFCLASS64, ELFDATA2LSB.
const CLASS_AND_DATA: &[u8] = &[2, 1];
const EM_AARCH64: u64 = 183;
/// e_type: ET_EXEC and ET_DYN, a fixed and a position-independent executable.
const EXECUTABLE: [u64; 2] = [2, 3];
const PT_LOAD: u64 = 1;
/// Bytes of a program header.
const HEADER: u64 = 56;

pub(super) fn is_elf(file: &[u8]) -> bool {
    file.starts_with(b"\x7fELF")
}

/// The loadable segments by their p_paddr, and the start.
pub(super) fn load<'a>(vm: &VmConfig<'a>) -> Result<(Vec<Segment<'a>>, u64), Fault> {
    let file = vm.kernel;
    let fault = |found: core::fmt::Arguments<'_>, wanted| Err(vm.fault("kernel", found, wanted));
    let at = |offset, size| {
        let found = format_args!("the ELF file's end at {:#x}", file.len());
        let wanted = format_args!("a header at {offset:#x}");
        number(file, offset, size).ok_or_else(|| vm.fault("kernel", found, wanted))
    };
    if !is_elf(file) {
        let size = file.len();
        return fault(format_args!("{size} bytes without the magic of ELF"), "\\x7fELF at 0");
    }
    let (kind, machine) = (at(16, 2)?, at(18, 2)?);
    let is_64_bit = file.get(4..6) == Some(CLASS_AND_DATA);
    if !is_64_bit || machine != EM_AARCH64 || !EXECUTABLE.contains(&kind) {
        let found = format_args!("an ELF file of type {kind} for machine {machine}");
        return fault(found, "a 64-bit little-endian executable (2 or 3) for AArch64 (183)");
    }
    let (start, table, each, count) = (at(24, 8)?, at(32, 8)?, at(54, 2)?, at(56, 2)?);
    if each < HEADER {
        return fault(format_args!("ELF program headers of {each} bytes"), "56 or more");
    }
    let mut entry = start;
    let mut segments: Vec<Segment<'a>> = Vec::new();
    for index in 0..count {
        let header = table.saturating_add(index * each);
        let field = |offset, size| at(header.saturating_add(offset), size);
        let (offset, vaddr, paddr) = (field(8, 8)?, field(16, 8)?, field(24, 8)?);
        let (in_file, size) = (field(32, 8)?, field(40, 8)?);
        if field(0, 4)? != PT_LOAD || size == 0 {
            continue;
        }
        // The offset of a segment of zeros means nothing.
        let first = if in_file == 0 { 0 } else { offset as usize };
        let bytes = file.get(first..first.saturating_add(in_file as usize));
        let Some(bytes) = bytes.filter(|_| in_file <= size) else {
            let found = format_args!(
                "an ELF segment of {size:#x} bytes, {in_file:#x} of them at offset {offset:#x}"
            );
            return fault(found, "these no more and within the file");
        };
        // An entry point is a virtual address, and the guest starts with translation off.
        let within = start.checked_sub(vaddr).filter(|offset| *offset < size);
        entry = within.map_or(entry, |offset| paddr.wrapping_add(offset));
        if segments.len() == MAX_SEGMENTS {
            return fault(format_args!("more loadable ELF segments"), "at most 32");
        }
        segments.push(Segment { ipa: Ipa::new(paddr), bytes, size });
    }
    let lowest = segments.iter().map(|segment| segment.ipa.get()).min();
    let Some(lowest) = lowest else {
        return fault(format_args!("no loadable ELF segment"), "one or more");
    };
    let shift = vm.load_address.map_or(0, |load| load.wrapping_sub(lowest));
    for segment in &mut segments {
        segment.ipa = segment.ipa.wrapping_add(shift);
    }
    Ok((segments, entry.wrapping_add(shift)))
}
