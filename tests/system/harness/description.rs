//! VM descriptions, written by the tests instead of by dtc.

use super::Failure;
use mezzanine_tools::root;
use std::fs;
use vm_fdt::FdtWriter;

/// The phandle of the first image; the others follow.
const FIRST_PHANDLE: u32 = 1;

/// A VM's node: a name and properties, right or wrong.
#[derive(Clone, Debug)]
pub struct Vm {
    name: String,
    /// Properties that refer to an image, and the image's file.
    images: Vec<(&'static str, String)>,
    /// Images that are no files: their names, and what is in them.
    made: Vec<(String, Vec<u8>)>,
    properties: Vec<(String, Vec<u8>)>,
    /// A node within: read-only memory at an IPA, so many bytes, with a guest program in it.
    rom: Option<(u64, u32, String)>,
}

impl Vm {
    /// A VM of 16 MiB.
    pub fn new(name: &str) -> Self {
        let vm = Vm {
            name: name.into(),
            images: Vec::new(),
            made: Vec::new(),
            properties: Vec::new(),
            rom: None,
        };
        vm.memory(16)
    }

    /// Debian's Linux with `cpus` vCPUs, and these words on its command line.
    pub fn linux(name: &str, cpus: u32, words: &str) -> Self {
        let vm = Vm::new(name).cpus(cpus).memory(256).bootargs(&format!("console=ttyAMA0 {words}"));
        vm.kernel("debian/Image").image("initrd", "linux.cpio")
    }

    /// The guest program that it starts: a name from `target/guests`, `.img` or what it says.
    pub fn kernel(self, guest: &str) -> Self {
        self.image("kernel", guest)
    }

    /// A reference to a file of `target/guests`; the last of a property counts.
    pub fn image(mut self, property: &'static str, file: &str) -> Self {
        self.images.retain(|(present, _)| *present != property);
        self.images.push((property, file.into()));
        self
    }

    /// A reference to an image of these bytes, in the place of another.
    pub fn bytes(mut self, property: &'static str, bytes: Vec<u8>) -> Self {
        self.images.retain(|(present, _)| *present != property);
        let name = format!("{}-{property}", self.name);
        self.made.push((name.clone(), bytes));
        self.image(property, &name)
    }

    /// Read-only memory of `size` bytes at `ipa`, with a guest program's file in it.
    pub fn rom(mut self, ipa: u64, size: u32, guest: &str) -> Self {
        self.rom = Some((ipa, size, guest.into()));
        self
    }

    /// No `kernel` at all.
    pub fn without_kernel(mut self) -> Self {
        self.images.clear();
        self
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// `cpus`.
    pub fn cpus(self, count: u32) -> Self {
        self.cell("cpus", count)
    }

    /// `memory-mib`.
    pub fn memory(self, mib: u32) -> Self {
        self.cell("memory-mib", mib)
    }

    /// `bootargs`.
    pub fn bootargs(self, words: &str) -> Self {
        self.text("bootargs", words)
    }

    /// `share`.
    pub fn share(self, weight: u32) -> Self {
        self.cell("share", weight)
    }

    /// `affinity`: a mask for each vCPU, or one for all.
    pub fn affinity(self, masks: &[u32]) -> Self {
        self.cells("affinity", masks)
    }

    /// `mpidr`, and with it as many vCPUs.
    pub fn mpidr(self, affinities: &[u32]) -> Self {
        self.cpus(affinities.len() as u32).cells("mpidr", affinities)
    }

    /// `dedicated`.
    pub fn dedicated(self) -> Self {
        self.property("dedicated", Vec::new())
    }

    /// `no-autostart`.
    pub fn no_autostart(self) -> Self {
        self.property("no-autostart", Vec::new())
    }

    /// A property of one cell.
    pub fn cell(self, name: &str, value: u32) -> Self {
        self.property(name, value.to_be_bytes().into())
    }

    /// A property of cells.
    fn cells(self, name: &str, cells: &[u32]) -> Self {
        self.property(name, cells.iter().flat_map(|cell| cell.to_be_bytes()).collect())
    }

    /// A property of one string.
    pub fn text(self, name: &str, value: &str) -> Self {
        let mut bytes = value.as_bytes().to_vec();
        bytes.push(0);
        self.property(name, bytes)
    }

    /// A property of any bytes; the last of a name counts.
    pub fn property(mut self, name: &str, bytes: Vec<u8>) -> Self {
        self = self.without(name);
        self.properties.push((name.into(), bytes));
        self
    }

    /// Takes a property away.
    pub fn without(mut self, name: &str) -> Self {
        self.properties.retain(|(present, _)| present != name);
        self
    }
}

/// A whole description.
#[derive(Clone, Debug, Default)]
pub struct Description {
    vms: Vec<Vm>,
}

impl Description {
    /// One more VM.
    pub fn push(&mut self, vm: Vm) {
        self.vms.push(vm);
    }

    /// Whether no VM was described.
    pub fn is_empty(&self) -> bool {
        self.vms.is_empty()
    }

    /// The blob: each image once, however many VMs start it.
    pub fn blob(&self) -> Result<Vec<u8>, Failure> {
        let mut guests: Vec<&str> = Vec::new();
        let kernels = self.vms.iter().flat_map(|vm| vm.images.iter().map(|(_, guest)| guest));
        let roms = self.vms.iter().flat_map(|vm| vm.rom.as_ref().map(|(_, _, guest)| guest));
        for guest in kernels.chain(roms) {
            if !guests.contains(&guest.as_str()) {
                guests.push(guest);
            }
        }
        let mut images = Vec::new();
        for &guest in &guests {
            let mut made = self.vms.iter().flat_map(|vm| &vm.made);
            let bytes = match made.find(|(name, _)| name == guest) {
                Some((_, bytes)) => bytes.clone(),
                None => image(guest)?,
            };
            images.push((guest, bytes));
        }
        self.write(&guests, &images)
            .map_err(|error| Failure::new(format!("writing the description: {error}")))
    }

    fn write(&self, guests: &[&str], images: &[(&str, Vec<u8>)]) -> Result<Vec<u8>, vm_fdt::Error> {
        let mut tree = FdtWriter::new()?;
        let root = tree.begin_node("")?;
        tree.property_string("compatible", "mezzanine,vms")?;
        let node = tree.begin_node("images")?;
        for ((guest, data), phandle) in images.iter().zip(FIRST_PHANDLE..) {
            let image = tree.begin_node(&guest.replace(['.', '/'], "-"))?;
            tree.property("data", data)?;
            tree.property_phandle(phandle)?;
            tree.end_node(image)?;
        }
        tree.end_node(node)?;
        for vm in &self.vms {
            let node = tree.begin_node(&vm.name)?;
            tree.property_string("compatible", "mezzanine,vm")?;
            let phandle = |image: &str| {
                let found = guests.iter().zip(FIRST_PHANDLE..).find(|(guest, _)| **guest == image);
                found.map_or(0, |(_, phandle)| phandle)
            };
            for (property, image) in &vm.images {
                tree.property_u32(property, phandle(image))?;
            }
            for (name, bytes) in &vm.properties {
                tree.property(name, bytes)?;
            }
            if let Some((ipa, size, image)) = &vm.rom {
                let rom = tree.begin_node("rom")?;
                tree.property_u64("address", *ipa)?;
                tree.property_u32("size", *size)?;
                tree.property_u32("data", phandle(image))?;
                tree.property_null("read-only")?;
                tree.end_node(rom)?;
            }
            tree.end_node(node)?;
        }
        tree.end_node(root)?;
        tree.finish()
    }
}

/// The bytes of a guest program.
pub fn image(guest: &str) -> Result<Vec<u8>, Failure> {
    let file = if guest.contains(['.', '/']) { guest.to_owned() } else { format!("{guest}.img") };
    let path = root().join("target/guests").join(file);
    fs::read(&path).map_err(|error| Failure::new(format!("{}: {error}", path.display())))
}
