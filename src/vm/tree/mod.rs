//! The guest's device tree: generated, or the user's own with the least of changes.
//!
//! A generated tree names and places things as QEMU's `virt` board does, so that a guest finds
//! here what it finds there; it has only what exists. Source: the bindings in Linux's
//! Documentation/devicetree/bindings for each `compatible`; Devicetree Specification v0.4.

mod patch;
#[cfg(test)]
mod tests;

use alloc::format;
use alloc::vec::Vec;
use core::ops::Range;

use vm_fdt::{Error, FdtWriter};

use super::description::{Fault, VmConfig};
use super::image::Segment;
use super::layout::{
    GICD_BASE, GICD_SIZE, GICR_BASE, GICR_STRIDE, PHYSICAL_TIMER_INTID, RAM_BASE, UART_BASE,
    UART_INTID, UART_SIZE, VIRTUAL_TIMER_INTID,
};
use crate::platform::fdt::Fdt;

/// The size that a VM's tree has at most: known before its plan, which needs to know this.
pub fn size(vm: &VmConfig<'_>) -> Result<u64, Fault> {
    // It is the same wherever the initrd will lie, and no less with seeds.
    let tree = build(vm, vm.initrd.map(|_| Segment::default()), true)?;
    Ok(tree.len() as u64)
}

/// Makes the tree for a VM whose initrd was loaded as said. `seeded`: there will be somebody who
/// fills in [`seeds`].
pub fn build(
    vm: &VmConfig<'_>,
    initrd: Option<Segment<'_>>,
    seeded: bool,
) -> Result<Vec<u8>, Fault> {
    let tree = match vm.device_tree {
        Some(blob) => patch::patch(blob, vm, initrd),
        None => generate(vm, initrd, seeded).map_err(Fault::from),
    };
    tree.map_err(|fault| fault.within(format_args!("/{}: device-tree", vm.name)))
}

/// Where in a tree are the values of `/chosen`'s `rng-seed` and `kaslr-seed`, which want to be
/// other ones at each start. (Those of a user's tree as well, where it has them.) `tree` is aligned
/// to four bytes, as all of EL2's heap is.
pub fn seeds(tree: &[u8]) -> Vec<Range<usize>> {
    let chosen = Fdt::new(tree).ok().and_then(|tree| tree.node("/chosen"));
    let seeds = ["rng-seed", "kaslr-seed"].into_iter();
    let seeds = seeds.filter_map(|name| Some(chosen?.property(name)?.bytes));
    let offset = |bytes: &[u8]| bytes.as_ptr().addr().wrapping_sub(tree.as_ptr().addr());
    seeds.map(|bytes| offset(bytes)..offset(bytes).wrapping_add(bytes.len())).collect()
}

/// A property's value: strings, with a NUL between two.
fn text(strings: &str) -> Vec<u8> {
    [strings.as_bytes(), &[0]].concat()
}

/// One of numbers of 32 bits. None of them is a flag, which says all by being there.
fn cells(cells: &[u32]) -> Vec<u8> {
    cells.iter().flat_map(|cell| cell.to_be_bytes()).collect()
}

/// One of numbers of 64 bits.
fn numbers(numbers: &[u64]) -> Vec<u8> {
    numbers.iter().flat_map(|number| number.to_be_bytes()).collect()
}

/// Opens a node, with its properties.
fn node(
    fdt: &mut FdtWriter,
    name: &str,
    properties: &[(&str, Vec<u8>)],
) -> Result<vm_fdt::FdtWriterNode, Error> {
    let node = fdt.begin_node(name)?;
    for (name, value) in properties {
        fdt.property(name, value)?;
    }
    Ok(node)
}

/// Writes a node without children.
fn leaf(fdt: &mut FdtWriter, name: &str, properties: &[(&str, Vec<u8>)]) -> Result<(), Error> {
    let node = node(fdt, name, properties)?;
    fdt.end_node(node)
}

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
    initrd: Option<Segment<'_>>,
    seeded: bool,
) -> Result<Vec<u8>, Error> {
    let mut fdt = FdtWriter::new()?;
    let machine = [
        ("compatible", text("linux,dummy-virt")),
        ("model", text("linux,dummy-virt")),
        ("#address-cells", cells(&[2])),
        ("#size-cells", cells(&[2])),
        ("interrupt-parent", cells(&[GIC])),
    ];
    let root = node(&mut fdt, "", &machine)?;
    let chosen = node(&mut fdt, "chosen", &[("stdout-path", text(UART_PATH))])?;
    patch::write(&mut fdt, &patch::chosen(vm, initrd))?;
    if seeded {
        fdt.property("rng-seed", &[0; 32])?;
        fdt.property("kaslr-seed", &[0; 8])?;
    }
    fdt.end_node(chosen)?;
    leaf(&mut fdt, "aliases", &[("serial0", text(UART_PATH))])?;
    let ram = [RAM_BASE.get(), vm.memory()];
    let memory = [("device_type", text("memory")), ("reg", numbers(&ram))];
    leaf(&mut fdt, "memory@40000000", &memory)?;
    cpus(&mut fdt, vm.affinities())?;
    devices(&mut fdt, vm.cpus)?;
    fdt.end_node(root)?;
    fdt.finish()
}

fn cpus(fdt: &mut FdtWriter, affinities: &[u32]) -> Result<(), Error> {
    let counts = [("#address-cells", cells(&[1])), ("#size-cells", cells(&[0]))];
    let cpus = node(fdt, "cpus", &counts)?;
    for affinity in affinities {
        let cpu = [
            ("device_type", text("cpu")),
            ("compatible", text("arm,armv8")),
            // Of MPIDR_EL1; with one cell Aff3 is zero (`arm,cpus` binding).
            ("reg", cells(&[*affinity])),
            ("enable-method", text("psci")),
        ];
        leaf(fdt, &format!("cpu@{affinity:x}"), &cpu)?;
    }
    fdt.end_node(cpus)
}

fn devices(fdt: &mut FdtWriter, cpus: usize) -> Result<(), Error> {
    // The function IDs are for drivers of PSCI 0.1 only (Arm DEN0022, section 5.1).
    let psci = [
        ("compatible", text("arm,psci-1.0\0arm,psci-0.2\0arm,psci")),
        ("method", text("hvc")),
        ("cpu_suspend", cells(&[0xc400_0001])),
        ("cpu_off", cells(&[0x8400_0002])),
        ("cpu_on", cells(&[0xc400_0003])),
        ("migrate", cells(&[0xc400_0005])),
    ];
    leaf(fdt, "psci", &psci)?;
    // Secure, non-secure, virtual, hypervisor. A guest at EL1 uses the second and the third; the
    // binding's order wants all four.
    let ppis = [29, PHYSICAL_TIMER_INTID, VIRTUAL_TIMER_INTID, 26];
    let ppis = ppis.map(|intid| [PPI, intid - 16, LEVEL_HIGH]);
    let timer = [
        ("compatible", text("arm,armv8-timer\0arm,armv7-timer")),
        ("interrupts", cells(ppis.as_flattened())),
        ("always-on", cells(&[])),
    ];
    leaf(fdt, "timer", &timer)?;
    let redistributors = GICR_STRIDE.saturating_mul(cpus as u64);
    let gic = [
        ("compatible", text("arm,gic-v3")),
        ("interrupt-controller", cells(&[])),
        ("#interrupt-cells", cells(&[3])),
        ("#address-cells", cells(&[2])),
        ("#size-cells", cells(&[2])),
        ("ranges", cells(&[])),
        ("#redistributor-regions", cells(&[1])),
        ("reg", numbers(&[GICD_BASE, GICD_SIZE, GICR_BASE, redistributors])),
        ("phandle", cells(&[GIC])),
    ];
    leaf(fdt, "intc@8000000", &gic)?;
    let clock = [
        ("compatible", text("fixed-clock")),
        ("#clock-cells", cells(&[0])),
        ("clock-frequency", cells(&[24_000_000])),
        ("clock-output-names", text("clk24mhz")),
        ("phandle", cells(&[CLOCK])),
    ];
    leaf(fdt, "apb-pclk", &clock)?;
    let uart = [
        ("compatible", text("arm,pl011\0arm,primecell")),
        ("reg", numbers(&[UART_BASE, UART_SIZE])),
        ("interrupts", cells(&[SPI, UART_INTID - 32, LEVEL_HIGH])),
        ("clocks", cells(&[CLOCK, CLOCK])),
        ("clock-names", text("uartclk\0apb_pclk")),
    ];
    leaf(fdt, "pl011@9000000", &uart)
}
