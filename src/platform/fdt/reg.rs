//! `reg` and `ranges`: where a node's registers or memory lie.
//!
//! Source: Devicetree Specification v0.4, sections 2.3.5, 2.3.6 and 2.3.8.

use super::{Cells, Node, Odd};

const CELLS_WANTED: &str = "0, 1 or 2 cells";
const REG_WANTED: &str =
    "pairs of address and size, by the parent's #address-cells and #size-cells";

impl<'a> Node<'a> {
    /// `#address-cells` and `#size-cells` for its children.
    pub fn child_cells(&self) -> Result<(usize, usize), Odd<'a>> {
        let cells = |name, default: usize| {
            let read = |property: &super::Property<'a>| {
                property.u32().filter(|cells| *cells <= 2).map(|cells| cells as usize)
            };
            Ok(self.optional(name, CELLS_WANTED, read)?.unwrap_or(default))
        };
        Ok((cells("#address-cells", 2)?, cells("#size-cells", 1)?))
    }

    /// Its `reg`: pairs of address and size in the parent's address space. An error where it is
    /// missing, empty or cut off within a pair.
    pub fn reg(&self) -> Result<Reg<'a>, Odd<'a>> {
        self.reg_in(self.parent())
    }

    fn reg_in(&self, parent: Option<Node<'a>>) -> Result<Reg<'a>, Odd<'a>> {
        let (address, size) = match parent {
            Some(parent) => parent.child_cells()?,
            None => (2, 1),
        };
        let pair = address.saturating_add(size);
        self.required("reg", REG_WANTED, |property| {
            let cells = property.cells()?;
            let whole = cells.len().checked_rem(pair)? == 0 && cells.len() > 0;
            whole.then_some(Reg { cells, address, size })
        })
    }

    /// Pair `index` of its `reg` as physical address and size, translated by the `ranges` of
    /// every bus between it and the root.
    pub fn mmio(&self, index: usize) -> Result<(u64, u64), Odd<'a>> {
        let mut bus = self.parent();
        let pair = self.reg_in(bus)?.nth(index);
        let (mut address, size) = pair.ok_or_else(|| self.odd("reg", "one more pair"))?;
        while let Some((node, parent)) = bus.and_then(|bus| Some((bus, bus.parent()?))) {
            address = node.through_ranges(parent, address, size)?;
            bus = Some(parent);
        }
        match address.checked_add(size) {
            Some(_) if size > 0 => Ok((address, size)),
            _ => Err(self.odd("reg", "a size above 0 and an end below 2^64")),
        }
    }

    /// Translates an address of its children's space into `parent`'s.
    fn through_ranges(&self, parent: Node<'a>, at: u64, size: u64) -> Result<u64, Odd<'a>> {
        const WANTED: &str = "ranges that map the registers of its children";
        let wrong = || self.odd("ranges", WANTED);
        let ranges = self.property("ranges").ok_or_else(wrong)?;
        if ranges.bytes().is_empty() {
            return Ok(at);
        }
        let (child_cells, size_cells) = self.child_cells()?;
        let (parent_cells, _) = parent.child_cells()?;
        let mut cells = ranges.cells().ok_or_else(wrong)?;
        while cells.len() > 0 {
            let child = number(&mut cells, child_cells).ok_or_else(wrong)?;
            let base = number(&mut cells, parent_cells).ok_or_else(wrong)?;
            let length = number(&mut cells, size_cells).ok_or_else(wrong)?;
            let offset = at
                .checked_sub(child)
                .filter(|offset| offset.checked_add(size).is_some_and(|end| end <= length));
            if let Some(offset) = offset {
                return base.checked_add(offset).ok_or_else(wrong);
            }
        }
        Err(wrong())
    }
}

/// The pairs of a `reg`: (address, size).
#[derive(Clone)]
pub struct Reg<'a> {
    cells: Cells<'a>,
    address: usize,
    size: usize,
}

impl Iterator for Reg<'_> {
    type Item = (u64, u64);

    fn next(&mut self) -> Option<(u64, u64)> {
        if self.cells.len() == 0 {
            return None;
        }
        let address = number(&mut self.cells, self.address)?;
        Some((address, number(&mut self.cells, self.size)?))
    }
}

/// The number in the next `count` cells, at most two; no cell is zero.
fn number(cells: &mut Cells<'_>, count: usize) -> Option<u64> {
    (0..count).try_fold(0u64, |value, _| Some(value << 32 | u64::from(cells.next()?)))
}
