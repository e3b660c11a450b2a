//! What can be wrong with an image.

use thiserror::Error;

/// Why an image cannot be loaded. Prints as property, value found, value wanted; who knows the VM
/// puts its node before it. Addresses are IPAs, sizes and offsets bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ImageError {
    /// An Image without its magic: the file's size.
    #[error("kernel: found {0} bytes without the magic of an Image, wanted ARM\\x64 at 56")]
    NoImage(usize),
    /// An Image of a big-endian kernel: its flags.
    #[error("kernel: found a big-endian Image (flags {0:#x}), wanted bit 0 clear")]
    BigEndianImage(u64),
    /// A text_offset beyond all memory.
    #[error("kernel: found text_offset {0:#x}, wanted one within RAM")]
    TextOffset(u64),
    /// A load address that an Image cannot have, and its text_offset.
    #[error("load-address: found {0:#x}, wanted a multiple of 2 MiB and text_offset, {1:#x}")]
    ImageAlignment(u64, u64),
    /// A packed file.
    #[error("kernel: found a file packed by gzip, wanted it unpacked (or format = \"raw\")")]
    Gzip,
    /// An ELF file without its magic: the file's size.
    #[error("kernel: found {0} bytes without the magic of ELF, wanted \\x7fELF at 0")]
    NoElf(usize),
    /// Another kind of ELF file: its e_type and e_machine.
    #[error(
        "kernel: found an ELF file of type {0} for machine {1}, wanted a 64-bit \
             little-endian executable (2 or 3) for AArch64 (183)"
    )]
    ElfKind(u16, u16),
    /// Program headers that are too small: their size.
    #[error("kernel: found ELF program headers of {0} bytes, wanted 56 or more")]
    ElfHeaderSize(usize),
    /// A header beyond the file's end: its offset and the file's size.
    #[error("kernel: found the ELF file's end at {1:#x}, wanted a header at {0:#x}")]
    ElfTruncated(u64, usize),
    /// A segment that is not within the file, or has more bytes than memory: its p_offset,
    /// p_filesz and p_memsz, and the file's size.
    #[error(
        "kernel: found an ELF segment of {2:#x} bytes, {1:#x} of them at offset {0:#x}, \
             wanted these no more and within the file's {3:#x}"
    )]
    ElfSegment(u64, u64, u64, usize),
    /// More loadable segments than this.
    #[error("kernel: found more loadable ELF segments, wanted at most {0}")]
    ElfSegments(usize),
    /// No loadable segment.
    #[error("kernel: found no loadable ELF segment, wanted one or more")]
    ElfEmpty,
    /// A piece of the kernel that does not lie in RAM.
    #[error(
        "{property}: found {size:#x} bytes to go to {start:#x}, wanted them within RAM, \
             {from:#x} to {to:#x}"
    )]
    KernelPlace {
        /// `load-address` where the description gives it, else `kernel`.
        property: &'static str,
        /// Its first byte.
        start: u64,
        /// Its size.
        size: u64,
        /// RAM's first byte.
        from: u64,
        /// RAM's end.
        to: u64,
    },
    /// Two segments that overlap: start and size of the one, start of the other.
    #[error(
        "kernel: found an ELF segment of {1:#x} bytes at {0:#x} on the one at {2:#x}, \
             wanted them apart"
    )]
    Overlap(u64, u64, u64),
    /// An entry point that is odd or outside what is loaded.
    #[error("entry-address: found {0:#x}, wanted a multiple of 4 within what is loaded")]
    Entry(u64),
    /// An initrd that does not fit: its size and the room.
    #[error("initrd: found {0:#x} bytes, wanted at most {1:#x}, the RAM above the kernel")]
    Initrd(u64, u64),
    /// A device tree that does not fit: its size and the room above all else.
    #[error("memory-mib: found {1:#x} bytes free for the device tree, wanted {0:#x}")]
    TreePlace(u64, u64),
}
