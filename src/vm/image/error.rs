//! What can be wrong with an image.

use core::fmt;

/// Why an image cannot be loaded. Prints as property, value found, value wanted; who knows the VM
/// puts its node before it. Addresses are IPAs, sizes and offsets bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageError {
    /// An Image without its magic: the file's size.
    NoImage(usize),
    /// An Image of a big-endian kernel: its flags.
    BigEndianImage(u64),
    /// A text_offset beyond all memory.
    TextOffset(u64),
    /// A load address that an Image cannot have, and its text_offset.
    ImageAlignment(u64, u64),
    /// A packed file.
    Gzip,
    /// An ELF file without its magic: the file's size.
    NoElf(usize),
    /// Another kind of ELF file: its e_type and e_machine.
    ElfKind(u16, u16),
    /// Program headers that are too small: their size.
    ElfHeaderSize(usize),
    /// A header beyond the file's end: its offset and the file's size.
    ElfTruncated(u64, usize),
    /// A segment that is not within the file, or has more bytes than memory.
    ElfSegment {
        /// Its p_offset.
        offset: u64,
        /// Its p_filesz.
        in_file: u64,
        /// Its p_memsz.
        size: u64,
        /// The file's size.
        file: usize,
    },
    /// More loadable segments than this.
    ElfSegments(usize),
    /// No loadable segment.
    ElfEmpty,
    /// A piece of the kernel that does not lie in RAM.
    KernelPlace {
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
    Overlap(u64, u64, u64),
    /// An entry point that is odd or outside what is loaded.
    Entry(u64),
    /// An initrd that does not fit: its size and the room.
    Initrd(u64, u64),
    /// A device tree that does not fit: its size and the room above all else.
    TreePlace(u64, u64),
}

impl fmt::Display for ImageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let property = match self {
            Self::ImageAlignment(..) => "load-address",
            Self::Entry(_) => "entry-address",
            Self::Initrd(..) => "initrd",
            Self::TreePlace(..) => "memory-mib",
            _ => "kernel",
        };
        write!(f, "{property}: found ")?;
        match *self {
            Self::NoImage(size) => {
                write!(
                    f,
                    "{size} bytes without the magic of an Image, wanted ARM\\x64 at 56"
                )
            }
            Self::BigEndianImage(flags) => {
                write!(
                    f,
                    "a big-endian Image (flags {flags:#x}), wanted bit 0 clear"
                )
            }
            Self::TextOffset(found) => write!(f, "text_offset {found:#x}, wanted one within RAM"),
            Self::ImageAlignment(found, offset) => {
                write!(
                    f,
                    "{found:#x}, wanted a multiple of 2 MiB and text_offset, {offset:#x}"
                )
            }
            Self::Gzip => {
                write!(
                    f,
                    "a file packed by gzip, wanted it unpacked (or format = \"raw\")"
                )
            }
            Self::NoElf(size) => {
                write!(
                    f,
                    "{size} bytes without the magic of ELF, wanted \\x7fELF at 0"
                )
            }
            Self::ElfKind(kind, machine) => write!(
                f,
                "an ELF file of type {kind} for machine {machine}, wanted a 64-bit little-endian \
                 executable (2 or 3) for AArch64 (183)"
            ),
            Self::ElfHeaderSize(found) => {
                write!(f, "ELF program headers of {found} bytes, wanted 56 or more")
            }
            Self::ElfTruncated(offset, size) => {
                write!(
                    f,
                    "the ELF file's end at {size:#x}, wanted a header at {offset:#x}"
                )
            }
            Self::ElfSegment {
                offset,
                in_file,
                size,
                file,
            } => write!(
                f,
                "an ELF segment of {size:#x} bytes, {in_file:#x} of them at offset {offset:#x}, \
                 wanted these no more and within the file's {file:#x}"
            ),
            Self::ElfSegments(most) => {
                write!(f, "more loadable ELF segments, wanted at most {most}")
            }
            Self::ElfEmpty => write!(f, "no loadable ELF segment, wanted one or more"),
            Self::KernelPlace {
                start,
                size,
                from,
                to,
            } => write!(
                f,
                "{size:#x} bytes to go to {start:#x}, wanted them within RAM, {from:#x} to {to:#x}"
            ),
            Self::Overlap(start, size, other) => write!(
                f,
                "an ELF segment of {size:#x} bytes at {start:#x} on the one at {other:#x}, wanted \
                 them apart"
            ),
            Self::Entry(found) => {
                write!(
                    f,
                    "{found:#x}, wanted a multiple of 4 within what is loaded"
                )
            }
            Self::Initrd(size, left) => {
                write!(
                    f,
                    "{size:#x} bytes, wanted at most {left:#x}, the RAM above the kernel"
                )
            }
            Self::TreePlace(size, left) => {
                write!(
                    f,
                    "{left:#x} bytes free for the device tree, wanted {size:#x}"
                )
            }
        }
    }
}
