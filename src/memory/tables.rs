//! The machine behind the stage-2 tables: pages of EL2's heap, and the TLBs of all pCPUs.

use super::stage2::{TableMemory, root_pages, vttbr};
use super::{BLOCK_SIZE, GIB, Ipa, PAGE_SIZE, Pa, heap};
use crate::el2::cache;

/// Table memory and TLB maintenance of one VM. The memory is taken from the heap when the VM is
/// made, and is the VM's for good, whether it runs or is off: nothing is allocated later.
pub struct Tables {
    /// VTTBR_EL2 of the VM: TLB maintenance acts on the VMID in that register.
    vttbr: u64,
    root: Pa,
    /// The first free page, or 0. Each holds the next one's address in its first word, and zeros.
    free: u64,
}

/// From this many pages on, all of the VM's entries go at once.
const PAGE_BY_PAGE: u64 = 64;

impl Tables {
    /// For the VM of `vmid` with `ipa_bits` of address and `memory` at these IPAs, each so many
    /// bytes: a root; for each a table of level 2 a gigabyte; and for what isn't whole frames of
    /// 2 MiB, those of level 3. Either may begin and end within a table. `None` if the heap is
    /// full.
    pub fn new(vmid: u16, ipa_bits: u8, memory: impl Iterator<Item = (Ipa, u64)>) -> Option<Self> {
        let root_pages = root_pages(ipa_bits);
        let tables = memory.map(|(ipa, bytes)| {
            let level_2 = bytes.div_ceil(GIB) + 1;
            let whole = ipa.is_aligned(BLOCK_SIZE) && bytes % BLOCK_SIZE == 0;
            let level_3 = if whole { 0 } else { bytes.div_ceil(BLOCK_SIZE) + 1 };
            level_2 + level_3
        });
        let pages = tables.fold(root_pages, u64::saturating_add);
        let root = heap::pa(heap::zeroed_pages(pages, root_pages * PAGE_SIZE)?);
        let mut tables = Self { vttbr: vttbr(vmid, root), root, free: 0 };
        for page in root_pages..pages {
            tables.free(root.wrapping_add(page * PAGE_SIZE));
        }
        Some(tables)
    }

    /// VTTBR_EL2 by which the tables are reached.
    pub fn vttbr(&self) -> u64 {
        self.vttbr
    }
}

impl TableMemory for Tables {
    fn root(&self) -> Pa {
        self.root
    }

    fn allocate(&mut self) -> Option<Pa> {
        if self.free == 0 {
            return None;
        }
        let table = Pa::new(self.free);
        self.free = self.read(table);
        self.write(table, 0);
        Some(table)
    }

    fn free(&mut self, table: Pa) {
        self.write(table, self.free);
        self.free = table.get();
    }

    fn read(&self, at: Pa) -> u64 {
        // SAFETY: the trait's contract: `at` is in a table of the heap, 8-byte aligned.
        unsafe { (heap::va(at).get() as *const u64).read_volatile() }
    }

    fn write(&mut self, at: Pa, descriptor: u64) {
        // SAFETY: as above; the VM's stage-2 lock is held, walkers read single words.
        unsafe { (heap::va(at).get() as *mut u64).write_volatile(descriptor) };
    }

    fn make_visible(&mut self) {
        cache::dsb_ishst();
        // D8.14.1: an entry that became valid may be used right after the DSB; the ISB keeps this
        // pCPU's own later AT and guest entry behind it.
        cache::isb();
    }

    fn invalidate(&mut self, ipa: Ipa, len: u64) {
        let pages = len / PAGE_SIZE;
        cache::with_vttbr(self.vttbr, || {
            if pages > PAGE_BY_PAGE {
                cache::tlbi_vmalls12e1is();
            } else {
                for page in 0..pages {
                    cache::tlbi_ipas2e1is(ipa.wrapping_add(page * PAGE_SIZE));
                }
                // D8.14.5: combined entries are found by VA only; the stage-2 part has to be
                // complete before.
                cache::dsb_ish();
                cache::tlbi_vmalle1is();
            }
            cache::dsb_ish();
            cache::isb();
        });
    }
}
