//! Stage-2 translation tables: from a guest's addresses to the machine's.
//!
//! 4 KiB granule, walks start at level 1. A level-1 descriptor translates 1 GiB, level 2 2 MiB,
//! level 3 4 KiB; a mapping gets the largest that its two addresses and its length allow. With
//! 40-bit IPAs the level-1 table has 1,024 entries: two concatenated tables of 4 KiB, side by
//! side and aligned to 8 KiB (Arm DDI 0487, "Concatenated translation tables").
//!
//! **The hardware reads these tables while we write them.** Other pCPUs may run the guest during
//! every call, so each descriptor is one 64-bit store, and the order of stores and maintenance
//! follows DDI 0487, D8, "TLB maintenance" and "Using break-before-make when updating
//! translation table entries":
//!
//! - *invalid → valid* ([`Stage2::map`]): the stores, then DSB. An invalid descriptor is never
//!   held in a TLB, so nothing has to be invalidated.
//! - *valid → invalid* ([`Stage2::unmap`]): the stores, DSB, TLBI, DSB. Only then are the tables
//!   that became empty given back: until then a walker may still stand in them.
//!
//! Blocks are never split, and tables never joined to a block: there is nothing for which
//! break-before-make would be needed.
//!
//! Everything here is pure: [`TableMemory`] is the machine, implemented by EL2 and, for tests, by a
//! simulation with a hostile TLB.

mod descriptor;

use core::ops::RangeInclusive;

use thiserror::Error;

use crate::memory::{Ipa, PAGE_SIZE, Pa};

pub use descriptor::{Attributes, vtcr, vttbr};
use descriptor::{Entry, VALID, shift, span};

/// Entries of a table page.
const ENTRIES: u64 = 512;
/// The smallest and largest IPA size. Start level 1 reaches from 31 to 43 bits; the machine has
/// at least 32, and no guest is given more than 40.
const IPA_BITS: RangeInclusive<u8> = 32..=40;
/// Output addresses of our descriptors end here: DS = 0.
const PA_END: u64 = 1 << 48;

/// Memory for the tables of one VM, with the barriers and TLB maintenance for what is written there.
pub trait TableMemory {
    /// The root table: [`root_pages`] adjacent pages, aligned to their common size and full of
    /// zeros to begin with.
    fn root(&self) -> Pa;

    /// Takes a page full of zeros. `None` if there are none left.
    fn allocate(&mut self) -> Option<Pa>;

    /// Gives back what [`TableMemory::allocate`] gave. All of it is zero again but the first
    /// entry, which may be anything.
    fn free(&mut self, table: Pa);

    /// Reads the descriptor at `at` in a table that is allocated.
    fn read(&self, at: Pa) -> u64;

    /// Stores the descriptor at `at` in a table that is allocated, as a single 64-bit store:
    /// the hardware may read it at the same time.
    fn write(&mut self, at: Pa, descriptor: u64);

    /// Makes all stores to tables so far visible to the table walkers of all pCPUs: DSB ISHST.
    fn make_visible(&mut self);

    /// Removes from all pCPUs' TLBs what the VM's tables said about `len` bytes from `ipa`,
    /// intermediate entries included; returns when it is done.
    ///
    /// With the VM's VMID in VTTBR_EL2: TLBI IPAS2E1IS for each page (or, for more than some
    /// dozens, TLBI VMALLS12E1IS at once), DSB ISH, and TLBI VMALLE1IS, because a TLB may hold
    /// stage 1 and stage 2 combined, under the VA, where an operation by IPA does not find them
    /// (DDI 0487, D8, "TLB maintenance instructions", IPAS2E1); then DSB ISH, ISB.
    fn invalidate(&mut self, ipa: Ipa, len: u64);
}

/// Why a change of the tables was refused. The translation is as it was before. Lengths are bytes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum Error {
    /// Another IPA size than 32 to 40 bits.
    #[error("stage 2: IPA size of {0} bits, want 32 to 40")]
    IpaBits(u8),
    /// An address or the length is not a multiple of 4 KiB, or the length is 0: IPA, PA (0 where
    /// there is none) and length.
    #[error("stage 2: IPA {0}, PA {1}, length {2:#x}: want multiples of {PAGE_SIZE:#x}")]
    Unaligned(Ipa, Pa, u64),
    /// The range passes the end of the guest's address space: IPA, length and that end.
    #[error("stage 2: IPA {0}, length {1:#x}: want an end up to {2:#x}")]
    IpaRange(Ipa, u64, u64),
    /// The range passes the end of what a descriptor can express: PA and length.
    #[error("stage 2: PA {0}, length {1:#x}: want an end up to {PA_END:#x}")]
    PaRange(Pa, u64),
    /// Something is mapped at this IPA already.
    #[error("stage 2: IPA {0} is mapped already")]
    Overlap(Ipa),
    /// A part of the block at this IPA is to go.
    #[error("stage 2: the block at IPA {0} goes as a whole or not at all")]
    Part(Ipa),
    /// No memory for a table.
    #[error("stage 2: no memory for a table")]
    NoTables,
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

/// The stage-2 tables of one VM.
pub struct Stage2<M: TableMemory> {
    machine: M,
    ipa_bits: u8,
}

impl<M: TableMemory> Stage2<M> {
    /// The empty tables of `machine`, for a guest with `ipa_bits` (32 to 40) of address.
    pub fn new(mut machine: M, ipa_bits: u8) -> Result<Self, Error> {
        if !IPA_BITS.contains(&ipa_bits) {
            return Err(Error::IpaBits(ipa_bits));
        }
        machine.make_visible();
        Ok(Self { machine, ipa_bits })
    }

    /// Maps `len` bytes at `ipa` to `pa`, all multiples of 4 KiB, with the largest blocks that
    /// fit. Refuses to map over anything; leaves nothing behind when tables run out.
    pub fn map(&mut self, ipa: Ipa, pa: Pa, len: u64, attributes: Attributes) -> Result<(), Error> {
        let end = self.check(ipa, pa, len)?;
        if pa.get().checked_add(len).is_none_or(|end| end > PA_END) {
            return Err(Error::PaRange(pa, len));
        }
        let mut at = ipa.get();
        while at < end {
            let (level, _, entry) = self.walk(at);
            if entry != Entry::Invalid {
                return Err(Error::Overlap(Ipa::new(at)));
            }
            at = next(at, level, end);
        }
        let offset = pa.get().wrapping_sub(ipa.get());
        let result = self.fill(ipa.get(), end, offset, attributes);
        if result.is_err() {
            self.clear(ipa.get(), end);
        } else {
            self.machine.make_visible();
        }
        result
    }

    /// Removes what is mapped within `len` bytes from `ipa`, multiples of 4 KiB; holes are no
    /// error. When it returns, no TLB of the machine translates any of it. Blocks are not split: one
    /// that reaches over an end of the range is refused.
    pub fn unmap(&mut self, ipa: Ipa, len: u64) -> Result<(), Error> {
        let end = self.check(ipa, Pa::new(0), len)?;
        for at in [ipa.get(), end - 1] {
            if let (level, _, Entry::Leaf(..)) = self.walk(at) {
                let block = at & !(span(level) - 1);
                if block < ipa.get() || end - block < span(level) {
                    return Err(Error::Part(Ipa::new(block)));
                }
            }
        }
        self.clear(ipa.get(), end);
        Ok(())
    }

    /// The tables, for who looks on.
    pub const fn tables(&self) -> &M {
        &self.machine
    }

    /// Where `ipa` leads, or `None` if nothing is mapped there.
    pub fn translate(&self, ipa: Ipa) -> Option<Translation> {
        if ipa.get() >> self.ipa_bits != 0 {
            return None;
        }
        let (level, _, Entry::Leaf(pa, attributes)) = self.walk(ipa.get()) else { return None };
        let offset = ipa.offset_in(span(level));
        Some(Translation { pa: pa.wrapping_add(offset), attributes, len: span(level) - offset })
    }

    /// Walks the tables for the IPA `at` as the hardware does, to a leaf or to nothing. Returns
    /// the last descriptor: its level, where it lies, and what it says.
    fn walk(&self, at: u64) -> (u8, Pa, Entry) {
        let (mut level, mut table) = (1, self.machine.root());
        loop {
            let slot = slot(table, level, at);
            match Entry::decode(level, self.machine.read(slot)) {
                Entry::Table(below) => (level, table) = (level + 1, below),
                last => return (level, slot, last),
            }
        }
    }

    /// The end of the range, if it is a proper one.
    fn check(&self, ipa: Ipa, pa: Pa, len: u64) -> Result<u64, Error> {
        if (ipa.get() | pa.get() | len) & (PAGE_SIZE - 1) != 0 || len == 0 {
            return Err(Error::Unaligned(ipa, pa, len));
        }
        let limit = 1 << self.ipa_bits;
        match ipa.get().checked_add(len) {
            Some(end) if end <= limit => Ok(end),
            _ => Err(Error::IpaRange(ipa, len, limit)),
        }
    }

    /// Maps `at..end`, which is not mapped, to what lies `offset` further.
    fn fill(
        &mut self,
        mut at: u64,
        end: u64,
        offset: u64,
        attributes: Attributes,
    ) -> Result<(), Error> {
        while at < end {
            let (level, slot, _) = self.walk(at);
            let (stop, pa) = (next(at, level, end), at.wrapping_add(offset));
            let fits = (at | pa) & (span(level) - 1) == 0 && stop - at == span(level);
            if fits {
                self.machine.write(slot, Entry::Leaf(Pa::new(pa), attributes).encode(level));
                at = stop;
            } else {
                let table = self.machine.allocate().ok_or(Error::NoTables)?;
                // Its zeros must be seen before the descriptor that leads to them.
                self.machine.make_visible();
                self.machine.write(slot, Entry::Table(table).encode(level));
            }
        }
        Ok(())
    }

    /// Removes `at..end` from tables and TLBs.
    fn clear(&mut self, at: u64, end: u64) {
        let mut removed = 0;
        if self.clear_below(self.machine.root(), 1, at, end, &mut removed) {
            self.machine.make_visible();
            self.machine.invalidate(Ipa::new(at), end - at);
        }
        while removed != 0 {
            let table = Pa::new(removed & !(PAGE_SIZE - 1));
            removed = self.machine.read(table);
            self.machine.free(table);
        }
    }

    /// Makes the descriptors of `at..end` invalid, below `table` of `level`. Says whether there
    /// was anything.
    ///
    /// Tables that became empty are collected in `removed`: a walker may still read them until
    /// the TLBs are invalidated. They are chained through their own first entries, since in an
    /// invalid descriptor the hardware ignores all but bit 0: so the list needs no memory.
    fn clear_below(
        &mut self,
        table: Pa,
        level: u8,
        mut at: u64,
        end: u64,
        removed: &mut u64,
    ) -> bool {
        let mut changed = false;
        while at < end {
            let slot = slot(table, level, at);
            let stop = next(at, level, end);
            match Entry::decode(level, self.machine.read(slot)) {
                Entry::Invalid => {}
                Entry::Leaf(..) => {
                    self.machine.write(slot, 0);
                    changed = true;
                }
                Entry::Table(below) => {
                    changed |= self.clear_below(below, level + 1, at, stop, removed);
                    if stop - at == span(level) || self.is_empty(below) {
                        self.machine.write(slot, 0);
                        // Bit 0 stays 0: for the hardware the entry is invalid as before. Bit 1
                        // tells the end of the chain from a table at address 0.
                        self.machine.write(below, *removed);
                        *removed = below.get() | 2;
                        changed = true;
                    }
                }
            }
            at = stop;
        }
        changed
    }

    fn is_empty(&self, table: Pa) -> bool {
        (0..ENTRIES).all(|index| self.machine.read(table.wrapping_add(index * 8)) & VALID == 0)
    }
}

/// Pages of the root: level 1 reaches 39 bits with one, and 40 with two, concatenated.
pub const fn root_pages(ipa_bits: u8) -> u64 {
    1 << ipa_bits.saturating_sub(39)
}

/// Where the descriptor for `at` lies in a table of `level`. Only the root has more than 512
/// entries, because IPAs end where it ends.
const fn slot(table: Pa, level: u8, at: u64) -> Pa {
    let index = at >> shift(level);
    let index = if level == 1 { index } else { index % ENTRIES };
    table.wrapping_add(index * 8)
}

/// The end of the descriptor of `level` that translates `at`, but no more than `end`.
const fn next(at: u64, level: u8, end: u64) -> u64 {
    let next = (at | (span(level) - 1)) + 1;
    if next < end { next } else { end }
}

#[cfg(test)]
mod tests;
