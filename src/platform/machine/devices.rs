//! The devices that the hypervisor drives itself: interrupt controller, timers, console, PSCI.

use arrayvec::ArrayVec;

use super::{Machine, Region};
use crate::memory::Pa;
use crate::platform::fdt::{Fdt, Node, Odd, Property};

/// The most redistributor regions that a machine may have.
const MAX_REDISTRIBUTOR_REGIONS: usize = 8;

/// A GICv3 (or v4, which is one too).
#[derive(Clone, Debug)]
pub struct Gic {
    /// The distributor's registers.
    pub distributor: Region,
    /// The regions in which the redistributors lie, in order.
    pub redistributors: ArrayVec<Region, MAX_REDISTRIBUTOR_REGIONS>,
    /// INTID of the maintenance interrupt.
    pub maintenance: u32,
}

/// INTIDs of the architected timers that EL2 handles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimerInterrupts {
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

/// A virtio transport by MMIO; what device is behind it, if any, its registers say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Virtio {
    /// Its registers.
    pub registers: Region,
    /// Its INTID.
    pub intid: u32,
}

/// The instruction by which firmware is called (Arm DEN0022).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PsciMethod {
    /// SMC.
    Smc,
    /// HVC.
    Hvc,
}

/// The first usable node that is compatible with one of `names`.
fn find<'a>(tree: &Fdt<'a>, names: &[&str]) -> Option<Node<'a>> {
    tree.nodes().find(|node| node.is_one_of(names) && node.is_enabled())
}

fn registers<'a>(node: Node<'a>, index: usize) -> Result<Region, Odd<'a>> {
    let (base, size) = node.mmio(index)?;
    Ok(Region { base: Pa::new(base), size })
}

/// The GIC, and how many cells an interrupt specifier for it has: three, or four where PPIs are
/// partitioned.
pub(super) fn gic<'a>(tree: &Fdt<'a>) -> Result<(Gic, usize), Odd<'a>> {
    const WANTED: &str = "\"arm,gic-v3\" (QEMU: -M virt,gic-version=3)";
    const OLD: [&str; 4] =
        ["arm,cortex-a15-gic", "arm,gic-400", "arm,cortex-a9-gic", "arm,cortex-a7-gic"];
    const MAINTENANCE: &str = "the maintenance interrupt (QEMU: virtualization=on)";
    let node = find(tree, &["arm,gic-v3"]).ok_or_else(|| match find(tree, &OLD) {
        Some(old) => old.odd("compatible", WANTED),
        None => tree.lacks("compatible", WANTED),
    })?;
    let number = |name, wanted, least, most| {
        let number =
            |property: &Property<'_>| property.u32().filter(|n| (least..=most).contains(n));
        node.optional(name, wanted, number)
    };
    let cells = number("#interrupt-cells", "3 or 4", 3, 4)?.unwrap_or(3) as usize;
    let regions = number("#redistributor-regions", "1 to 8", 1, 8)?.unwrap_or(1) as usize;
    let indices = (1..=regions).take(MAX_REDISTRIBUTOR_REGIONS);
    let redistributors = indices.map(|index| registers(node, index)).collect::<Result<_, _>>()?;
    let maintenance = interrupt(node, 0, cells, MAINTENANCE)?;
    Ok((Gic { distributor: registers(node, 0)?, redistributors, maintenance }, cells))
}

/// The timers, whose interrupts go to a GIC that wants specifiers of so many cells.
pub(super) fn timer<'a>(tree: &Fdt<'a>, cells: usize) -> Result<TimerInterrupts, Odd<'a>> {
    const WANTED: &str = "\"arm,armv8-timer\" (QEMU: a 64-bit -cpu, such as cortex-a72)";
    let node = find(tree, &["arm,armv8-timer"]).ok_or(tree.lacks("compatible", WANTED))?;
    // Secure, physical, virtual and EL2 physical by the binding; `interrupt-names` may give
    // another order.
    let names = node.property("interrupt-names").and_then(|names| names.strings());
    let intid = |name: &str, place| {
        let named = names.clone().and_then(|mut names| names.position(|other| other == name));
        interrupt(node, named.unwrap_or(place), cells, "four interrupts of three cells each")
    };
    Ok(TimerInterrupts { virt: intid("virt", 2)?, hypervisor: intid("hyp-phys", 3)? })
}

impl<'a> Machine<'a> {
    /// The PL011 that `/chosen/stdout-path` leads to, by its path or an alias: what a boot needs to
    /// print what is wrong with the rest.
    pub fn console(tree: &Fdt<'a>, chosen: Node<'a>) -> Result<Uart, Odd<'a>> {
        const WANTED: &str = "the path or alias of a PL011";
        const COMPATIBLE: &str = "\"arm,pl011\", as /chosen/stdout-path leads here";
        const STATUS: &str = "\"okay\", as /chosen/stdout-path leads here";
        let node = chosen.required("stdout-path", WANTED, |path| {
            // Behind a colon come options for the driver, such as the baud rate.
            tree.node(path.string()?.split(':').next()?)
        })?;
        if !node.is_compatible("arm,pl011") {
            return Err(node.odd("compatible", COMPATIBLE));
        }
        if !node.is_enabled() {
            return Err(node.odd("status", STATUS));
        }
        Ok(Uart { registers: registers(node, 0)?, intid: interrupt(node, 0, 3, "one interrupt")? })
    }

    /// The virtio transports. None has to be there, so one that is odd is left out.
    pub fn virtio(&self) -> impl Iterator<Item = Virtio> {
        let is_one = |node: &Node<'_>| node.is_compatible("virtio,mmio") && node.is_enabled();
        self.tree.nodes().filter(is_one).filter_map(|node| {
            let intid = interrupt(node, 0, 3, "one interrupt").ok()?;
            Some(Virtio { registers: registers(node, 0).ok()?, intid })
        })
    }

    /// How PSCI 0.2 or later is called: the way to power off a machine that is not fit to run.
    pub fn psci(tree: &Fdt<'a>) -> Result<Option<PsciMethod>, Odd<'a>> {
        let Some(node) = find(tree, &["arm,psci-1.0", "arm,psci-0.2", "arm,psci"]) else {
            return Ok(None);
        };
        if !node.is_compatible("arm,psci-1.0") && !node.is_compatible("arm,psci-0.2") {
            return Err(node.odd("compatible", "\"arm,psci-0.2\" or later"));
        }
        let method = node.required("method", "\"smc\" or \"hvc\"", |name| match name.string()? {
            "smc" => Some(PsciMethod::Smc),
            "hvc" => Some(PsciMethod::Hvc),
            _ => None,
        });
        method.map(Some)
    }
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
    // In `interrupts-extended` each specifier follows its controller's phandle.
    let is_extended =
        node.property("interrupts").is_none() && node.property("interrupts-extended").is_some();
    let (name, skip) = if is_extended { ("interrupts-extended", 1) } else { ("interrupts", 0) };
    node.required(name, wanted, |property| {
        let first = index.checked_mul(cells.saturating_add(skip))?;
        let mut cells = property.cells()?.skip(first).skip(skip);
        let (kind, number, _) = (cells.next()?, cells.next()?, cells.next()?);
        match (kind, number) {
            (0, 0..988) => Some(number + 32),    // SPI
            (1, 0..16) => Some(number + 16),     // PPI
            (2, 0..1024) => Some(number + 4096), // extended SPI
            (3, 0..64) => Some(number + 1056),   // extended PPI
            _ => None,
        }
    })
}
