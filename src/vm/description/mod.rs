//! VM descriptions: which VMs there are, and what each is made of.
//!
//! A description is a device tree blob that the boot loader hands over as the initrd. The guests'
//! images lie in it as properties, and a [`VmConfig`] borrows them from there. What is wrong is a
//! [`Fault`] of one line; a VM with a fault is refused and the others are kept.
//!
//! The binding is documented in `docs/vm-description.md`.

mod fault;
mod place;
mod region;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use super::image::{Format, LoadPlan};
use super::layout::{MAX_SPIS, MAX_VCPUS, RAM_BASE};
use super::tree;
pub use fault::Fault;
pub use region::Region;

use crate::memory::BLOCK_SIZE;
use crate::platform::fdt::{Fdt, Node, Odd, Property};

/// The longest name that a VM may have, in bytes.
pub const MAX_NAME: usize = 31;
/// The greatest `share`.
pub const MAX_SHARE: u32 = 10_000;
/// The least memory of a VM in MiB, and the unit of it: one level-2 block.
const MEMORY_UNIT_MIB: u32 = 2;
/// The unit of the number of SPIs, that of GICD_TYPER.ITLinesNumber.
const SPI_UNIT: u32 = 32;
const MIB: u64 = 1 << 20;
/// What stands before the hypervisor's own lines on the console, and before its monitor's.
const OWN_NAMES: [&str; 2] = ["mezzanine", "monitor"];

/// One VM, as described.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VmConfig<'a> {
    /// Its name: the node's.
    pub name: &'a str,
    /// How many vCPUs it has, 1 to [`MAX_VCPUS`].
    pub cpus: usize,
    /// Its RAM in MiB, even.
    pub memory_mib: u32,
    /// The image to start.
    pub kernel: &'a [u8],
    /// The image's format, where the description says so.
    pub format: Option<Format>,
    /// The IPA where the image goes, where the description says so.
    pub load_address: Option<u64>,
    /// The IPA where the image starts, where the description says so.
    pub entry_address: Option<u64>,
    /// The initrd.
    pub initrd: Option<&'a [u8]>,
    /// The guest's own device tree, to be patched; else one is generated.
    pub device_tree: Option<&'a [u8]>,
    /// The guest's command line.
    pub bootargs: &'a str,
    /// What replaces it where nobody is at the keyboard.
    pub batch_bootargs: Option<&'a str>,
    /// The weight of each vCPU.
    pub share: u32,
    /// The pCPUs that each vCPU may run on, bit n for pCPU n. After [`read`] these masks are exact:
    /// a dedicated vCPU's names the one pCPU that it owns, and a shared vCPU's names none that is
    /// owned.
    pub affinity: [u8; MAX_VCPUS],
    /// The affinity of each vCPU as it is in MPIDR_EL1: Aff2, Aff1, and an Aff0 of 0 to 15.
    pub mpidr: [u32; MAX_VCPUS],
    /// Whether each vCPU has a pCPU of its own and is never preempted.
    pub dedicated: bool,
    /// How many SPIs its interrupt controller has, a multiple of 32.
    pub spis: usize,
    /// Whether it starts when it is made.
    pub autostart: bool,
    /// What else lies in its memory.
    pub regions: Vec<Region<'a>>,
}

impl<'a> VmConfig<'a> {
    /// A VM of which nothing is said.
    pub fn new(name: &'a str) -> Self {
        Self {
            name,
            cpus: 1,
            share: 100,
            mpidr: core::array::from_fn(|vcpu| vcpu as u32),
            spis: SPI_UNIT as usize,
            autostart: true,
            ..Self::default()
        }
    }

    /// Plans what goes where in its RAM.
    pub fn plan(&self) -> Result<LoadPlan<'a>, Fault> {
        LoadPlan::new(self, tree::size(self)?)
    }

    /// A fault of its property: what was found and what was wanted.
    pub fn fault(&self, property: &str, found: impl Display, wanted: impl Display) -> Fault {
        Fault::new(format_args!("/{}: {property}", self.name), found, wanted)
    }

    /// Its RAM in bytes.
    pub fn memory(&self) -> u64 {
        u64::from(self.memory_mib).saturating_mul(MIB)
    }

    /// The frames of 2 MiB that it needs.
    pub fn frames(&self) -> u64 {
        let regions = self.regions.iter().map(Region::frames);
        regions.fold(self.memory().div_ceil(BLOCK_SIZE), u64::saturating_add)
    }

    /// The affinities of the vCPUs that it has.
    pub fn affinities(&self) -> &[u32] {
        self.mpidr.get(..self.cpus).unwrap_or(&self.mpidr)
    }

    /// The masks of the vCPUs that it has.
    fn masks(&self) -> &[u8] {
        self.affinity.get(..self.cpus).unwrap_or(&self.affinity)
    }
}

/// What the machine can give to VMs.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// How many pCPUs run, 1 to 8.
    pub pcpus: usize,
    /// Bytes of memory that VMs may have.
    pub memory: u64,
    /// Bits of an IPA.
    pub ipa_bits: u32,
}

impl Limits {
    /// The mask of all pCPUs.
    fn all(&self) -> u8 {
        u8::MAX.checked_shr(8u32.saturating_sub(self.pcpus as u32)).unwrap_or(0)
    }

    /// The MiB of RAM that fit between its base and the end of the IPA space.
    fn most_mib(&self) -> u32 {
        let end = 1u64.checked_shl(self.ipa_bits).unwrap_or(u64::MAX);
        let most = end.saturating_sub(RAM_BASE.get()) / MIB;
        u32::try_from(most).unwrap_or(u32::MAX)
    }
}

/// The VMs of a description in its order, each with its fault if it is refused.
///
/// `blob` must be aligned to four bytes. `bootargs` gives what replaces the `bootargs` of the VM of
/// a name.
pub fn read<'a>(
    blob: &'a [u8],
    limits: &Limits,
    bootargs: impl Fn(&str) -> Option<&'a str>,
) -> Result<Vec<Result<VmConfig<'a>, Fault>>, Fault> {
    let tree = Fdt::new(blob).map_err(|error| Fault::from(error).within("/: VM description"))?;
    let root = tree.root();
    if !root.is_compatible("mezzanine,vms") {
        return Err(root.odd("compatible", "\"mezzanine,vms\"").into());
    }
    // `__symbols__` and its like are what dtc adds for overlays.
    let nodes = root.children().filter(|node| {
        let status = node.property("status").and_then(|status| status.string());
        let is_other = node.name() == "images" || node.name().starts_with("__");
        !is_other && status != Some("disabled")
    });
    let mut vms: Vec<Result<VmConfig<'a>, Fault>> = Vec::new();
    for node in nodes {
        let twin = vms.iter().flatten().any(|vm| vm.name == node.name());
        let vm = vm(&tree, node, limits).and_then(|mut vm| {
            if twin {
                return Err(vm.fault("name", "it again", "one of its own"));
            }
            vm.bootargs = bootargs(vm.name).unwrap_or(vm.bootargs);
            vm.plan()?;
            Ok(vm)
        });
        vms.push(vm);
    }
    place::memory(&mut vms, limits);
    place::pcpus(&mut vms, limits);
    Ok(vms)
}

/// Reads one VM's node.
fn vm<'a>(tree: &Fdt<'a>, node: Node<'a>, limits: &Limits) -> Result<VmConfig<'a>, Fault> {
    const COMPATIBLE: &str = "\"mezzanine,vm\", or the node's name images";
    let mut vm = VmConfig::new(node.name());
    if !node.is_compatible("mezzanine,vm") {
        return Err(node.odd("compatible", COMPATIBLE).into());
    }
    check_name(&vm)?;
    for property in node.properties() {
        let read = Reader { tree, vm: node, property };
        match property.name {
            "cpus" => vm.cpus = read.number(1, MAX_VCPUS as u32)? as usize,
            "memory-mib" => vm.memory_mib = read.number(MEMORY_UNIT_MIB, limits.most_mib())?,
            "kernel" => vm.kernel = read.image()?,
            "format" => {
                let wanted = "\"Image\", \"elf\" or \"raw\"";
                vm.format = Some(read.as_a(wanted, |name| Format::from_name(name.string()?))?);
            }
            "load-address" => vm.load_address = Some(read.address()?),
            "entry-address" => vm.entry_address = Some(read.address()?),
            "initrd" => vm.initrd = Some(read.image()?),
            "device-tree" => vm.device_tree = Some(read.image()?),
            "bootargs" => vm.bootargs = read.as_a("one string", Property::string)?,
            "batch-bootargs" => {
                vm.batch_bootargs = Some(read.as_a("one string", Property::string)?);
            }
            "share" => vm.share = read.number(1, MAX_SHARE)?,
            "spis" => vm.spis = read.number(SPI_UNIT, MAX_SPIS as u32)? as usize,
            "dedicated" => vm.dedicated = read.flag()?,
            "no-autostart" => vm.autostart = !read.flag()?,
            "status" => read.as_a("\"okay\" or \"disabled\"", |status| {
                (status.string() == Some("okay")).then_some(())
            })?,
            // `affinity` and `mpidr` are read when the number of vCPUs is known.
            "affinity" | "mpidr" | "compatible" | "phandle" | "linux,phandle" => {}
            name => {
                let wanted = format!("no such property{}", perhaps(name));
                return Err(vm.fault(name, property, wanted));
            }
        }
    }
    if !vm.memory_mib.is_multiple_of(MEMORY_UNIT_MIB) || vm.memory_mib == 0 {
        return Err(node.odd("memory-mib", "an even number of MiB").into());
    }
    if !vm.spis.is_multiple_of(SPI_UNIT as usize) {
        return Err(node.odd("spis", "a multiple of 32").into());
    }
    if vm.kernel.is_empty() {
        return Err(node.odd("kernel", IMAGE_WANTED).into());
    }
    vm.affinity = affinity(node, &vm, limits)?;
    vm.mpidr = mpidr(node, &vm)?;
    for child in node.children() {
        let region = Region::read(tree, child, &vm, limits)?;
        vm.regions.push(region);
    }
    Ok(vm)
}

const IMAGE_WANTED: &str = "a reference to an image, as <&label>";

/// A property of a VM, to be read as what it should be.
struct Reader<'s, 'a> {
    tree: &'s Fdt<'a>,
    vm: Node<'a>,
    property: Property<'a>,
}

impl<'a> Reader<'_, 'a> {
    fn as_a<T>(
        &self,
        wanted: &'static str,
        read: impl FnOnce(&Property<'a>) -> Option<T>,
    ) -> Result<T, Odd<'a>> {
        read(&self.property).ok_or_else(|| self.vm.odd(self.property.name, wanted))
    }

    fn number(&self, least: u32, most: u32) -> Result<u32, Fault> {
        let number = self.as_a("one cell", Property::u32)?;
        if (least..=most).contains(&number) {
            return Ok(number);
        }
        let place = format_args!("{}: {}", self.vm, self.property.name);
        Err(Fault::new(place, number, format_args!("{least} to {most}")))
    }

    fn address(&self) -> Result<u64, Odd<'a>> {
        self.as_a("an IPA of two cells (/bits/ 64)", Property::u64)
    }

    fn flag(&self) -> Result<bool, Odd<'a>> {
        self.as_a("no value", |flag| flag.bytes.is_empty().then_some(true))
    }

    /// The bytes of the image that it refers to.
    fn image(&self) -> Result<&'a [u8], Odd<'a>> {
        let handle = self.as_a(IMAGE_WANTED, Property::u32)?;
        let image = self.as_a("a reference to a node in /images", |_| {
            let images = self.tree.node("/images")?;
            self.tree.phandle(handle).filter(|image| image.parent() == Some(images))
        })?;
        image.required("data", "a file's bytes, as /incbin/(\"file\")", |data| {
            (!data.bytes.is_empty()).then_some(data.bytes)
        })
    }
}

/// The name goes before each of the VM's lines, and before `.bootargs=` on the command line.
fn check_name(vm: &VmConfig<'_>) -> Result<(), Fault> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b",._+-".contains(&byte);
    let own = OWN_NAMES.contains(&vm.name);
    if vm.name.len() <= MAX_NAME && vm.name.bytes().all(plain) && !own {
        return Ok(());
    }
    let wanted = "at most 31 of letters, digits and ,._+-, and not mezzanine or monitor";
    Err(vm.fault("name", format_args!("{} bytes", vm.name.len()), wanted))
}

/// What may have been meant by a property that no VM has: the known name that shares most letters
/// with it at its start and end, if these are half of it.
///
/// A property that is misspelt would silently leave its default in force, so none is let pass.
fn perhaps(name: &str) -> String {
    const KNOWN: &str = "cpus memory-mib kernel format load-address entry-address initrd \
                         device-tree bootargs batch-bootargs share affinity mpidr dedicated \
                         spis no-autostart status";
    let shared = |known: &&str| {
        let same = |(one, other): &(u8, u8)| one == other;
        let start = known.bytes().zip(name.bytes()).take_while(same).count();
        let end = known.bytes().rev().zip(name.bytes().rev()).take_while(same).count();
        start.saturating_add(end).min(known.len())
    };
    let nearest = KNOWN.split(' ').max_by_key(shared);
    let nearest = nearest.filter(|known| shared(known).saturating_mul(2) >= known.len());
    nearest.map_or(String::new(), |known| format!(" (perhaps {known})"))
}

/// The masks of `affinity`: one for each vCPU, or one for all.
fn affinity(node: Node<'_>, vm: &VmConfig<'_>, limits: &Limits) -> Result<[u8; MAX_VCPUS], Fault> {
    const WANTED: &str = "one mask for each vCPU, or one for all";
    let mut masks = [limits.all(); MAX_VCPUS];
    let cells = node.optional("affinity", WANTED, |property| {
        property.cells().filter(|cells| cells.len() == 1 || cells.len() == vm.cpus)
    })?;
    let cells = cells.into_iter().flat_map(|cells| cells.cycle());
    for (vcpu, (mask, cell)) in masks.iter_mut().zip(cells).take(vm.cpus).enumerate() {
        // A mask may name pCPUs that this machine lacks, but not only such.
        *mask &= cell as u8;
        if *mask == 0 {
            let found = format_args!("{cell:#x} for vCPU {vcpu}");
            let pcpus = limits.pcpus;
            let wanted =
                format_args!("at least one of the {pcpus} lowest bits, the pCPUs there are");
            return Err(vm.fault("affinity", found, wanted));
        }
    }
    Ok(masks)
}

/// The affinities of `mpidr`: one for each vCPU. An Aff0 above 15 would take a range selector to
/// send an SGI to.
fn mpidr(node: Node<'_>, vm: &VmConfig<'_>) -> Result<[u32; MAX_VCPUS], Fault> {
    let mut mpidr = vm.mpidr;
    let cells = node.optional("mpidr", "one affinity for each vCPU", |property| {
        property.cells().filter(|cells| cells.len() == vm.cpus)
    })?;
    mpidr.iter_mut().zip(cells.into_iter().flatten()).for_each(|(own, cell)| *own = cell);
    for (vcpu, cell) in mpidr.iter().enumerate().take(vm.cpus) {
        let wanted = if cell & !0xff_ff0f != 0 {
            "0x00AABB0C: Aff2, Aff1, and an Aff0 of 0 to 15"
        } else if mpidr.iter().take(vcpu).any(|other| other == cell) {
            "an affinity that no vCPU before it has"
        } else {
            continue;
        };
        return Err(vm.fault("mpidr", format_args!("{cell:#x} for vCPU {vcpu}"), wanted));
    }
    Ok(mpidr)
}
