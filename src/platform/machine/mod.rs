//! The facts that the hypervisor needs of its machine, all from the device tree.
//!
//! Everything is found by `compatible`, `device_type` or `/chosen`, `status` is honoured, and
//! addresses are translated by the `ranges` of the buses above. Nothing is known of any board.
//! What is missing or odd comes back as a [`MachineError`] that names node and property.
//!
//! All of it is used before there is a heap, so the lists have a fixed capacity.
//!
//! Source: Devicetree Specification v0.4, chapter 3; the bindings of Linux for `arm,gic-v3`,
//! `arm,armv8-timer`, `arm,pl011`, `arm,psci`, `arm,cpus` and `reserved-memory`.

mod devices;
mod error;
mod ram;
#[cfg(test)]
mod tests;

pub use devices::{Gic, Psci, PsciMethod, PsciVersion, TimerInterrupts, Uart};
pub use error::{MachineError, Place};
pub use ram::{Region, UsableRam};

use super::fdt::{Fdt, Node};
use super::list::List;
use crate::memory::Pa;

/// The most pCPUs that the hypervisor runs.
pub const MAX_CPUS: usize = 8;
/// The most RAM regions that a machine may have.
pub const MAX_RAM: usize = 16;
/// The most reserved regions that a machine may have.
pub const MAX_RESERVED: usize = 32;
/// The most redistributor regions that a machine may have.
pub const MAX_REDISTRIBUTOR_REGIONS: usize = 8;

/// A pCPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Its affinity as in MPIDR_EL1: Aff3 in bits 39:32, Aff2 to Aff0 in bits 23:0.
    pub mpidr: u64,
    /// Whether it is started by PSCI's CPU_ON (`enable-method`).
    pub psci: bool,
}

/// The machine.
#[derive(Clone, Debug)]
pub struct Machine<'a> {
    /// RAM as the tree gives it, in its order.
    pub ram: List<Region, MAX_RAM>,
    /// RAM that must be left alone: `/memreserve/` and `/reserved-memory`.
    pub reserved: List<Region, MAX_RESERVED>,
    /// The pCPUs in the tree's order, at most [`MAX_CPUS`].
    pub cpus: List<Cpu, MAX_CPUS>,
    /// How many usable pCPUs the tree has beyond [`MAX_CPUS`].
    pub cpus_left_out: usize,
    /// The interrupt controller.
    pub gic: Gic,
    /// The architected timers' interrupts.
    pub timer: TimerInterrupts,
    /// The console.
    pub console: Uart,
    /// The firmware's PSCI, where there is one.
    pub psci: Option<Psci>,
    /// The initrd: a VM description.
    pub initrd: Option<Region>,
    /// The hypervisor's command line, empty where there is none.
    pub bootargs: &'a str,
    /// Random bytes from firmware.
    pub rng_seed: Option<&'a [u8]>,
}

impl<'a> Machine<'a> {
    /// Reads all facts.
    pub fn new(tree: &Fdt<'a>) -> Result<Self, MachineError<'a>> {
        let (cpus, cpus_left_out) = cpus(tree)?;
        let chosen = tree.node("/chosen");
        let ram = ram::ram(tree)?;
        let gic = devices::gic(tree)?;
        Ok(Self {
            ram,
            reserved: ram::reserved(tree)?,
            cpus,
            cpus_left_out,
            timer: devices::timer(tree, &gic)?,
            gic,
            console: Self::console(tree)?,
            psci: Self::psci(tree)?,
            initrd: initrd(chosen, &ram)?,
            bootargs: Self::bootargs(tree)?,
            rng_seed: chosen.and_then(|node| node.property("rng-seed")).map(|seed| seed.bytes()),
        })
    }

    /// The console alone: the first fact that a boot needs, so that it can print what is wrong
    /// with the others.
    pub fn console(tree: &Fdt<'a>) -> Result<Uart, MachineError<'a>> {
        devices::console(tree)
    }

    /// PSCI alone: the way to power off a machine that is not fit to run.
    pub fn psci(tree: &Fdt<'a>) -> Result<Option<Psci>, MachineError<'a>> {
        devices::psci(tree)
    }

    /// The command line alone: it may ask for a log level. Empty where there is none.
    pub fn bootargs(tree: &Fdt<'a>) -> Result<&'a str, MachineError<'a>> {
        let Some(chosen) = tree.node("/chosen") else {
            return Ok("");
        };
        let text = chosen.optional("bootargs", "one string", |property| property.string())?;
        Ok(text.unwrap_or(""))
    }

    /// RAM that nothing has claimed: not reserved by the tree and not in `claimed` (the image,
    /// the tree, the initrd). The regions come sorted, disjoint, page-aligned; a page that is
    /// claimed in part is left out.
    pub fn usable_ram<'s>(&'s self, claimed: &'s [Region]) -> UsableRam<'s> {
        UsableRam::new(&self.ram, &self.reserved, claimed)
    }

    /// All RAM, in bytes.
    pub fn ram_size(&self) -> u64 {
        UsableRam::new(&self.ram, &[], &[]).map(|region| region.size).sum()
    }
}

/// The usable pCPUs, and how many there are beyond the capacity.
fn cpus<'a>(tree: &Fdt<'a>) -> Result<(List<Cpu, MAX_CPUS>, usize), MachineError<'a>> {
    let missing = MachineError::NoNode("/cpus with a node of device_type \"cpu\"");
    let parent = tree.node("/cpus").ok_or(missing)?;
    let mut cpus = List::new();
    let mut left_out = 0usize;
    for node in parent.children().filter(|node| has_type(node, "cpu") && node.is_okay()) {
        // Legacy trees say once, in /cpus, what holds for all.
        let method = node.property("enable-method").or_else(|| parent.property("enable-method"));
        let psci = method.is_some_and(|method| method.string() == Some("psci"));
        let cpu = Cpu { mpidr: affinity(node)?, psci };
        if let Some(twin) = cpus.iter().position(|other: &Cpu| other.mpidr == cpu.mpidr) {
            return Err(MachineError::CpuTwice(node, cpu.mpidr, twin));
        }
        if cpus.push(cpu).is_err() {
            left_out = left_out.saturating_add(1);
        }
    }
    if cpus.is_empty() { Err(missing) } else { Ok((cpus, left_out)) }
}

/// A CPU node's `reg`: the affinity fields of its MPIDR_EL1, in one cell or two.
fn affinity<'a>(node: Node<'a>) -> Result<u64, MachineError<'a>> {
    const AFFINITY: u64 = 0xff_00ff_ffff;
    let mpidr = node.required("reg", "the affinity fields of an MPIDR", |reg| {
        reg.number().filter(|mpidr| mpidr & !AFFINITY == 0)
    })?;
    Ok(mpidr)
}

fn initrd<'a>(
    chosen: Option<Node<'a>>,
    ram: &[Region],
) -> Result<Option<Region>, MachineError<'a>> {
    let Some(chosen) = chosen else {
        return Ok(None);
    };
    let (start_name, end_name) = ("linux,initrd-start", "linux,initrd-end");
    let address = |name| chosen.optional(name, "an address of 1 or 2 cells", |p| p.number());
    let (start, end) = match (address(start_name)?, address(end_name)?) {
        (None, None) => return Ok(None),
        (Some(start), Some(end)) => (start, end),
        (None, Some(_)) => return Err(chosen.odd(start_name, "it beside linux,initrd-end").into()),
        (Some(_), None) => return Err(chosen.odd(end_name, "it beside linux,initrd-start").into()),
    };
    let size = end
        .checked_sub(start)
        .ok_or_else(|| chosen.odd(end_name, "no less than linux,initrd-start"))?;
    let region = Region { base: Pa::new(start), size };
    match size {
        0 => Ok(None),
        _ if ram::is_ram(ram, region) => Ok(Some(region)),
        _ => Err(chosen.odd(start_name, "an initrd that lies in RAM").into()),
    }
}

/// Whether a node's `device_type` is `kind`.
fn has_type(node: &Node<'_>, kind: &str) -> bool {
    node.property("device_type").and_then(|property| property.string()) == Some(kind)
}
