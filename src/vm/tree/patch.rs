//! The user's own tree, with the least of changes: RAM, the initrd and the command line of the
//! VM, and PSCI by HVC.
//!
//! The tree is written anew while the old one is walked, so everything else stays as it is: nodes
//! and properties in their order, `/memreserve/` too. Left out are only the `__symbols__` and
//! `__fixups__` that dtc adds for overlays.

use alloc::vec::Vec;

use vm_fdt::{FdtReserveEntry, FdtWriter, FdtWriterNode};

use super::TreeError;
use crate::platform::fdt::{Fdt, Node, Property};
use crate::vm::description::VmConfig;
use crate::vm::image::Segment;
use crate::vm::layout::RAM_BASE;

pub(super) fn patch<'a>(
    blob: &'a [u8],
    vm: &VmConfig<'_>,
    initrd: Option<Segment<'_>>,
) -> Result<Vec<u8>, TreeError<'a>> {
    let tree = Fdt::new(blob).map_err(TreeError::Blob)?;
    let entries = tree.reservations().map(|(address, size)| FdtReserveEntry::new(address, size));
    let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
    let mut patcher = Patcher {
        writer: FdtWriter::new_with_mem_reserv(&entries)?,
        vm,
        initrd,
        ram: ram_reg(tree.root(), vm)?,
    };
    patcher.root(tree.root())?;
    Ok(patcher.writer.finish()?)
}

/// RAM as a `reg` of the root's `#address-cells` and `#size-cells`.
fn ram_reg<'a>(root: Node<'a>, vm: &VmConfig<'_>) -> Result<Vec<u8>, TreeError<'a>> {
    let (address_cells, size_cells) = root.child_cells().map_err(TreeError::Property)?;
    let mut reg = Vec::new();
    let numbers = [
        ("#address-cells", address_cells, RAM_BASE.get()),
        ("#size-cells", size_cells, vm.memory()),
    ];
    for (name, cells, number) in numbers {
        match (cells, u32::try_from(number)) {
            (2, _) => reg.extend(number.to_be_bytes()),
            (1, Ok(number)) => reg.extend(number.to_be_bytes()),
            _ => {
                let wanted = "as many cells as the VM's RAM needs";
                return Err(TreeError::Property(root.odd(name, wanted)));
            }
        }
    }
    Ok(reg)
}

struct Patcher<'s, 'a> {
    writer: FdtWriter,
    vm: &'s VmConfig<'a>,
    initrd: Option<Segment<'a>>,
    ram: Vec<u8>,
}

/// What a node is to the patcher.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Memory,
    Chosen,
    Psci,
    Overlay,
    Other,
}

impl Part {
    fn of(node: Node<'_>) -> Self {
        let kind = node.property("device_type").and_then(|kind| kind.string());
        match node.name() {
            _ if kind == Some("memory") => Self::Memory,
            "chosen" => Self::Chosen,
            name if name.starts_with("__") => Self::Overlay,
            _ => Self::below(node),
        }
    }

    /// The same for a node further down: firmware may have one of its own.
    fn below(node: Node<'_>) -> Self {
        let names = ["arm,psci", "arm,psci-0.2", "arm,psci-1.0"];
        if names.iter().any(|name| node.is_compatible(name)) { Self::Psci } else { Self::Other }
    }
}

impl Patcher<'_, '_> {
    fn root<'t>(&mut self, root: Node<'t>) -> Result<(), TreeError<'t>> {
        let token = self.open(root, Part::Other)?;
        let parts = || root.children().map(Part::of);
        if !parts().any(|part| part == Part::Memory) {
            let memory = self.writer.begin_node("memory@40000000")?;
            self.writer.property_string("device_type", "memory")?;
            self.writer.property("reg", &self.ram)?;
            self.writer.end_node(memory)?;
        }
        if !parts().any(|part| part == Part::Chosen) {
            let chosen = self.writer.begin_node("chosen")?;
            self.chosen()?;
            self.writer.end_node(chosen)?;
        }
        let mut memory_done = false;
        for child in root.children() {
            match Part::of(child) {
                Part::Overlay => {}
                // The first stands for all of RAM.
                Part::Memory if memory_done => {}
                part => {
                    memory_done |= part == Part::Memory;
                    self.subtree(child, part)?;
                }
            }
        }
        Ok(self.writer.end_node(token)?)
    }

    /// Writes a node and all below it. Without recursion: the stack of EL2 is small.
    fn subtree<'t>(&mut self, node: Node<'t>, part: Part) -> Result<(), TreeError<'t>> {
        let mut open = alloc::vec![(self.open(node, part)?, node.children())];
        while let Some((_, children)) = open.last_mut() {
            if let Some(child) = children.next() {
                open.push((self.open(child, Part::below(child))?, child.children()));
            } else if let Some((token, _)) = open.pop() {
                self.writer.end_node(token)?;
            }
        }
        Ok(())
    }

    /// Opens a node and writes its properties.
    fn open<'t>(&mut self, node: Node<'t>, part: Part) -> Result<FdtWriterNode, TreeError<'t>> {
        let token = self.begin(node)?;
        for property in node.properties() {
            if !self.replaces(part, property.name()) {
                self.property(node, property)?;
            }
        }
        match part {
            Part::Memory => self.writer.property("reg", &self.ram)?,
            Part::Chosen => self.chosen()?,
            Part::Psci => self.writer.property_string("method", "hvc")?,
            Part::Overlay | Part::Other => {}
        }
        Ok(token)
    }

    /// Whether the patched node gets another property of this name.
    fn replaces(&self, part: Part, name: &str) -> bool {
        match part {
            Part::Memory => name == "reg",
            Part::Psci => name == "method",
            Part::Chosen if name == "bootargs" => !self.vm.bootargs.is_empty(),
            // An initrd of the machine that the tree was made for is not there.
            Part::Chosen => matches!(name, "linux,initrd-start" | "linux,initrd-end"),
            Part::Overlay | Part::Other => false,
        }
    }

    fn chosen(&mut self) -> Result<(), vm_fdt::Error> {
        if !self.vm.bootargs.is_empty() {
            self.writer.property_string("bootargs", self.vm.bootargs)?;
        }
        if let Some(initrd) = self.initrd {
            self.writer.property_u64("linux,initrd-start", initrd.ipa.get())?;
            self.writer.property_u64("linux,initrd-end", initrd.end().get())?;
        }
        Ok(())
    }

    fn begin<'t>(&mut self, node: Node<'t>) -> Result<FdtWriterNode, TreeError<'t>> {
        let name = node.name();
        self.writer.begin_node(name).map_err(|_| TreeError::Name(node, name))
    }

    fn property<'t>(
        &mut self,
        node: Node<'t>,
        property: Property<'t>,
    ) -> Result<(), TreeError<'t>> {
        let name = property.name();
        let written = self.writer.property(name, property.bytes());
        written.map_err(|_| TreeError::Name(node, name))
    }
}
