//! Guest images: what a kernel's file is, and where everything goes in the VM's RAM.
//!
//! A [`LoadPlan`] is made before a byte is written: it says which bytes of the description go to
//! which IPA, where the guest starts and where its device tree lies, and all of it is known to
//! fit into RAM without overlap.
//!
//! From the bottom up: the device tree where nothing else wants the start of RAM, the kernel, the
//! initrd, and the device tree where it did not find its place below. The initrd keeps the
//! distance that QEMU keeps, half of RAM but at most 128 MiB, because a raw image does not tell
//! how much memory it uses behind its last byte.

mod elf;
mod error;
mod header;
#[cfg(test)]
pub(crate) mod tests;

pub use error::ImageError;

use alloc::vec;
use alloc::vec::Vec;

use super::description::VmConfig;
use super::layout::RAM_BASE;
use crate::memory::{Ipa, PAGE_SIZE, align_up};

/// The most loadable segments that an ELF file may have.
pub const MAX_SEGMENTS: usize = 32;
/// How far above the start of RAM an initrd goes, at most: as QEMU's board does.
const INITRD_DISTANCE: u64 = 128 << 20;
/// Where a raw image goes and starts.
const RAW_ADDRESS: u64 = 0x4008_0000;

/// A kernel's format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// The arm64 Linux boot protocol's `Image`.
    Image,
    /// A 64-bit little-endian ELF file for AArch64.
    Elf,
    /// Bytes.
    Raw,
}

impl Format {
    /// The format of a name in a description.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "Image" => Some(Self::Image),
            "elf" => Some(Self::Elf),
            "raw" => Some(Self::Raw),
            _ => None,
        }
    }

    /// Its name in a description.
    pub fn name(self) -> &'static str {
        match self {
            Self::Image => "Image",
            Self::Elf => "elf",
            Self::Raw => "raw",
        }
    }

    /// The format that a file's magic numbers tell.
    pub fn of(file: &[u8]) -> Self {
        if header::is_image(file) {
            Self::Image
        } else if elf::is_elf(file) {
            Self::Elf
        } else {
            Self::Raw
        }
    }
}

/// Bytes and where they go. Where `size` is more than there are bytes, zeros follow: guest memory
/// is zero before anything is loaded, so that nothing needs to write them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segment<'a> {
    /// Where the first byte goes.
    pub ipa: Ipa,
    /// The bytes.
    pub bytes: &'a [u8],
    /// How much memory it takes, in bytes; at least as much as there are bytes.
    pub size: u64,
}

impl Segment<'_> {
    /// The IPA behind its last byte. A plan's segments lie in RAM, so it does not wrap there.
    pub fn end(&self) -> Ipa {
        self.ipa.wrapping_add(self.size)
    }

    fn contains(&self, ipa: u64) -> bool {
        ipa.checked_sub(self.ipa.get()).is_some_and(|offset| offset < self.size)
    }

    fn overlaps(&self, other: &Segment<'_>) -> bool {
        self.ipa < other.end() && other.ipa < self.end()
    }
}

/// What goes where in a VM's RAM.
#[derive(Clone, Debug)]
pub struct LoadPlan<'a> {
    /// The kernel's format, told or recognised.
    pub format: Format,
    /// The kernel.
    pub kernel: Vec<Segment<'a>>,
    /// Where the boot vCPU starts.
    pub entry: Ipa,
    /// The initrd.
    pub initrd: Option<Segment<'a>>,
    /// Where the guest's device tree goes, page-aligned; x0 holds it at the start.
    pub tree: Ipa,
    /// How many bytes the tree may have there.
    pub tree_room: u64,
}

/// A VM's RAM as a range of IPAs.
#[derive(Clone, Copy)]
struct Ram {
    start: u64,
    end: u64,
}

impl Ram {
    /// Whether `size` bytes at `start` lie inside.
    fn holds(&self, start: u64, size: u64) -> bool {
        let end = start.checked_add(size);
        start >= self.start && end.is_some_and(|end| end <= self.end)
    }
}

impl<'a> LoadPlan<'a> {
    /// Plans a VM whose device tree needs `tree_room` bytes.
    pub fn new(vm: &VmConfig<'a>, tree_room: u64) -> Result<Self, ImageError> {
        let start = RAM_BASE.get();
        let ram = Ram { start, end: start.saturating_add(vm.memory()) };
        let format = vm.format.unwrap_or_else(|| Format::of(vm.kernel));
        let (kernel, entry) = match format {
            Format::Image => header::load(vm)?,
            Format::Elf => elf::load(vm)?,
            Format::Raw => raw(vm)?,
        };
        check_kernel(vm, &kernel, ram)?;
        let entry = vm.entry_address.unwrap_or(entry);
        if entry & 3 != 0 || !kernel.iter().any(|segment| segment.contains(entry)) {
            return Err(ImageError::Entry(entry));
        }
        let initrd = place_initrd(vm, &kernel, ram)?;
        let tree_room = align_up(tree_room, PAGE_SIZE).unwrap_or(u64::MAX);
        Ok(Self {
            format,
            tree: place_tree(tree_room, &kernel, initrd, ram)?,
            kernel,
            entry: Ipa::new(entry),
            initrd,
            tree_room,
        })
    }
}

fn raw<'a>(vm: &VmConfig<'a>) -> Result<(Vec<Segment<'a>>, u64), ImageError> {
    // Whoever says that it is raw may mean it; else it would start with what is no instruction.
    if vm.format.is_none() && vm.kernel.starts_with(&[0x1f, 0x8b]) {
        return Err(ImageError::Gzip);
    }
    let load = vm.load_address.unwrap_or(RAW_ADDRESS);
    let size = vm.kernel.len() as u64;
    Ok((vec![Segment { ipa: Ipa::new(load), bytes: vm.kernel, size }], load))
}

/// All segments lie in RAM, and none lies on another.
fn check_kernel(vm: &VmConfig<'_>, kernel: &[Segment<'_>], ram: Ram) -> Result<(), ImageError> {
    for (index, segment) in kernel.iter().enumerate() {
        let (start, size) = (segment.ipa.get(), segment.size);
        if !ram.holds(start, size) {
            let (from, to) = (ram.start, ram.end);
            let told = vm.load_address.is_some();
            let property = if told { "load-address" } else { "kernel" };
            return Err(ImageError::KernelPlace { property, start, size, from, to });
        }
        let mut before = kernel.iter().take(index);
        if let Some(other) = before.find(|other| other.overlaps(segment)) {
            return Err(ImageError::Overlap(start, size, other.ipa.get()));
        }
    }
    Ok(())
}

/// The first page above a kernel.
fn above(kernel: &[Segment<'_>]) -> Option<u64> {
    let end = kernel.iter().map(|segment| segment.end().get()).max()?;
    align_up(end, PAGE_SIZE)
}

/// Half of RAM above its start, as far as that is above the kernel too; else right above it.
fn place_initrd<'a>(
    vm: &VmConfig<'a>,
    kernel: &[Segment<'_>],
    ram: Ram,
) -> Result<Option<Segment<'a>>, ImageError> {
    let Some(bytes) = vm.initrd else {
        return Ok(None);
    };
    let size = bytes.len() as u64;
    let lowest = above(kernel).unwrap_or(ram.end);
    let fits = |start: &u64| ram.holds(*start, size);
    let places = [lowest.max(distant(ram)), lowest];
    let place = places
        .into_iter()
        .find(fits)
        .ok_or(ImageError::Initrd(size, ram.end.saturating_sub(lowest)))?;
    Ok(Some(Segment { ipa: Ipa::new(place), bytes, size }))
}

/// Where QEMU's board would put what goes above a kernel.
fn distant(ram: Ram) -> u64 {
    let half = ram.end.saturating_sub(ram.start) / 2;
    ram.start.saturating_add(half.min(INITRD_DISTANCE))
}

/// The start of RAM where that is free, else above the initrd.
fn place_tree(
    room: u64,
    kernel: &[Segment<'_>],
    initrd: Option<Segment<'_>>,
    ram: Ram,
) -> Result<Ipa, ImageError> {
    let free = |start: &u64| {
        let tree = Segment { ipa: Ipa::new(*start), bytes: &[], size: room };
        let taken = kernel.iter().chain(&initrd).any(|segment| segment.overlaps(&tree));
        ram.holds(*start, room) && !taken
    };
    let (lowest, distant) = match initrd {
        Some(initrd) => (align_up(initrd.end().get(), PAGE_SIZE), 0),
        None => (above(kernel), distant(ram)),
    };
    let lowest = lowest.unwrap_or(ram.end);
    let place = [ram.start, lowest.max(distant), lowest].into_iter().find(free);
    place.map(Ipa::new).ok_or(ImageError::TreePlace(room, ram.end.saturating_sub(lowest)))
}
