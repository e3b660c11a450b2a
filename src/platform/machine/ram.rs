//! Memory: what there is, what is reserved, and what is left.

use super::{MAX_RAM, MAX_RESERVED, MachineError, Place, has_type};
use crate::memory::{PAGE_SIZE, Pa, align_up};
use crate::platform::fdt::{Fdt, Node};
use crate::platform::list::List;

/// A range of physical memory, in bytes. Its end is below 2^64.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Region {
    /// Its first byte.
    pub base: Pa,
    /// Its size in bytes.
    pub size: u64,
}

impl Region {
    /// The address behind its last byte.
    pub fn end(&self) -> Pa {
        self.base.wrapping_add(self.size)
    }

    /// The pages that lie wholly inside, as start and end addresses.
    fn inner(&self) -> Option<(u64, u64)> {
        let start = align_up(self.base.get(), PAGE_SIZE)?;
        let end = self.end().align_down(PAGE_SIZE).get();
        (start < end).then_some((start, end))
    }

    /// The pages that it touches, as start and end addresses; an end at 2^64 is drawn in, where
    /// no whole page of RAM can follow.
    fn outer(&self) -> Option<(u64, u64)> {
        let start = self.base.align_down(PAGE_SIZE).get();
        let end = align_up(self.base.get().saturating_add(self.size), PAGE_SIZE);
        (self.size > 0).then_some((start, end.unwrap_or(u64::MAX)))
    }
}

/// The machine's RAM: the `reg` of every node of `device_type = "memory"`.
pub(super) fn ram<'a>(tree: &Fdt<'a>) -> Result<List<Region, MAX_RAM>, MachineError<'a>> {
    let mut ram = List::new();
    for node in tree.root().children().filter(|node| has_type(node, "memory") && node.is_okay()) {
        push_reg(&mut ram, node, "RAM regions")?;
    }
    if ram.is_empty() {
        return Err(MachineError::NoNode("device_type \"memory\" with a size above 0"));
    }
    Ok(ram)
}

/// What must be left alone. A child of `/reserved-memory` without a `reg` asks an operating
/// system to choose a place for it, and reserves nothing yet.
pub(super) fn reserved<'a>(tree: &Fdt<'a>) -> Result<List<Region, MAX_RESERVED>, MachineError<'a>> {
    const WHAT: &str = "reserved regions";
    let mut reserved = List::new();
    for (base, size) in tree.reservations() {
        push(&mut reserved, None, WHAT, base, size)?;
    }
    let children = tree.node("/reserved-memory").into_iter().flat_map(|node| node.children());
    for node in children.filter(|node| node.is_okay() && node.property("reg").is_some()) {
        push_reg(&mut reserved, node, WHAT)?;
    }
    Ok(reserved)
}

/// Whether `region` lies in RAM without a gap.
pub(super) fn is_ram(ram: &[Region], region: Region) -> bool {
    let mut piece = UsableRam::new(ram, &[], &[]);
    piece.at = region.base.align_down(PAGE_SIZE).get();
    let found = piece.next_ram();
    found.is_some_and(|(start, end)| start <= region.base.get() && region.end().get() <= end)
}

fn push_reg<'a, const N: usize>(
    list: &mut List<Region, N>,
    node: Node<'a>,
    what: &'static str,
) -> Result<(), MachineError<'a>> {
    for (base, size) in node.reg()?.filter(|(_, size)| *size > 0) {
        push(list, Some(node), what, base, size)?;
    }
    Ok(())
}

fn push<'a, const N: usize>(
    list: &mut List<Region, N>,
    node: Option<Node<'a>>,
    what: &'static str,
    base: u64,
    size: u64,
) -> Result<(), MachineError<'a>> {
    if base.checked_add(size).is_none() {
        return Err(MachineError::RegionEnd(Place(node), base, size));
    }
    let region = Region { base: Pa::new(base), size };
    list.push(region).map_err(|_| MachineError::TooMany(Place(node), what, N))
}

/// The RAM that is left when the reserved and the claimed regions are taken out.
#[derive(Clone)]
pub struct UsableRam<'s> {
    ram: &'s [Region],
    taken: [&'s [Region]; 2],
    /// Everything below has been given out or passed over.
    at: u64,
}

impl<'s> UsableRam<'s> {
    pub(super) fn new(ram: &'s [Region], reserved: &'s [Region], claimed: &'s [Region]) -> Self {
        Self { ram, taken: [reserved, claimed], at: 0 }
    }

    /// The first RAM at or after `self.at`, with all that adjoins or overlaps it.
    fn next_ram(&self) -> Option<(u64, u64)> {
        let pieces = || self.ram.iter().filter_map(Region::inner);
        let ahead = pieces().filter(|(_, end)| *end > self.at);
        let (start, mut end) = ahead.min_by_key(|(start, _)| (*start).max(self.at))?;
        while let Some((_, further)) = pieces().find(|(from, to)| *from <= end && *to > end) {
            end = further;
        }
        Some((start.max(self.at), end))
    }
}

impl Iterator for UsableRam<'_> {
    type Item = Region;

    fn next(&mut self) -> Option<Region> {
        loop {
            let (start, end) = self.next_ram()?;
            let taken = self.taken.iter().copied().flatten().filter_map(Region::outer);
            if let Some((_, behind)) =
                taken.clone().find(|(from, to)| *from <= start && start < *to)
            {
                self.at = behind;
                continue;
            }
            let stop = taken.map(|(from, _)| from).filter(|from| *from > start).min();
            self.at = stop.map_or(end, |stop| stop.min(end));
            let size = self.at.saturating_sub(start);
            return Some(Region { base: Pa::new(start), size });
        }
    }
}
