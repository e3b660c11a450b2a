//! The facts that the hypervisor needs of its machine, all from the device tree.
//!
//! Everything is found by `compatible`, `device_type` or `/chosen`, `status` is honoured, and
//! addresses are translated by the `ranges` of the buses above. Nothing is known of any board.
//! What is missing or odd comes back as an [`Odd`] that names node and property.
//!
//! All of it is used before there is a heap, so the lists have a fixed capacity.
//!
//! Source: Devicetree Specification v0.4, chapter 3; the bindings of Linux for `arm,gic-v3`,
//! `arm,armv8-timer`, `arm,pl011`, `arm,psci`, `arm,cpus` and `reserved-memory`.

mod devices;
mod ram;
#[cfg(test)]
mod tests;

pub use devices::{Gic, PsciMethod, TimerInterrupts, Uart, Virtio};
pub use ram::Region;

use arrayvec::ArrayVec;

use super::fdt::{Fdt, Node, Odd, Property};
use crate::memory::Pa;

/// The most pCPUs that the hypervisor runs.
pub const MAX_CPUS: usize = 8;
/// The most RAM regions that a machine may have.
pub const MAX_RAM: usize = 16;
/// The most reserved regions that a machine may have.
pub const MAX_RESERVED: usize = 32;

/// The machine.
#[derive(Clone)]
pub struct Machine<'a> {
    /// All of it.
    tree: Fdt<'a>,
    /// RAM as the tree gives it, in its order.
    pub ram: ArrayVec<Region, MAX_RAM>,
    /// RAM that must be left alone: `/memreserve/` and `/reserved-memory`.
    pub reserved: ArrayVec<Region, MAX_RESERVED>,
    /// The pCPUs in the tree's order, at most [`MAX_CPUS`]: their affinities as in MPIDR_EL1, Aff3
    /// in bits 39:32, Aff2 to Aff0 in bits 23:0.
    pub cpus: ArrayVec<u64, MAX_CPUS>,
    /// How many usable pCPUs the tree has beyond [`MAX_CPUS`].
    pub cpus_left_out: usize,
    /// The interrupt controller.
    pub gic: Gic,
    /// The architected timers' interrupts.
    pub timer: TimerInterrupts,
    /// The console.
    pub console: Uart,
    /// How the firmware's PSCI is called, where there is one.
    pub psci: Option<PsciMethod>,
    /// The initrd: a VM description.
    pub initrd: Option<Region>,
    /// Entropy that the boot loader hands over (`/chosen/rng-seed`), empty where there is none.
    pub rng_seed: &'a [u8],
    /// The hypervisor's command line, empty where there is none.
    pub bootargs: &'a str,
}

impl<'a> Machine<'a> {
    /// Reads all facts.
    pub fn new(tree: &Fdt<'a>) -> Result<Self, Odd<'a>> {
        let (cpus, cpus_left_out) = cpus(tree)?;
        let ram = ram::ram(tree)?;
        let (gic, interrupt_cells) = devices::gic(tree)?;
        let chosen = tree.node("/chosen").ok_or(tree.lacks("stdout-path", "/chosen with it"))?;
        Ok(Self {
            reserved: ram::reserved(tree)?,
            cpus,
            cpus_left_out,
            timer: devices::timer(tree, interrupt_cells)?,
            gic,
            tree: *tree,
            console: Self::console(tree, chosen)?,
            psci: Self::psci(tree)?,
            initrd: initrd(chosen, &ram)?,
            rng_seed: chosen.property("rng-seed").map_or(&[], |seed| seed.bytes),
            bootargs: chosen.optional("bootargs", "one string", Property::string)?.unwrap_or(""),
            ram,
        })
    }

    /// RAM that nothing has claimed: not reserved by the tree and not in `claimed` (the image,
    /// the tree, the initrd). The regions come sorted, disjoint, page-aligned; a page that is
    /// claimed in part is left out.
    pub fn usable_ram<'s>(&'s self, claimed: &'s [Region]) -> impl Iterator<Item = Region> + 's {
        ram::usable(&self.ram, [&self.reserved, claimed])
    }

    /// All RAM, in bytes.
    pub fn ram_size(&self) -> u64 {
        ram::usable(&self.ram, [&[], &[]]).map(|region| region.size).sum()
    }
}

/// The affinities of the usable pCPUs, and how many there are beyond the capacity.
fn cpus<'a>(tree: &Fdt<'a>) -> Result<(ArrayVec<u64, MAX_CPUS>, usize), Odd<'a>> {
    const AFFINITY: u64 = 0xff_00ff_ffff;
    let parent = tree.node("/cpus").into_iter();
    let nodes = parent.flat_map(|cpus| cpus.children()).filter(|node| is_usable(node, "cpu"));
    let mut cpus = ArrayVec::new();
    let mut left_out = 0usize;
    for node in nodes {
        // In one cell or two.
        let mpidr = node.required("reg", "the affinity fields of an MPIDR", |reg| {
            reg.number().filter(|mpidr| mpidr & !AFFINITY == 0)
        })?;
        if cpus.contains(&mpidr) {
            return Err(node.odd("reg", "an affinity that no CPU before it has"));
        }
        if cpus.try_push(mpidr).is_err() {
            left_out = left_out.saturating_add(1);
        }
    }
    match cpus.is_empty() {
        true => Err(tree.lacks("device_type", "\"cpu\" in /cpus")),
        false => Ok((cpus, left_out)),
    }
}

fn initrd<'a>(chosen: Node<'a>, ram: &[Region]) -> Result<Option<Region>, Odd<'a>> {
    const START: &str = "linux,initrd-start";
    const END: &str = "linux,initrd-end";
    let address = |name| chosen.optional(name, "an address of 1 or 2 cells", Property::number);
    let (start, end) = match (address(START)?, address(END)?) {
        (None, None) => return Ok(None),
        (Some(start), Some(end)) => (start, end),
        (None, Some(_)) => return Err(chosen.odd(START, "it beside linux,initrd-end")),
        (Some(_), None) => return Err(chosen.odd(END, "it beside linux,initrd-start")),
    };
    let size = end.checked_sub(start);
    let size = size.ok_or_else(|| chosen.odd(END, "no less than linux,initrd-start"))?;
    let region = Region { base: Pa::new(start), size };
    match size {
        0 => Ok(None),
        _ if ram::is_ram(ram, region) => Ok(Some(region)),
        _ => Err(chosen.odd(START, "an initrd that lies in RAM")),
    }
}

/// Whether a node's `device_type` is `kind` and its `status` lets it be used.
fn is_usable(node: &Node<'_>, kind: &str) -> bool {
    let found = node.property("device_type").and_then(|property| property.string());
    found == Some(kind) && node.is_okay()
}
