//! The guest's device tree: generated, or the user's own with the least of changes.
//!
//! A generated tree names and places things as QEMU's `virt` board does, so that a guest finds
//! here what it finds there; it has only what exists. Source: the bindings in Linux's
//! Documentation/devicetree/bindings for each `compatible`; Devicetree Specification v0.4.

mod patch;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;

use thiserror::Error;
use vm_fdt::FdtWriter;

use super::description::VmConfig;
use super::image::{LoadPlan, Segment};
use super::layout::{
    GICD_BASE, GICD_SIZE, GICR_BASE, GICR_STRIDE, PHYSICAL_TIMER_INTID, RAM_BASE, UART_BASE,
    UART_INTID, UART_SIZE, VIRTUAL_TIMER_INTID,
};
use crate::platform::fdt::{FdtError, Node, Odd};

/// Why a guest has no tree.
#[derive(Clone, Copy, Debug, Error)]
pub enum TreeError<'a> {
    /// The user's tree is none.
    #[error("device-tree: {0}")]
    Blob(FdtError),
    /// A node of the user's tree cannot be kept or patched.
    #[error("device-tree: {0}")]
    Property(Odd<'a>),
    /// A name in the user's tree that the specification does not allow: the node that has it, or
    /// has a property of this name.
    #[error(
        "device-tree: {0}: found the name {1}, wanted at most 31 of the characters that the \
             specification allows"
    )]
    Name(Node<'a>, &'a str),
    /// The tree came out larger than the plan has room for: its size and the room, in bytes.
    #[error("device-tree: found {0} bytes, wanted at most {1}")]
    Room(u64, u64),
    /// The writer refused something that no tree should bring about.
    #[error("device-tree: found a tree that cannot be written again, wanted another")]
    Writer,
}

impl From<vm_fdt::Error> for TreeError<'_> {
    fn from(_: vm_fdt::Error) -> Self {
        Self::Writer
    }
}

/// What a generated tree takes at most without the command line: each CPU's node has its room.
const GENERATED: u64 = 0x1000;
const EACH_CPU: u64 = 0x100;

/// How many bytes to keep for a VM's tree: known before its plan, which needs to know this.
pub fn room<'a>(vm: &VmConfig<'a>) -> Result<u64, TreeError<'a>> {
    let Some(blob) = vm.device_tree else {
        let cpus = EACH_CPU.saturating_mul(vm.cpus as u64);
        return Ok(GENERATED.saturating_add(cpus).saturating_add(vm.bootargs.len() as u64));
    };
    // The size is the same wherever the initrd will lie.
    let initrd = vm.initrd.map(|_| Segment::default());
    Ok(patch::patch(blob, vm, initrd)?.len() as u64)
}

/// What a guest is told beyond its description.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extras<'a> {
    /// Random bytes for `/chosen/rng-seed`.
    pub rng_seed: Option<&'a [u8]>,
}

/// Makes the tree for a VM that is loaded by `plan`.
pub fn build<'a>(
    vm: &VmConfig<'a>,
    plan: &LoadPlan<'_>,
    extras: &Extras<'_>,
) -> Result<Vec<u8>, TreeError<'a>> {
    let tree = match vm.device_tree {
        Some(blob) => patch::patch(blob, vm, plan.initrd)?,
        None => generate(vm, plan, extras)?,
    };
    match tree.len() as u64 {
        size if size <= plan.tree_room => Ok(tree),
        found => Err(TreeError::Room(found, plan.tree_room)),
    }
}

const PSCI_COMPATIBLE: &[u8] = b"arm,psci-1.0\0arm,psci-0.2\0arm,psci\0";
const UART_PATH: &str = "/pl011@9000000";
/// Phandles of what others refer to.
const GIC: u32 = 1;
const CLOCK: u32 = 2;
/// An interrupt specifier's first cell (`arm,gic-v3` binding).
const SPI: u32 = 0;
const PPI: u32 = 1;
/// An interrupt specifier's third cell: active high, level-sensitive.
const LEVEL_HIGH: u32 = 4;

fn generate(
    vm: &VmConfig<'_>,
    plan: &LoadPlan<'_>,
    extras: &Extras<'_>,
) -> Result<Vec<u8>, vm_fdt::Error> {
    let mut fdt = FdtWriter::new()?;
    let root = fdt.begin_node("")?;
    fdt.property_string("compatible", "linux,dummy-virt")?;
    fdt.property_string("model", "linux,dummy-virt")?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_u32("interrupt-parent", GIC)?;

    let chosen = fdt.begin_node("chosen")?;
    fdt.property_string("stdout-path", UART_PATH)?;
    if !vm.bootargs.is_empty() {
        fdt.property_string("bootargs", vm.bootargs)?;
    }
    if let Some(initrd) = plan.initrd {
        fdt.property_u64("linux,initrd-start", initrd.ipa.get())?;
        fdt.property_u64("linux,initrd-end", initrd.end().get())?;
    }
    if let Some(seed) = extras.rng_seed {
        fdt.property("rng-seed", seed)?;
    }
    fdt.end_node(chosen)?;

    let aliases = fdt.begin_node("aliases")?;
    fdt.property_string("serial0", UART_PATH)?;
    fdt.end_node(aliases)?;

    let memory = fdt.begin_node("memory@40000000")?;
    fdt.property_string("device_type", "memory")?;
    fdt.property_array_u64("reg", &[RAM_BASE.get(), vm.memory()])?;
    fdt.end_node(memory)?;

    cpus(&mut fdt, vm.cpus)?;
    psci(&mut fdt)?;
    timer(&mut fdt)?;
    gic(&mut fdt, vm.cpus)?;
    uart(&mut fdt)?;
    fdt.end_node(root)?;
    fdt.finish()
}

fn cpus(fdt: &mut FdtWriter, count: usize) -> Result<(), vm_fdt::Error> {
    let cpus = fdt.begin_node("cpus")?;
    fdt.property_u32("#address-cells", 1)?;
    fdt.property_u32("#size-cells", 0)?;
    for index in 0..count as u32 {
        // Aff0 of MPIDR_EL1 is the vCPU's index.
        let cpu = fdt.begin_node(&alloc::format!("cpu@{index:x}"))?;
        fdt.property_string("device_type", "cpu")?;
        fdt.property_string("compatible", "arm,armv8")?;
        fdt.property_u32("reg", index)?;
        fdt.property_string("enable-method", "psci")?;
        fdt.end_node(cpu)?;
    }
    fdt.end_node(cpus)
}

/// The function IDs are for drivers of PSCI 0.1 only (Arm DEN0022, section 5.1).
fn psci(fdt: &mut FdtWriter) -> Result<(), vm_fdt::Error> {
    let psci = fdt.begin_node("psci")?;
    fdt.property("compatible", PSCI_COMPATIBLE)?;
    fdt.property_string("method", "hvc")?;
    fdt.property_u32("cpu_suspend", 0xc400_0001)?;
    fdt.property_u32("cpu_off", 0x8400_0002)?;
    fdt.property_u32("cpu_on", 0xc400_0003)?;
    fdt.property_u32("migrate", 0xc400_0005)?;
    fdt.end_node(psci)
}

fn timer(fdt: &mut FdtWriter) -> Result<(), vm_fdt::Error> {
    // Secure, non-secure, virtual, hypervisor. A guest at EL1 uses the second and the third; the
    // binding's order wants all four.
    let ppis = [29, PHYSICAL_TIMER_INTID, VIRTUAL_TIMER_INTID, 26];
    let timer = fdt.begin_node("timer")?;
    fdt.property("compatible", b"arm,armv8-timer\0arm,armv7-timer\0")?;
    let interrupts = ppis.map(|intid| [PPI, intid - 16, LEVEL_HIGH]);
    fdt.property_array_u32("interrupts", interrupts.as_flattened())?;
    fdt.property_null("always-on")?;
    fdt.end_node(timer)
}

fn gic(fdt: &mut FdtWriter, cpus: usize) -> Result<(), vm_fdt::Error> {
    let redistributors = GICR_STRIDE.saturating_mul(cpus as u64);
    let gic = fdt.begin_node("intc@8000000")?;
    fdt.property_string("compatible", "arm,gic-v3")?;
    fdt.property_null("interrupt-controller")?;
    fdt.property_u32("#interrupt-cells", 3)?;
    fdt.property_u32("#address-cells", 2)?;
    fdt.property_u32("#size-cells", 2)?;
    fdt.property_null("ranges")?;
    fdt.property_u32("#redistributor-regions", 1)?;
    fdt.property_array_u64("reg", &[GICD_BASE, GICD_SIZE, GICR_BASE, redistributors])?;
    fdt.property_phandle(GIC)?;
    fdt.end_node(gic)
}

fn uart(fdt: &mut FdtWriter) -> Result<(), vm_fdt::Error> {
    let clock = fdt.begin_node("apb-pclk")?;
    fdt.property_string("compatible", "fixed-clock")?;
    fdt.property_u32("#clock-cells", 0)?;
    fdt.property_u32("clock-frequency", 24_000_000)?;
    fdt.property_string("clock-output-names", "clk24mhz")?;
    fdt.property_phandle(CLOCK)?;
    fdt.end_node(clock)?;

    let uart = fdt.begin_node("pl011@9000000")?;
    fdt.property("compatible", b"arm,pl011\0arm,primecell\0")?;
    fdt.property_array_u64("reg", &[UART_BASE, UART_SIZE])?;
    fdt.property_array_u32("interrupts", &[SPI, UART_INTID - 32, LEVEL_HIGH])?;
    fdt.property_array_u32("clocks", &[CLOCK, CLOCK])?;
    fdt.property("clock-names", b"uartclk\0apb_pclk\0")?;
    fdt.end_node(uart)
}
