//! The devices that the hypervisor drives itself: interrupt controller, timers, console, PSCI.

use super::{MAX_REDISTRIBUTOR_REGIONS, MachineError, Place, Region};
use crate::memory::Pa;
use crate::platform::fdt::{Fdt, Node, Odd};
use crate::platform::list::List;

/// A GICv3 (or v4, which is one too).
#[derive(Clone, Copy, Debug)]
pub struct Gic {
    /// The distributor's registers.
    pub distributor: Region,
    /// The regions in which the redistributors lie, in order.
    pub redistributors: List<Region, MAX_REDISTRIBUTOR_REGIONS>,
    /// The distance of two redistributors in bytes where the tree gives one; else it follows
    /// from GICR_TYPER.VLPIS.
    pub redistributor_stride: Option<u64>,
    /// INTID of the maintenance interrupt.
    pub maintenance: u32,
    /// Cells of an interrupt specifier: three, or four where PPIs are partitioned.
    pub interrupt_cells: usize,
}

/// INTIDs of the architected timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerInterrupts {
    /// EL1 physical timer, secure (CNTPS).
    pub secure_physical: u32,
    /// EL1 physical timer, non-secure (CNTP).
    pub physical: u32,
    /// Virtual timer (CNTV).
    pub virt: u32,
    /// EL2 physical timer (CNTHP).
    pub hypervisor: u32,
}

/// A PL011.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Uart {
    /// Its registers.
    pub registers: Region,
    /// Its INTID.
    pub intid: u32,
}

/// The instruction by which firmware is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PsciMethod {
    /// SMC.
    Smc,
    /// HVC.
    Hvc,
}

/// The least PSCI that firmware promises by its `compatible`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PsciVersion {
    /// `arm,psci-0.2`
    V0_2,
    /// `arm,psci-1.0`
    V1_0,
}

/// The firmware's PSCI (Arm DEN0022).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Psci {
    /// How it is called.
    pub method: PsciMethod,
    /// What it promises.
    pub version: PsciVersion,
}

/// The first usable node that is compatible with one of `names`.
fn find<'a>(tree: &Fdt<'a>, names: &[&str]) -> Option<Node<'a>> {
    let fits = |node: &Node<'a>| names.iter().any(|name| node.is_compatible(name));
    tree.nodes().find(|node| fits(node) && node.is_enabled())
}

fn registers<'a>(node: Node<'a>, index: usize) -> Result<Region, Odd<'a>> {
    let (base, size) = node.mmio(index)?;
    Ok(Region { base: Pa::new(base), size })
}

pub(super) fn gic<'a>(tree: &Fdt<'a>) -> Result<Gic, MachineError<'a>> {
    const OLD: [&str; 4] =
        ["arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a9-gic", "arm,cortex-a7-gic"];
    let Some(node) = find(tree, &["arm,gic-v3"]) else {
        return Err(match find(tree, &OLD) {
            Some(old) => old.odd("compatible", "\"arm,gic-v3\" (QEMU: -M virt,gic-version=3)"),
            None => {
                return Err(MachineError::NoNode("compatible \"arm,gic-v3\""));
            }
        }
        .into());
    };
    let cells = node.optional("#interrupt-cells", "3 or 4", |property| {
        property.u32().filter(|cells| matches!(cells, 3 | 4))
    })?;
    let interrupt_cells = cells.unwrap_or(3) as usize;
    let count = node.optional("#redistributor-regions", "1 to 8", |property| {
        property.u32().filter(|count| (1..=MAX_REDISTRIBUTOR_REGIONS as u32).contains(count))
    })?;
    let mut redistributors = List::new();
    for index in 1..=count.unwrap_or(1) as usize {
        let full = MachineError::TooMany(
            Place(Some(node)),
            "redistributor regions",
            MAX_REDISTRIBUTOR_REGIONS,
        );
        redistributors.push(registers(node, index)?).map_err(|_| full)?;
    }
    Ok(Gic {
        distributor: registers(node, 0)?,
        redistributors,
        redistributor_stride: node.optional(
            "redistributor-stride",
            "a multiple of 64 KiB",
            |property| property.number().filter(|stride| *stride > 0 && stride & 0xffff == 0),
        )?,
        maintenance: interrupt(
            node,
            0,
            interrupt_cells,
            "the maintenance interrupt (QEMU: virtualization=on)",
        )?,
        interrupt_cells,
    })
}

/// The timers, whose interrupts go to `gic`.
pub(super) fn timer<'a>(tree: &Fdt<'a>, gic: &Gic) -> Result<TimerInterrupts, MachineError<'a>> {
    let missing = MachineError::NoNode(
        "compatible \"arm,armv8-timer\" (QEMU: a 64-bit -cpu, such as cortex-a72)",
    );
    let node = find(tree, &["arm,armv8-timer"]).ok_or(missing)?;
    // In this order by the binding; `interrupt-names` may give another one.
    let names = node.property("interrupt-names").and_then(|names| names.strings());
    let intid = |name: &str, place| {
        let named = names.clone().and_then(|mut names| names.position(|other| other == name));
        interrupt(
            node,
            named.unwrap_or(place),
            gic.interrupt_cells,
            "four interrupts of three cells each",
        )
    };
    Ok(TimerInterrupts {
        secure_physical: intid("sec-phys", 0)?,
        physical: intid("phys", 1)?,
        virt: intid("virt", 2)?,
        hypervisor: intid("hyp-phys", 3)?,
    })
}

/// The PL011 that `/chosen/stdout-path` leads to, by its path or an alias.
pub(super) fn console<'a>(tree: &Fdt<'a>) -> Result<Uart, MachineError<'a>> {
    let missing = MachineError::NoNode("/chosen with stdout-path");
    let chosen = tree.node("/chosen").ok_or(missing)?;
    let value = chosen.required("stdout-path", "the path or alias of a PL011", |p| p.string())?;
    // Behind a colon come options for the driver, such as the baud rate.
    let path = value.split_once(':').map_or(value, |(path, _)| path);
    let node = tree.node(path).ok_or(MachineError::NoSuchPath(path))?;
    if !node.is_compatible("arm,pl011") {
        return Err(node
            .odd("compatible", "\"arm,pl011\", as /chosen/stdout-path leads here")
            .into());
    }
    if !node.is_enabled() {
        return Err(node.odd("status", "\"okay\", as /chosen/stdout-path leads here").into());
    }
    Ok(Uart { registers: registers(node, 0)?, intid: interrupt(node, 0, 3, "one interrupt")? })
}

pub(super) fn psci<'a>(tree: &Fdt<'a>) -> Result<Option<Psci>, MachineError<'a>> {
    let Some(node) = find(tree, &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]) else {
        return Ok(None);
    };
    let version = if node.is_compatible("arm,psci-1.0") {
        PsciVersion::V1_0
    } else if node.is_compatible("arm,psci-0.2") {
        PsciVersion::V0_2
    } else {
        return Err(node.odd("compatible", "\"arm,psci-0.2\" or later").into());
    };
    let method =
        node.required("method", "\"smc\" or \"hvc\"", |property| match property.string() {
            Some("smc") => Some(PsciMethod::Smc),
            Some("hvc") => Some(PsciMethod::Hvc),
            _ => None,
        })?;
    Ok(Some(Psci { method, version }))
}

/// The INTID of interrupt `index` of a node whose interrupts go to a GICv3.
///
/// A specifier's first cell is the kind, the second a number within it, the third the trigger.
/// Source: the `arm,gic-v3` binding; INTID ranges of GIC IHI 0069, section 2.2.
fn interrupt<'a>(
    node: Node<'a>,
    index: usize,
    cells: usize,
    wanted: &'static str,
) -> Result<u32, Odd<'a>> {
    let (name, cells_each, skip) = match node.property("interrupts") {
        Some(_) => ("interrupts", cells, 0),
        // Each specifier follows its controller's phandle.
        None if node.property("interrupts-extended").is_some() => {
            ("interrupts-extended", cells.saturating_add(1), 1)
        }
        None => return Err(node.odd("interrupts", wanted)),
    };
    node.required(name, wanted, |property| {
        let mut cells = property.cells()?.skip(index.checked_mul(cells_each)?).skip(skip);
        let (kind, number) = (cells.next()?, cells.next()?);
        cells.next()?;
        match (kind, number) {
            (0, 0..988) => Some(number + 32),    // SPI
            (1, 0..16) => Some(number + 16),     // PPI
            (2, 0..1024) => Some(number + 4096), // extended SPI
            (3, 0..64) => Some(number + 1056),   // extended PPI
            _ => None,
        }
    })
}
