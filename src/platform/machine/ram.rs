//! Memory: what there is, what is reserved, and what is left.

use arrayvec::ArrayVec;

use super::{MAX_RAM, MAX_RESERVED, is_usable};
use crate::memory::{PAGE_SIZE, Pa, align_up};
use crate::platform::fdt::{Fdt, Found, Node, Odd};

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
pub(super) fn ram<'a>(tree: &Fdt<'a>) -> Result<ArrayVec<Region, MAX_RAM>, Odd<'a>> {
    let mut ram = ArrayVec::new();
    for node in tree.root().children().filter(|node| is_usable(node, "memory")) {
        push(&mut ram, node, "reg", "at most 16 RAM regions", node.reg()?)?;
    }
    match ram.is_empty() {
        true => Err(tree.lacks("device_type", "\"memory\" with a size above 0")),
        false => Ok(ram),
    }
}

/// What must be left alone. A child of `/reserved-memory` without a `reg` asks an operating
/// system to choose a place for it, and reserves nothing yet.
pub(super) fn reserved<'a>(tree: &Fdt<'a>) -> Result<ArrayVec<Region, MAX_RESERVED>, Odd<'a>> {
    const FULL: &str = "at most 32 reserved regions";
    let mut reserved = ArrayVec::new();
    push(&mut reserved, tree.root(), "/memreserve/", FULL, tree.reservations())?;
    let children = tree.node("/reserved-memory").into_iter().flat_map(|node| node.children());
    for node in children.filter(|node| node.is_okay() && node.property("reg").is_some()) {
        push(&mut reserved, node, "reg", FULL, node.reg()?)?;
    }
    Ok(reserved)
}

/// Adds the pairs of a property to a list; those of size zero are none.
fn push<'a, const N: usize>(
    list: &mut ArrayVec<Region, N>,
    node: Node<'a>,
    property: &'a str,
    full: &'static str,
    pairs: impl Iterator<Item = (u64, u64)>,
) -> Result<(), Odd<'a>> {
    for (base, size) in pairs.filter(|(_, size)| *size > 0) {
        let odd = |wanted| Odd { node, property, found: Found::Range(base, size), wanted };
        base.checked_add(size).ok_or(odd("an end below 2^64"))?;
        list.try_push(Region { base: Pa::new(base), size }).map_err(|_| odd(full))?;
    }
    Ok(())
}

/// Whether `region` lies in RAM without a gap.
pub(super) fn is_ram(ram: &[Region], region: Region) -> bool {
    let found = next(ram, region.base.align_down(PAGE_SIZE).get());
    found.is_some_and(|(start, end)| start <= region.base.get() && region.end().get() <= end)
}

/// The first RAM at or after `at`, with all that adjoins or overlaps it: start and end.
fn next(ram: &[Region], at: u64) -> Option<(u64, u64)> {
    let pieces = || ram.iter().filter_map(Region::inner);
    let ahead = pieces().filter(|(_, end)| *end > at);
    let (start, mut end) = ahead.min_by_key(|(start, _)| (*start).max(at))?;
    while let Some((_, further)) = pieces().find(|(from, to)| *from <= end && *to > end) {
        end = further;
    }
    Some((start.max(at), end))
}

/// The RAM that is left when the regions of the `taken` lists are out of it.
pub(super) fn usable<'s>(
    ram: &'s [Region],
    taken: [&'s [Region]; 2],
) -> impl Iterator<Item = Region> + use<'s> {
    // Everything below has been given out or passed over.
    let mut at = 0;
    core::iter::from_fn(move || {
        loop {
            let (start, end) = next(ram, at)?;
            let taken = taken.iter().copied().flatten().filter_map(Region::outer);
            let over = taken.clone().find(|(from, to)| *from <= start && start < *to);
            let stop = taken.map(|(from, _)| from).filter(|from| *from > start).min();
            at = over.map_or(stop.unwrap_or(end).min(end), |(_, behind)| behind);
            if over.is_none() {
                return Some(Region { base: Pa::new(start), size: at.saturating_sub(start) });
            }
        }
    })
}
