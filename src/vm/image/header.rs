//! The arm64 Linux boot protocol's `Image`.
//!
//! Source: Linux, Documentation/arch/arm64/booting.rst. The header's numbers are little-endian:
//! text_offset at 8, image_size at 16, flags at 24, the magic "ARM\x64" at 56.

use alloc::vec;
use alloc::vec::Vec;

use super::{Segment, number};
use crate::memory::{BLOCK_SIZE, Ipa};
use crate::vm::description::{Fault, VmConfig};
use crate::vm::layout::RAM_BASE;

/// Flag: the kernel runs big-endian.
const BIG_ENDIAN: u64 = 1;
/// text_offset of kernels before 3.17, whose image_size is 0 and whose text_offset is unreliable.
const OLD_TEXT_OFFSET: u64 = 0x8_0000;
/// The start of RAM that is kept for the device tree, when an image wants it for itself.
const TREE_SPACE: u64 = 4096;

pub(super) fn is_image(file: &[u8]) -> bool {
    file.get(56..).is_some_and(|rest| rest.starts_with(b"ARM\x64"))
}

/// The one segment of an Image, and its start.
pub(super) fn load<'a>(vm: &VmConfig<'a>) -> Result<(Vec<Segment<'a>>, u64), Fault> {
    let file = vm.kernel;
    if !is_image(file) {
        let found = format_args!("{} bytes without the magic of an Image", file.len());
        return Err(vm.fault("kernel", found, "ARM\\x64 at 56"));
    }
    let field = |offset| number(file, offset, 8).unwrap_or(0);
    let (text_offset, image_size, flags) = (field(8), field(16), field(24));
    let text_offset = if image_size == 0 { OLD_TEXT_OFFSET } else { text_offset };
    if image_size != 0 && flags & BIG_ENDIAN != 0 {
        let found = format_args!("a big-endian Image (flags {flags:#x})");
        return Err(vm.fault("kernel", found, "bit 0 clear"));
    }
    // As QEMU does: an image that would begin in the first page goes one block higher.
    let shift = if text_offset < TREE_SPACE { BLOCK_SIZE } else { 0 };
    let start = RAM_BASE.get().saturating_add(shift).checked_add(text_offset);
    let Some(load) = vm.load_address.or(start) else {
        let found = format_args!("text_offset {text_offset:#x}");
        return Err(vm.fault("kernel", found, "one within RAM"));
    };
    if load.wrapping_sub(text_offset) & (BLOCK_SIZE - 1) != 0 {
        let wanted = format_args!("a multiple of 2 MiB and text_offset, {text_offset:#x}");
        return Err(vm.fault("load-address", format_args!("{load:#x}"), wanted));
    }
    let size = image_size.max(file.len() as u64);
    Ok((vec![Segment { ipa: Ipa::new(load), bytes: file, size }], load))
}
