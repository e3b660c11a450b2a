//! The user's own tree, with the least of changes: RAM, the initrd and the command line of the
//! VM, and PSCI by HVC.
//!
//! The tree is written anew while the old one is walked, so everything else stays as it is: nodes
//! and properties in their order, `/memreserve/` too. Left out are only the `__symbols__` and
//! `__fixups__` that dtc adds for overlays.

use alloc::vec;
use alloc::vec::Vec;

use vm_fdt::{Error, FdtReserveEntry, FdtWriter, FdtWriterNode};

use super::{numbers, text};
use crate::platform::fdt::{Fdt, Node, Odd};
use crate::vm::description::{Fault, VmConfig};
use crate::vm::image::Segment;
use crate::vm::layout::RAM_BASE;

/// A property that a node gets in the place of its own, or that it loses.
type Edit = (&'static str, Option<Vec<u8>>);

/// What `/chosen` says of a VM. An initrd of the machine that a tree was made for is not there.
pub(super) fn chosen(vm: &VmConfig<'_>, initrd: Option<Segment<'_>>) -> Vec<Edit> {
    let mut edits = Vec::new();
    if !vm.bootargs.is_empty() {
        edits.push(("bootargs", Some(text(vm.bootargs))));
    }
    edits.push(("linux,initrd-start", initrd.map(|initrd| numbers(&[initrd.ipa.get()]))));
    edits.push(("linux,initrd-end", initrd.map(|initrd| numbers(&[initrd.end().get()]))));
    edits
}

/// Writes what a node gets.
pub(super) fn write(fdt: &mut FdtWriter, edits: &[Edit]) -> Result<(), Error> {
    let mut values = edits.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    values.try_for_each(|(name, value)| fdt.property(name, value))
}

pub(super) fn patch(
    blob: &[u8],
    vm: &VmConfig<'_>,
    initrd: Option<Segment<'_>>,
) -> Result<Vec<u8>, Fault> {
    let tree = Fdt::new(blob)?;
    let kind = ("device_type", Some(text("memory")));
    let memory = vec![kind, ("reg", Some(ram_reg(tree.root(), vm)?))];
    let psci = vec![("method", Some(text("hvc")))];
    let entries = tree.reservations().map(|(address, size)| FdtReserveEntry::new(address, size));
    let entries: Vec<_> = entries.collect::<Result<_, _>>()?;
    let mut fdt = FdtWriter::new_with_mem_reserv(&entries)?;
    Patch { memory, chosen: chosen(vm, initrd), psci }.tree(&mut fdt, tree.root())?;
    Ok(fdt.finish()?)
}

/// RAM as a `reg` of the root's `#address-cells` and `#size-cells`.
fn ram_reg<'t>(root: Node<'t>, vm: &VmConfig<'_>) -> Result<Vec<u8>, Odd<'t>> {
    let (address_cells, size_cells) = root.child_cells()?;
    let mut reg = Vec::new();
    let numbers = [
        ("#address-cells", address_cells, RAM_BASE.get()),
        ("#size-cells", size_cells, vm.memory()),
    ];
    for (name, cells, number) in numbers {
        match (cells, u32::try_from(number)) {
            (2, _) => reg.extend(number.to_be_bytes()),
            (1, Ok(number)) => reg.extend(number.to_be_bytes()),
            _ => return Err(root.odd(name, "as many cells as the VM's RAM needs")),
        }
    }
    Ok(reg)
}

fn is_memory(node: &Node<'_>) -> bool {
    node.property("device_type").and_then(|kind| kind.string()) == Some("memory")
}

/// What becomes of the nodes that are not left as they are.
struct Patch {
    memory: Vec<Edit>,
    chosen: Vec<Edit>,
    psci: Vec<Edit>,
}

impl Patch {
    /// Writes the tree. Without recursion: the stack of EL2 is small.
    fn tree(&self, fdt: &mut FdtWriter, root: Node<'_>) -> Result<(), Fault> {
        // The first memory node stands for all of RAM.
        let memory = root.children().find(is_memory);
        let mut open = vec![(self.open(fdt, root, 0)?, root.children())];
        self.add_missing(fdt, root)?;
        loop {
            let depth = open.len();
            let Some((_, children)) = open.last_mut() else { return Ok(()) };
            if let Some(child) = children.next() {
                let is_overlay = child.name().starts_with("__");
                let is_more_memory = is_memory(&child) && memory != Some(child);
                if depth > 1 || !is_overlay && !is_more_memory {
                    open.push((self.open(fdt, child, depth)?, child.children()));
                }
            } else if let Some((token, _)) = open.pop() {
                fdt.end_node(token)?;
            }
        }
    }

    /// Writes the nodes that a guest needs and its tree lacks.
    fn add_missing(&self, fdt: &mut FdtWriter, root: Node<'_>) -> Result<(), Error> {
        let has_memory = root.children().any(|child| is_memory(&child));
        let has_chosen = root.children().any(|child| child.name() == "chosen");
        let needed =
            [("memory@40000000", &self.memory, has_memory), ("chosen", &self.chosen, has_chosen)];
        for (name, edits, _) in needed.into_iter().filter(|(.., is_there)| !is_there) {
            let node = fdt.begin_node(name)?;
            write(fdt, edits)?;
            fdt.end_node(node)?;
        }
        Ok(())
    }

    /// Opens a node and writes its properties.
    fn open(
        &self,
        fdt: &mut FdtWriter,
        node: Node<'_>,
        depth: usize,
    ) -> Result<FdtWriterNode, Fault> {
        let edits = self.edits(node, depth);
        let token = fdt.begin_node(node.name()).map_err(|_| bad_name(node, node.name()))?;
        let is_edited = |name| edits.iter().any(|(edited, _)| *edited == name);
        for property in node.properties().filter(|property| !is_edited(property.name)) {
            let written = fdt.property(property.name, property.bytes);
            written.map_err(|_| bad_name(node, property.name))?;
        }
        write(fdt, edits)?;
        Ok(token)
    }

    fn edits(&self, node: Node<'_>, depth: usize) -> &[Edit] {
        let is_psci = || node.is_one_of(&["arm,psci", "arm,psci-0.2", "arm,psci-1.0"]);
        match depth {
            1 if is_memory(&node) => &self.memory,
            1 if node.name() == "chosen" => &self.chosen,
            // Firmware's nodes may lie further down.
            1.. if is_psci() => &self.psci,
            _ => &[],
        }
    }
}

/// A node has, or has a property of, a name that the specification does not allow.
fn bad_name(node: Node<'_>, name: &str) -> Fault {
    let wanted = "at most 31 of the characters that the specification allows";
    Fault::new(node, format_args!("the name {name}"), wanted)
}
