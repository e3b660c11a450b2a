//! The arm64 Linux boot protocol's `Image`.
//!
//! Source: Linux, Documentation/arch/arm64/booting.rst. The header's numbers are little-endian:
//! text_offset at 8, image_size at 16, flags at 24, the magic "ARM\x64" at 56.

use alloc::vec;
use alloc::vec::Vec;

use super::{ImageError, Segment};
use crate::memory::{BLOCK_SIZE, Ipa};
use crate::vm::description::VmConfig;
use crate::vm::layout::RAM_BASE;

const TEXT_OFFSET: usize = 8;
const IMAGE_SIZE: usize = 16;
const FLAGS: usize = 24;
const MAGIC: usize = 56;
/// Flag: the kernel runs big-endian.
const BIG_ENDIAN: u64 = 1;
/// text_offset of kernels before 3.17, whose image_size is 0 and whose text_offset is unreliable.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;
/// The start of RAM that is kept for the device tree, when an image wants it for itself.
const TREE_SPACE: u64 = 4096;

pub(super) fn is_image(file: &[u8]) -> bool {
    file.get(MAGIC..).is_some_and(|rest| rest.starts_with(b"ARM\x64"))
}

fn number(file: &[u8], offset: usize) -> u64 {
    let eight = file.get(offset..).and_then(|rest| rest.first_chunk());
    eight.map_or(0, |eight| u64::from_le_bytes(*eight))
}

/// The one segment of an Image, and its start.
pub(super) fn load<'a>(vm: &VmConfig<'a>) -> Result<(Vec<Segment<'a>>, u64), ImageError> {
    let file = vm.kernel;
    if !is_image(file) {
        return Err(ImageError::NoImage(file.len()));
    }
    let flags = number(file, FLAGS);
    let (text_offset, image_size) = match number(file, IMAGE_SIZE) {
        0 => (OLD_TEXT_OFFSET, 0),
        _ if flags & BIG_ENDIAN != 0 => return Err(ImageError::BigEndianImage(flags)),
        image_size => (number(file, TEXT_OFFSET), image_size),
    };
    // As QEMU does: an image that would begin in the first page goes one block higher.
    let shift = if text_offset < TREE_SPACE { BLOCK_SIZE } else { 0 };
    let start = RAM_BASE.get().checked_add(shift).and_then(|base| base.checked_add(text_offset));
    let load = vm.load_address.or(start).ok_or(ImageError::TextOffset(text_offset))?;
    if load.wrapping_sub(text_offset) & (BLOCK_SIZE - 1) != 0 {
        return Err(ImageError::ImageAlignment(load, text_offset));
    }
    let size = image_size.max(file.len() as u64);
    Ok((vec![Segment { ipa: Ipa::new(load), bytes: file, size }], load))
}
