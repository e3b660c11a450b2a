//! The machine behind the stage-2 tables: pages of EL2's heap, and the TLBs of all pCPUs.

use super::stage2::{Maintenance, TableMemory};
use super::{Ipa, PAGE_SIZE, Pa, heap};
use crate::el2::cache;

/// Table memory and TLB maintenance of one VM.
pub struct Tables {
    /// VTTBR_EL2 of the VM. TLB maintenance acts on the VMID in that register; until the VM has
    /// its tables (and nothing of it can be in a TLB) it is `None`.
    vttbr: Option<u64>,
}

/// From this many pages on, all of the VM's entries go at once.
const PAGE_BY_PAGE: u64 = 64;

impl Tables {
    /// For tables that aren't in use yet.
    pub const fn new() -> Self {
        Self { vttbr: None }
    }

    /// From now on the tables are reached by this VTTBR_EL2.
    pub fn set_vttbr(&mut self, vttbr: u64) {
        self.vttbr = Some(vttbr);
    }
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

impl TableMemory for Tables {
    fn allocate(&mut self, pages: usize) -> Option<Pa> {
        let pages = pages as u64;
        heap::zeroed_pages(pages, pages * PAGE_SIZE).map(heap::pa)
    }

    fn free(&mut self, table: Pa, pages: usize) {
        // SAFETY: the trait's contract: it came from `allocate`, and no walker stands in it.
        unsafe { heap::free_pages(heap::va(table), pages as u64) };
    }

    fn read(&self, at: Pa) -> u64 {
        // SAFETY: the trait's contract: `at` is in a table of the heap, 8-byte aligned.
        unsafe { (heap::va(at).get() as *const u64).read_volatile() }
    }

    fn write(&mut self, at: Pa, descriptor: u64) {
        // SAFETY: as above; the VM's stage-2 lock is held, walkers read single words.
        unsafe { (heap::va(at).get() as *mut u64).write_volatile(descriptor) };
    }
}

impl Maintenance for Tables {
    fn make_visible(&mut self) {
        cache::dsb_ishst();
        // D8.14.1: an entry that became valid may be used right after the DSB; the ISB keeps this
        // pCPU's own later AT and guest entry behind it.
        cache::isb();
    }

    fn invalidate(&mut self, ipa: Ipa, len: u64) {
        let Some(vttbr) = self.vttbr else { return };
        let pages = len / PAGE_SIZE;
        cache::with_vttbr(vttbr, || {
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
