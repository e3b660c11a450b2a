//! VM descriptions: which VMs there are, and what each is made of.
//!
//! A description is a device tree blob that the boot loader hands over as the initrd. The guests'
//! images lie in it as properties, and a [`VmConfig`] borrows them from there. What is wrong is a
//! [`Fault`] of one line; a VM with a fault is refused and the others are kept.
//!
//! The binding is documented in `docs/vm-description.md`.

mod fault;
mod place;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use super::image::{Format, LoadPlan};
use super::layout::{MAX_VCPUS, RAM_BASE};
use super::tree;
pub use fault::Fault;

use crate::platform::fdt::{Fdt, Node, Property};

/// The longest name that a VM may have, in bytes.
pub const MAX_NAME: usize = 31;
/// The greatest `share`.
pub const MAX_SHARE: u32 = 10_000;
/// The least memory of a VM in MiB, and the unit of it: one level-2 block.
const MEMORY_UNIT_MIB: u32 = 2;
const MIB: u64 = 1 << 20;
/// What stands before the hypervisor's own lines on the console.
const OWN_NAME: &str = "mezzanine";

/// One VM, as described.
#[derive(Clone, Debug, PartialEq, Eq)]
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
    /// The weight of each vCPU.
    pub share: u32,
    /// The pCPUs that each vCPU may run on, bit n for pCPU n. After [`Description::vms`] these
    /// masks are exact: a dedicated vCPU's names the one pCPU that it owns, and a shared vCPU's
    /// names none that is owned.
    pub affinity: [u8; MAX_VCPUS],
    /// Whether each vCPU has a pCPU of its own and is never preempted.
    pub dedicated: bool,
    /// Whether it starts when it is made.
    pub autostart: bool,
}

impl<'a> VmConfig<'a> {
    /// Plans what goes where in its RAM.
    pub fn plan(&self) -> Result<LoadPlan<'a>, Fault<'a>> {
        let room = tree::room(self).map_err(|error| Fault::Tree(self.name, error))?;
        LoadPlan::new(self, room).map_err(|error| Fault::Image(self.name, error))
    }

    /// Its RAM in bytes.
    pub fn memory(&self) -> u64 {
        u64::from(self.memory_mib).saturating_mul(MIB)
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
    fn most_mib(&self) -> u64 {
        let end = 1u64.checked_shl(self.ipa_bits).unwrap_or(u64::MAX);
        end.saturating_sub(RAM_BASE.get()) / MIB
    }
}

/// A VM description.
#[derive(Clone, Copy, Debug)]
pub struct Description<'a> {
    tree: Fdt<'a>,
}

impl<'a> Description<'a> {
    /// Takes a blob for a description. `blob` must be aligned to four bytes.
    pub fn new(blob: &'a [u8]) -> Result<Self, Fault<'a>> {
        let tree = Fdt::new(blob).map_err(Fault::Blob)?;
        let root = tree.root();
        if !root.is_compatible("mezzanine,vms") {
            return Err(root.odd("compatible", "\"mezzanine,vms\"").into());
        }
        Ok(Self { tree })
    }

    /// The VMs in the description's order, each with its fault if it is refused.
    ///
    /// `bootargs` gives what replaces the `bootargs` of the VM of a name.
    pub fn vms(
        &self,
        limits: &Limits,
        bootargs: impl Fn(&str) -> Option<&'a str>,
    ) -> Vec<Result<VmConfig<'a>, Fault<'a>>> {
        // `__symbols__` and its like are what dtc adds for overlays.
        let nodes = self.tree.root().children().filter(|node| {
            node.name() != "images" && !node.name().starts_with("__") && !is_disabled(node)
        });
        let mut vms: Vec<Result<VmConfig<'a>, Fault<'a>>> = Vec::new();
        for node in nodes {
            let twin = vms.iter().flatten().any(|vm| vm.name == node.name());
            let vm = self.vm(node, limits).and_then(|mut vm| {
                if twin {
                    return Err(Fault::NameTwice(node));
                }
                vm.bootargs = bootargs(vm.name).unwrap_or(vm.bootargs);
                vm.plan()?;
                Ok(vm)
            });
            vms.push(vm);
        }
        place::memory(&mut vms, limits);
        place::pcpus(&mut vms, limits);
        vms
    }

    /// Reads one VM's node.
    fn vm(&self, node: Node<'a>, limits: &Limits) -> Result<VmConfig<'a>, Fault<'a>> {
        if !node.is_compatible("mezzanine,vm") {
            return Err(node
                .odd("compatible", "\"mezzanine,vm\", or the node's name images")
                .into());
        }
        check_name(node)?;
        check_known(node)?;
        let number = |name, least: u64, most: u64| {
            let value = node.optional(name, "one cell", |property| property.u32())?;
            match value {
                Some(found) if !(least..=most).contains(&found.into()) => {
                    Err(Fault::Number { node, property: name, found: found.into(), least, most })
                }
                value => Ok(value),
            }
        };
        let address = |name| node.optional(name, "an IPA of two cells (/bits/ 64)", Property::u64);
        let flag = |name| {
            let flag = node.optional(name, "no value", |p| p.bytes().is_empty().then_some(()))?;
            Ok::<_, Fault<'a>>(flag.is_some())
        };
        let cpus = number("cpus", 1, MAX_VCPUS as u64)?.unwrap_or(1) as usize;
        let kernel = self.image(node, "kernel")?;
        Ok(VmConfig {
            name: node.name(),
            cpus,
            memory_mib: match number("memory-mib", MEMORY_UNIT_MIB.into(), limits.most_mib())? {
                Some(mib) if mib.is_multiple_of(MEMORY_UNIT_MIB) => mib,
                _ => return Err(node.odd("memory-mib", "an even number of MiB").into()),
            },
            kernel: kernel.ok_or_else(|| node.odd("kernel", "a reference to an image"))?,
            format: node.optional("format", "\"Image\", \"elf\" or \"raw\"", |property| {
                Format::from_name(property.string()?)
            })?,
            load_address: address("load-address")?,
            entry_address: address("entry-address")?,
            initrd: self.image(node, "initrd")?,
            device_tree: self.image(node, "device-tree")?,
            bootargs: node.optional("bootargs", "one string", Property::string)?.unwrap_or(""),
            share: number("share", 1, MAX_SHARE.into())?.unwrap_or(100),
            affinity: affinity(node, cpus, limits)?,
            dedicated: flag("dedicated")?,
            autostart: !flag("no-autostart")?,
        })
    }

    /// The bytes of the image that a property refers to.
    fn image(&self, node: Node<'a>, name: &'static str) -> Result<Option<&'a [u8]>, Fault<'a>> {
        let wanted = "a reference to an image, as <&label>";
        let Some(handle) = node.optional(name, wanted, Property::u32)? else {
            return Ok(None);
        };
        let image = self.tree.phandle(handle);
        let images = self.tree.node("/images");
        let Some(image) = image.filter(|image| images.is_some() && image.parent() == images) else {
            return Err(node.odd(name, "a reference to a node in /images").into());
        };
        let data = image.required("data", "a file's bytes, as /incbin/(\"file\")", |property| {
            (!property.bytes().is_empty()).then_some(property.bytes())
        })?;
        Ok(Some(data))
    }
}

/// Whether a VM is to be left out. Other values of `status` go on to the VM's checks.
fn is_disabled(node: &Node<'_>) -> bool {
    node.property("status").and_then(|status| status.string()) == Some("disabled")
}

/// The name goes before each of the VM's lines, and before `.bootargs=` on the command line.
fn check_name(node: Node<'_>) -> Result<(), Fault<'_>> {
    let name = node.name();
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b",._+-".contains(&byte);
    if name.len() > MAX_NAME || !name.bytes().all(plain) || name == OWN_NAME {
        return Err(Fault::Name(node));
    }
    Ok(())
}

/// The properties that a VM may have.
const KNOWN: [&str; 17] = [
    "cpus",
    "memory-mib",
    "kernel",
    "format",
    "load-address",
    "entry-address",
    "initrd",
    "device-tree",
    "bootargs",
    "share",
    "affinity",
    "dedicated",
    "no-autostart",
    "compatible",
    "status",
    "phandle",
    "linux,phandle",
];

/// A property that is misspelt would silently leave its default in force, so none is let pass.
fn check_known(node: Node<'_>) -> Result<(), Fault<'_>> {
    let unknown = node.properties().find(|property| !KNOWN.contains(&property.name()));
    if let Some(property) = unknown {
        let nearest = KNOWN.iter().min_by_key(|known| distance(known, property.name()));
        let nearest = nearest.filter(|known| distance(known, property.name()) <= known.len() / 2);
        return Err(Fault::Unknown(node, property, nearest.copied()));
    }
    match node.children().next() {
        Some(child) => Err(Fault::Child(child)),
        None if matches!(
            node.property("status").map(|s| s.string()),
            None | Some(Some("okay"))
        ) =>
        {
            Ok(())
        }
        None => Err(node.odd("status", "\"okay\" or \"disabled\"").into()),
    }
}

/// How many letters must be changed, added or left out to make one word of the other
/// (Levenshtein). Words of more than 31 letters are as far as can be.
fn distance(one: &str, other: &str) -> usize {
    let mut row: [usize; 32] = core::array::from_fn(|index| index);
    if one.len() > 31 || other.len() > 31 {
        return usize::MAX;
    }
    for (line, letter) in one.bytes().enumerate() {
        let mut diagonal = core::mem::replace(&mut row[0], line.saturating_add(1));
        let mut left = row[0];
        for (cell, against) in row.iter_mut().skip(1).zip(other.bytes()) {
            let change = diagonal.saturating_add(usize::from(letter != against));
            diagonal = *cell;
            left = change.min(diagonal.min(left).saturating_add(1));
            *cell = left;
        }
    }
    row.get(other.len()).copied().unwrap_or(usize::MAX)
}

/// The masks of `affinity`: one for each vCPU, or one for all.
fn affinity<'a>(
    node: Node<'a>,
    cpus: usize,
    limits: &Limits,
) -> Result<[u8; MAX_VCPUS], Fault<'a>> {
    let mut masks = [limits.all(); MAX_VCPUS];
    let wanted = "one mask for each vCPU, or one for all";
    let cells = node.optional("affinity", wanted, |property| {
        property.cells().filter(|cells| cells.len() == 1 || cells.len() == cpus)
    })?;
    let Some(cells) = cells else { return Ok(masks) };
    for (vcpu, (mask, cell)) in masks.iter_mut().zip(cells.cycle()).take(cpus).enumerate() {
        // A mask may name pCPUs that this machine lacks, but not only such.
        *mask &= cell as u8;
        if *mask == 0 {
            return Err(Fault::Affinity { node, vcpu, found: cell, pcpus: limits.pcpus });
        }
    }
    Ok(masks)
}
