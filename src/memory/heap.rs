//! EL2's own memory: VMs, vCPUs, stage-2 tables. Filled once at boot; nothing is allocated on the
//! path of an exit.

use core::alloc::Layout;
use core::sync::atomic::{AtomicU64, Ordering};

use buddy_system_allocator::LockedHeap;

use super::{PAGE_SIZE, Pa, Va};
use crate::el2::{cache, layout};

/// Blocks of any size that a word can hold: the compiler then sees that no index of the allocator
/// is out of bounds, and a VM that gives its memory back reaches no panic.
const ORDERS: usize = 64;

#[global_allocator]
static HEAP: LockedHeap<ORDERS> = LockedHeap::empty();

static PHYSICAL: AtomicU64 = AtomicU64::new(0);

/// Gives the allocator `[layout::HEAP, + length)`, which maps `[pa, + length)`.
///
/// # Safety
/// The range is mapped as data, is nobody else's, and this is called once.
pub unsafe fn init(pa: Pa, length: u64) {
    PHYSICAL.store(pa.get(), Ordering::Relaxed);
    // SAFETY: as the caller promises.
    unsafe { HEAP.lock().init(layout::HEAP.get() as usize, length as usize) };
}

/// Physical address of something on the heap.
pub fn pa(va: Va) -> Pa {
    let offset = va.get().wrapping_sub(layout::HEAP.get());
    Pa::new(PHYSICAL.load(Ordering::Relaxed)).wrapping_add(offset)
}

/// Virtual address of a part of the heap by its physical one.
pub fn va(pa: Pa) -> Va {
    let offset = pa.get().wrapping_sub(PHYSICAL.load(Ordering::Relaxed));
    layout::HEAP.wrapping_add(offset)
}

/// `count` zeroed pages in a row, aligned to `align` bytes, for as long as the machine runs.
pub fn zeroed_pages(count: u64, align: u64) -> Option<Va> {
    let (size, align) = (count.checked_mul(PAGE_SIZE)?, align.max(PAGE_SIZE));
    let layout = Layout::from_size_align(size as usize, align as usize).ok()?;
    let start = HEAP.lock().alloc(layout).ok()?;
    let va = Va::new(start.as_ptr() as u64);
    // SAFETY: whole pages that were just allocated.
    unsafe { cache::zero_to_memory(va, layout.size() as u64) };
    Some(va)
}
