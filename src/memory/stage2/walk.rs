//! Walks by software: what the hardware would find, and how it would get there.

use core::fmt;

use super::{Attributes, Entry, Maintenance, Stage2, TableMemory, slot, span};
use crate::memory::{Ipa, Pa};

/// One step of a walk: a descriptor and where it was found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// Level of the table, 1 to 3.
    pub level: u8,
    /// Physical address of the descriptor.
    pub at: Pa,
    /// The descriptor.
    pub descriptor: u64,
}

/// The walk of one IPA, from the root to where it ended.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Walk {
    /// The address walked for.
    pub ipa: Ipa,
    first: Step,
    second: Option<Step>,
    third: Option<Step>,
}

/// Where an IPA leads.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Translation {
    /// The physical address.
    pub pa: Pa,
    /// Memory type and permissions.
    pub attributes: Attributes,
    /// Bytes from here to the end of the block or page: all of them are contiguous in physical
    /// memory and have the same attributes.
    pub len: u64,
}

impl Walk {
    /// The steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = Step> {
        [Some(self.first), self.second, self.third].into_iter().flatten()
    }

    /// The last step, and what its descriptor is: a leaf or invalid.
    pub fn last(&self) -> (Step, Entry) {
        let step = self.third.or(self.second).unwrap_or(self.first);
        (step, Entry::decode(step.level, step.descriptor))
    }

    /// The translation, if the walk ended in one.
    pub fn translation(&self) -> Option<Translation> {
        let (step, Entry::Leaf(pa, attributes)) = self.last() else {
            return None;
        };
        let offset = self.ipa.offset_in(span(step.level));
        Some(Translation {
            pa: pa.wrapping_add(offset),
            attributes,
            len: span(step.level) - offset,
        })
    }
}

impl fmt::Display for Walk {
    /// A line for each step: `level 1 [0x40001000] = 0x40002003: table 0x40002000`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, step) in self.steps().enumerate() {
            if i > 0 {
                f.write_str("\n")?;
            }
            let Step { level, at, descriptor } = step;
            write!(f, "level {level} [{at}] = {descriptor:#x}: ")?;
            match Entry::decode(level, descriptor) {
                Entry::Invalid => f.write_str("invalid")?,
                Entry::Table(pa) => write!(f, "table {pa}")?,
                Entry::Leaf(pa, attributes) => {
                    let kind = if level == 3 { "page" } else { "block" };
                    write!(f, "{kind} {pa}, {attributes}")?;
                }
            }
        }
        Ok(())
    }
}

impl<M: TableMemory + Maintenance> Stage2<M> {
    /// Walks the tables for `ipa` as the hardware does. An IPA outside the guest's address space
    /// is walked modulo its size; [`Stage2::translate`] refuses it.
    pub fn walk(&self, ipa: Ipa) -> Walk {
        let at = ipa.get() & ((1 << self.ipa_bits) - 1);
        let step = |level, table| {
            let at = slot(table, level, at);
            Step { level, at, descriptor: self.machine.read(at) }
        };
        let below = |above: Step| match Entry::decode(above.level, above.descriptor) {
            Entry::Table(table) => Some(step(above.level + 1, table)),
            _ => None,
        };
        let first = step(1, self.root);
        let second = below(first);
        Walk { ipa, first, second, third: second.and_then(below) }
    }

    /// Where `ipa` leads, or `None` if nothing is mapped there.
    pub fn translate(&self, ipa: Ipa) -> Option<Translation> {
        if ipa.get() >> self.ipa_bits != 0 {
            return None;
        }
        self.walk(ipa).translation()
    }
}
