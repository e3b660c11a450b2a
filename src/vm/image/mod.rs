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
mod header;
#[cfg(test)]
pub(crate) mod tests;

use alloc::vec;
use alloc::vec::Vec;
use core::ops::Range;

use super::description::{Fault, Region, VmConfig};
use super::layout::RAM_BASE;
use crate::memory::stage2::Attributes;
use crate::memory::{BLOCK_SIZE, Ipa, PAGE_SIZE, align_up};

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

/// What goes where in a VM's memory.
#[derive(Clone, Debug)]
pub struct LoadPlan<'a> {
    /// The memory itself: IPA, bytes, and what the guest may do there. Each takes whole frames of
    /// 2 MiB, RAM first, and is mapped frame by frame ([`LoadPlan::piece`]).
    pub memory: Vec<(Ipa, u64, Attributes)>,
    /// The kernel, and what the description's regions hold.
    pub loads: Vec<Segment<'a>>,
    /// Where the boot vCPU starts.
    pub entry: Ipa,
    /// The initrd.
    pub initrd: Option<Segment<'a>>,
    /// Where the guest's device tree goes, page-aligned; x0 holds it at the start.
    pub tree: Ipa,
    /// How many bytes the tree may have there.
    pub tree_room: u64,
}

/// What one frame is to the VM: it is mapped as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Piece {
    /// The number of the frame, counted through the plan's memory.
    pub frame: u64,
    /// Where it is seen.
    pub ipa: Ipa,
    /// How much of it, from its start.
    pub bytes: u64,
    /// What the guest may do there.
    pub attributes: Attributes,
}

/// Whether `size` bytes at `start` lie in `ram`.
fn holds(ram: &Range<u64>, start: u64, size: u64) -> bool {
    let end = start.checked_add(size);
    start >= ram.start && end.is_some_and(|end| end <= ram.end)
}

impl<'a> LoadPlan<'a> {
    /// Plans a VM whose device tree needs `tree_room` bytes.
    pub fn new(vm: &VmConfig<'a>, tree_room: u64) -> Result<Self, Fault> {
        let start = RAM_BASE.get();
        let ram = start..start.saturating_add(vm.memory());
        let (kernel, entry) = match vm.format.unwrap_or_else(|| Format::of(vm.kernel)) {
            Format::Image => header::load(vm)?,
            Format::Elf => elf::load(vm)?,
            Format::Raw => raw(vm)?,
        };
        let mut loads = Vec::new();
        for segment in kernel {
            check_within(vm, &segment, &ram)?;
            add(vm, "kernel", &mut loads, segment)?;
        }
        let entry = vm.entry_address.unwrap_or(entry);
        if entry & 3 != 0 || !loads.iter().any(|segment| segment.contains(entry)) {
            let wanted = "a multiple of 4 within what is loaded";
            return Err(vm.fault("entry-address", format_args!("{entry:#x}"), wanted));
        }
        let mut memory = vec![(RAM_BASE, vm.memory(), Attributes::RAM)];
        for Region { name, address, size, data: bytes, read_only } in &vm.regions {
            let (ipa, size) = (Ipa::new(*address), *size);
            add(vm, name, &mut loads, Segment { ipa, bytes, size })?;
            if *read_only {
                memory.push((ipa, size, Attributes::ROM));
            }
        }
        let in_ram = |segment: &&Segment<'_>| holds(&ram, segment.ipa.get(), segment.size);
        let mut taken: Vec<_> = loads.iter().filter(in_ram).copied().collect();
        let initrd = vm.initrd.map(|bytes| {
            let size = bytes.len() as u64;
            let place = place(&ram, &taken, size, None).map_err(|room| {
                let wanted = format_args!("at most {room:#x}, the RAM above the kernel");
                vm.fault("initrd", format_args!("{size:#x} bytes"), wanted)
            });
            place.map(|ipa| Segment { ipa, bytes, size })
        });
        let initrd = initrd.transpose()?;
        taken.extend(initrd);
        let tree_room = align_up(tree_room, PAGE_SIZE).unwrap_or(u64::MAX);
        let tree = place(&ram, &taken, tree_room, Some(ram.start)).map_err(|room| {
            let wanted = format_args!("{tree_room:#x} for the device tree");
            vm.fault("memory-mib", format_args!("{room:#x} bytes free"), wanted)
        })?;
        Ok(Self { memory, loads, entry: Ipa::new(entry), initrd, tree, tree_room })
    }
}

impl LoadPlan<'_> {
    /// The piece of memory in which `ipa` lies.
    pub fn piece(&self, ipa: Ipa) -> Option<Piece> {
        let mut frame = 0u64;
        for (start, bytes, attributes) in &self.memory {
            let offset = ipa.get().wrapping_sub(start.get());
            if offset < *bytes {
                let frame = frame.wrapping_add(offset / BLOCK_SIZE);
                let before = offset - offset % BLOCK_SIZE;
                let (ipa, bytes) = (start.wrapping_add(before), (bytes - before).min(BLOCK_SIZE));
                return Some(Piece { frame, ipa, bytes, attributes: *attributes });
            }
            frame = frame.wrapping_add(bytes.div_ceil(BLOCK_SIZE));
        }
        None
    }
}

/// Adds a segment that lies on no other.
fn add<'a>(
    vm: &VmConfig<'a>,
    property: &str,
    loads: &mut Vec<Segment<'a>>,
    segment: Segment<'a>,
) -> Result<(), Fault> {
    let Segment { ipa, size, .. } = segment;
    if let Some(other) = loads.iter().find(|other| other.overlaps(&segment)) {
        let found = format_args!("{size:#x} bytes at {ipa} on what lies at {}", other.ipa);
        return Err(vm.fault(property, found, "them apart"));
    }
    loads.push(segment);
    Ok(())
}

fn raw<'a>(vm: &VmConfig<'a>) -> Result<(Vec<Segment<'a>>, u64), Fault> {
    // Whoever says that it is raw may mean it; else it would start with what is no instruction.
    if vm.format.is_none() && vm.kernel.starts_with(&[0x1f, 0x8b]) {
        let wanted = "it unpacked (or format = \"raw\")";
        return Err(vm.fault("kernel", "a file packed by gzip", wanted));
    }
    let load = vm.load_address.unwrap_or(RAW_ADDRESS);
    let size = vm.kernel.len() as u64;
    Ok((vec![Segment { ipa: Ipa::new(load), bytes: vm.kernel, size }], load))
}

/// Checks that a segment of the kernel lies in RAM.
fn check_within(vm: &VmConfig<'_>, part: &Segment<'_>, ram: &Range<u64>) -> Result<(), Fault> {
    if holds(ram, part.ipa.get(), part.size) {
        return Ok(());
    }
    let property = if vm.load_address.is_some() { "load-address" } else { "kernel" };
    let found = format_args!("{:#x} bytes to go to {}", part.size, part.ipa);
    let wanted = format_args!("them within RAM, {:#x} to {:#x}", ram.start, ram.end);
    Err(vm.fault(property, found, wanted))
}

/// Where `size` bytes are free: at `first`, else half of RAM above its start, as far as that is
/// above all that is taken, else right above that. The room there is an error's number.
fn place(
    ram: &Range<u64>,
    taken: &[Segment<'_>],
    size: u64,
    first: Option<u64>,
) -> Result<Ipa, u64> {
    let end = taken.iter().map(|segment| segment.end().get()).max();
    let lowest = end.and_then(|end| align_up(end, PAGE_SIZE)).unwrap_or(ram.end);
    let half = ram.end.saturating_sub(ram.start) / 2;
    let distant = ram.start.saturating_add(half.min(INITRD_DISTANCE));
    let mut places = first.into_iter().chain([lowest.max(distant), lowest]);
    let place = places.find(|start| {
        let piece = Segment { ipa: Ipa::new(*start), bytes: &[], size };
        holds(ram, *start, size) && !taken.iter().any(|other| other.overlaps(&piece))
    });
    place.map(Ipa::new).ok_or(ram.end.saturating_sub(lowest))
}

/// The little-endian number in `size` bytes at `offset` of a file.
fn number(file: &[u8], offset: u64, size: usize) -> Option<u64> {
    let bytes = file.get(usize::try_from(offset).ok()?..)?.get(..size)?;
    Some(bytes.iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte)))
}
