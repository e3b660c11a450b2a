//! What can be wrong with an image.

use core::fmt;

/// Why an image cannot be loaded. Prints as property, value found, value wanted; who knows the VM
/// puts its node before it. Addresses are IPAs, sizes bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(
    missing_docs,
    reason = "each variant's fields are named for its line of Display"
)]
pub enum ImageError {
    NoImage {
        size: usize,
    },
    BigEndianImage {
        flags: u64,
    },
    TextOffset {
        found: u64,
    },
    ImageAlignment {
        found: u64,
        text_offset: u64,
    },
    Gzip,
    NoElf {
        size: usize,
    },
    ElfKind {
        kind: u16,
        machine: u16,
    },
    ElfHeaderSize {
        found: usize,
    },
    ElfTruncated {
        offset: u64,
        size: usize,
    },
    ElfSegment {
        offset: u64,
        in_file: u64,
        size: u64,
        file: usize,
    },
    ElfSegments {
        most: usize,
    },
    ElfEmpty,
    KernelPlace {
        start: u64,
        size: u64,
        from: u64,
        to: u64,
    },
    Overlap {
        start: u64,
        size: u64,
        other: u64,
    },
    Entry {
        found: u64,
    },
    Initrd {
        size: u64,
        left: u64,
    },
    TreePlace {
        size: u64,
        left: u64,
    },
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NoImage { size } => write!(
                f,
                "kernel: found {size} bytes without the magic of an Image, wanted ARM\\x64 at 56"
            ),
            Self::BigEndianImage { flags } => {
                write!(
                    f,
                    "kernel: found a big-endian Image (flags {flags:#x}), wanted bit 0 clear"
                )
            }
            Self::TextOffset { found } => {
                write!(
                    f,
                    "kernel: found text_offset {found:#x}, wanted one within RAM"
                )
            }
            Self::ImageAlignment { found, text_offset } => write!(
                f,
                "load-address: found {found:#x}, wanted a multiple of 2 MiB and the Image's \
                 text_offset, {text_offset:#x}"
            ),
            Self::Gzip => write!(
                f,
                "kernel: found a file packed by gzip, wanted it unpacked (or format = \"raw\")"
            ),
            Self::NoElf { size } => {
                write!(
                    f,
                    "kernel: found {size} bytes without the magic of ELF, wanted \\x7fELF at 0"
                )
            }
            Self::ElfKind { kind, machine } => write!(
                f,
                "kernel: found an ELF file of type {kind} for machine {machine}, wanted a 64-bit \
                 little-endian executable (2 or 3) for AArch64 (183)"
            ),
            Self::ElfHeaderSize { found } => {
                write!(
                    f,
                    "kernel: found ELF program headers of {found} bytes, wanted 56 or more"
                )
            }
            Self::ElfTruncated { offset, size } => write!(
                f,
                "kernel: found the ELF file's end at {size:#x}, wanted a header at {offset:#x}"
            ),
            Self::ElfSegment {
                offset,
                in_file,
                size,
                file,
            } => write!(
                f,
                "kernel: found an ELF segment of {size:#x} bytes, {in_file:#x} of them at offset \
                 {offset:#x}, wanted these no more and within the file's {file:#x}"
            ),
            Self::ElfSegments { most } => {
                write!(
                    f,
                    "kernel: found more loadable ELF segments, wanted at most {most}"
                )
            }
            Self::ElfEmpty => write!(
                f,
                "kernel: found no loadable ELF segment, wanted one or more"
            ),
            Self::KernelPlace {
                start,
                size,
                from,
                to,
            } => write!(
                f,
                "kernel: found {size:#x} bytes to go to {start:#x}, wanted them within RAM, \
                 {from:#x} to {to:#x}"
            ),
            Self::Overlap { start, size, other } => write!(
                f,
                "kernel: found an ELF segment of {size:#x} bytes at {start:#x} on the one at \
                 {other:#x}, wanted them apart"
            ),
            Self::Entry { found } => write!(
                f,
                "entry-address: found {found:#x}, wanted a multiple of 4 within what is loaded"
            ),
            Self::Initrd { size, left } => write!(
                f,
                "initrd: found {size:#x} bytes, wanted at most {left:#x}, the RAM above the kernel"
            ),
            Self::TreePlace { size, left } => write!(
                f,
                "memory-mib: found {left:#x} bytes free for the device tree, wanted {size:#x}"
            ),
        }
    }
}
