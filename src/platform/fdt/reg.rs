//! `reg` and `ranges`: where a node's registers or memory lie.
//!
//! Source: Devicetree Specification v0.4, sections 2.3.5, 2.3.6 and 2.3.8.

use super::{Node, Odd};

const REG_WANTED: &str =
    "pairs of address and size, by the parent's #address-cells and #size-cells";
const RANGES_WANTED: &str = "ranges that map the registers of its children";

impl<'a> Node<'a> {
    /// `#address-cells` and `#size-cells` for its children.
    pub fn child_cells(&self) -> Result<(usize, usize), Odd<'a>> {
        let cells = |name, default| {
            let cells = self.optional(name, "0, 1 or 2 cells", |property| {
                property.u32().filter(|cells| *cells <= 2)
            });
            cells.map(|cells| cells.unwrap_or(default) as usize)
        };
        Ok((cells("#address-cells", 2)?, cells("#size-cells", 1)?))
    }

    /// Its `reg`: pairs of address and size in the parent's address space. An error where it is
    /// missing, empty or cut off within a pair.
    pub fn reg(&self) -> Result<impl Iterator<Item = (u64, u64)> + use<'a>, Odd<'a>> {
        self.reg_in(self.parent())
    }

    fn reg_in(
        &self,
        parent: Option<Node<'a>>,
    ) -> Result<impl Iterator<Item = (u64, u64)> + use<'a>, Odd<'a>> {
        let cells = parent.map(|parent| parent.child_cells());
        let (address, size) = cells.unwrap_or(Ok((2, 1)))?;
        let pair = address.saturating_add(size);
        let cells = self.required("reg", REG_WANTED, |reg| {
            let cells = reg.words().filter(|cells| !cells.is_empty())?;
            (cells.len().checked_rem(pair)? == 0).then_some(cells)
        })?;
        let split = move |pair: &[[u8; 4]]| (number(pair, 0, address), number(pair, address, size));
        Ok(cells.chunks_exact(pair).map(split))
    }

    /// Pair `index` of its `reg` as physical address and size, translated by the `ranges` of
    /// every bus between it and the root.
    pub fn mmio(&self, index: usize) -> Result<(u64, u64), Odd<'a>> {
        let buses = self.ancestors();
        let pair = self.reg_in(buses.last().copied())?.nth(index);
        let (mut address, size) = pair.ok_or_else(|| self.odd("reg", "one more pair"))?;
        for (bus, parent) in buses.iter().rev().zip(buses.iter().rev().skip(1)) {
            address = bus.through_ranges(*parent, address, size)?;
        }
        match address.checked_add(size) {
            Some(_) if size > 0 => Ok((address, size)),
            _ => Err(self.odd("reg", "a size above 0 and an end below 2^64")),
        }
    }

    /// Translates an address of its children's space into `parent`'s.
    fn through_ranges(&self, parent: Node<'a>, at: u64, size: u64) -> Result<u64, Odd<'a>> {
        let (child, length) = self.child_cells()?;
        let (base, _) = parent.child_cells()?;
        self.required("ranges", RANGES_WANTED, |ranges| {
            let cells = ranges.words()?;
            if cells.is_empty() {
                return Some(at);
            }
            let entry = child.saturating_add(base).saturating_add(length);
            let mut entries = cells.chunks_exact(entry.max(1));
            entries.find_map(|entry| {
                let offset = at.checked_sub(number(entry, 0, child))?;
                let end = offset.checked_add(size)?;
                let fits = end <= number(entry, child.saturating_add(base), length);
                number(entry, child, base).checked_add(offset).filter(|_| fits)
            })
        })
    }
}

/// The number in `count` cells from `first` on, at most two.
fn number(cells: &[[u8; 4]], first: usize, count: usize) -> u64 {
    let cells = cells.iter().skip(first).take(count);
    cells.fold(0, |number, cell| number << 32 | u64::from(u32::from_be_bytes(*cell)))
}
