//! EL2's own stage-1 translation (DDI 0487 D8): one map for all pCPUs, W^X, nothing of the guests.
//!
//! Tables come from a fixed pool in bss: the map is built before there is a heap, and it changes
//! little afterwards: devices and stacks at boot, then only the windows.

use core::sync::atomic::{AtomicU64, Ordering};

use spin::{Mutex, Once};
use thiserror::Error;

use super::layout;
use super::{cache, percpu};
use crate::memory::{BLOCK_SIZE, PAGE_SIZE, Pa, Va};

/// What may be done with a range. There is nothing that is both writable and executable, and
/// SCTLR_EL2.WXN holds it so.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Instructions: read and execute.
    Text,
    /// Constants, and blobs that were handed over: read.
    ReadOnly,
    /// Data: read and write.
    Data,
    /// Device registers, nGnRE: read and write, never speculated.
    Device,
}

/// Descriptor bits (D8.3): valid, AF.
const VALID: u64 = 1;
const TABLE_OR_PAGE: u64 = 1 << 1;
const ACCESSED: u64 = 1 << 10;
/// AP[1] is RES1 in EL2's regime; AP[2] makes it read-only.
const AP1: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const EXECUTE_NEVER: u64 = 1 << 54;
/// AttrIndx 1 of MAIR_EL2 (head.rs): device nGnRE. Index 0 is Normal write-back.
const DEVICE: u64 = 1 << 2;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

impl Access {
    const fn bits(self) -> u64 {
        let common = VALID | ACCESSED | AP1;
        match self {
            Access::Text => common | INNER_SHAREABLE | READ_ONLY,
            Access::ReadOnly => common | INNER_SHAREABLE | READ_ONLY | EXECUTE_NEVER,
            Access::Data => common | INNER_SHAREABLE | EXECUTE_NEVER,
            Access::Device => common | DEVICE | EXECUTE_NEVER,
        }
    }
}

/// Why a range can't be mapped.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
pub enum MapError {
    /// The pool of tables is used up.
    #[error("no table is left of {POOL}")]
    NoTables,
    /// Address or length isn't a multiple of 4 KiB.
    #[error("VA {0}, PA {1}, {2:#x} bytes: wanted multiples of {PAGE_SIZE:#x}")]
    Unaligned(Va, Pa, u64),
    /// Something is mapped there already.
    #[error("VA {0} is mapped already")]
    Occupied(Va),
}

const POOL: usize = 64;

#[repr(C, align(4096))]
struct Table([AtomicU64; 512]);

static TABLES: [Table; POOL] = [const { Table([const { AtomicU64::new(0) }; 512]) }; POOL];

/// How many of them are in use, the root first. Its lock is the map's: only the windows' entries are
/// written without it, each by the pCPU that it belongs to.
static USED: Mutex<usize> = Mutex::new(0);

/// Physical address of the image's first byte, set once at boot.
static IMAGE_PA: AtomicU64 = AtomicU64::new(0);

/// Physical address of something in the image: a static.
pub fn image_pa<T>(object: *const T) -> Pa {
    let offset = (object as u64).wrapping_sub(layout::IMAGE.get());
    Pa::new(IMAGE_PA.load(Ordering::Relaxed)).wrapping_add(offset)
}

/// The root table's physical address, for secondaries.
pub fn root() -> Pa {
    image_pa(&TABLES[0])
}

fn new_table(used: &mut usize) -> Result<u64, MapError> {
    let table = TABLES.get(*used).ok_or(MapError::NoTables)?;
    *used += 1;
    Ok(image_pa(table).get())
}

/// The table that covers `va` at `level`, with those that are missing on the way to it.
fn table(used: &mut usize, va: Va, level: u32) -> Result<&'static Table, MapError> {
    let mut table = &TABLES[0];
    for at in 0..level {
        let entry = &table.0[index(va, at)];
        let mut descriptor = entry.load(Ordering::Relaxed);
        if descriptor == 0 {
            descriptor = new_table(used)? | VALID | TABLE_OR_PAGE;
            // The new table is zero, and visible before the entry: same observer, and the DSB in
            // `map` precedes any use.
            entry.store(descriptor, Ordering::Relaxed);
        } else if descriptor & TABLE_OR_PAGE == 0 {
            return Err(MapError::Occupied(va));
        }
        let offset = (descriptor & ADDRESS).wrapping_sub(root().get());
        table = TABLES.get((offset / PAGE_SIZE) as usize).ok_or(MapError::NoTables)?;
    }
    Ok(table)
}

const fn index(va: Va, level: u32) -> usize {
    (va.get() >> (39 - 9 * level)) as usize & 511
}

/// Maps `[pa, pa + length)` at `va`, in 2 MiB blocks where both are aligned to it. The range must
/// be free: nothing is ever replaced, so no break-before-make is needed (D8.14.1).
pub fn map(va: Va, pa: Pa, length: u64, access: Access) -> Result<(), MapError> {
    if !va.is_aligned(PAGE_SIZE) || !pa.is_aligned(PAGE_SIZE) || !length.is_multiple_of(PAGE_SIZE) {
        return Err(MapError::Unaligned(va, pa, length));
    }
    let mut used = USED.lock();
    let mut done = 0;
    // The table of the entry before, for most pages follow one another in it.
    let mut last: Option<(&Table, u32, u64)> = None;
    while done < length {
        let (va, pa) = (va.wrapping_add(done), pa.wrapping_add(done));
        let block = va.is_aligned(BLOCK_SIZE) && pa.is_aligned(BLOCK_SIZE);
        let (level, size, kind) = if block && length - done >= BLOCK_SIZE {
            (2, BLOCK_SIZE, 0)
        } else {
            (3, PAGE_SIZE, TABLE_OR_PAGE)
        };
        let unit = va.get() >> (48 - 9 * level);
        let table = match last {
            Some((table, its, of)) if (its, of) == (level, unit) => table,
            _ => table(&mut used, va, level)?,
        };
        last = Some((table, level, unit));
        let entry = &table.0[index(va, level)];
        if entry.load(Ordering::Relaxed) != 0 {
            return Err(MapError::Occupied(va));
        }
        entry.store(pa.get() | access.bits() | kind, Ordering::Relaxed);
        done += size;
    }
    cache::dsb_ishst();
    cache::isb();
    Ok(())
}

/// Maps the pages in which `[pa, pa + length)` lies, in `area`, with the same offset in a 2 MiB unit
/// as `pa` has, so that blocks fit; returns where `pa` is.
pub fn map_bytes(area: Va, pa: Pa, length: u64, access: Access) -> Result<Va, MapError> {
    let first = pa.align_down(PAGE_SIZE);
    let pages = pa.offset_in(PAGE_SIZE).saturating_add(length).next_multiple_of(PAGE_SIZE);
    map(area.wrapping_add(first.offset_in(BLOCK_SIZE)), first, pages, access)?;
    Ok(area.wrapping_add(pa.offset_in(BLOCK_SIZE)))
}

/// Maps device registers at the next free place of [`layout::DEVICES`]; returns where `pa` is.
pub fn map_device(pa: Pa, length: u64) -> Result<Va, MapError> {
    static NEXT: AtomicU64 = AtomicU64::new(layout::DEVICES.get());
    // 2 MiB units of its own for each.
    let units = (pa.offset_in(BLOCK_SIZE) + length).next_multiple_of(BLOCK_SIZE);
    let area = Va::new(NEXT.fetch_add(units, Ordering::Relaxed));
    map_bytes(area, pa, length, Access::Device)
}

unsafe extern "C" {
    static __text_end: u8;
    static __rodata_end: u8;
    static __image_end: u8;
    fn replace_root();
    fn _start();
}

/// Builds the real map of the image and leaves the boot map for it.
///
/// # Safety
/// Called once, by the boot CPU, on the boot map; `image` is where the image was loaded.
pub unsafe fn init(image: Pa) -> Result<(), MapError> {
    IMAGE_PA.store(image.get(), Ordering::Relaxed);
    let text_end = (&raw const __text_end) as u64;
    let rodata_end = (&raw const __rodata_end) as u64;
    let image_end = (&raw const __image_end) as u64;
    let base = layout::IMAGE.get();
    new_table(&mut USED.lock())?;
    let sections = [
        (base, text_end, Access::Text),
        (text_end, rodata_end, Access::ReadOnly),
        (rodata_end, image_end, Access::Data),
    ];
    for (start, end, access) in sections {
        map(Va::new(start), image.wrapping_add(start - base), end - start, access)?;
    }
    // And head.rs at its physical address too: its code is less than a page.
    let head = image_pa(_start as *const u8);
    map(Va::new(head.get()), head, PAGE_SIZE, Access::Text)?;
    let entry = image_pa(replace_root as *const u8).get();
    // SAFETY: both maps have the identity of head.rs, where the routine turns translation off to
    // change the root (two maps of different block sizes may not meet in the TLB: D8.14.1), and
    // both have the image at its linked address, where it returns to.
    unsafe {
        let routine: extern "C" fn(u64) = core::mem::transmute(entry);
        routine(root().get());
    }
    Ok(())
}

/// Takes the identity map of head.rs away, on every pCPU, once all are up.
pub fn unmap_identity() -> Result<(), MapError> {
    let va = Va::new(image_pa(_start as *const u8).get());
    table(&mut USED.lock(), va, 3)?.0[index(va, 3)].store(0, Ordering::Relaxed);
    cache::dsb_ishst();
    cache::tlbi_vae2is(va);
    cache::dsb_ish();
    cache::isb();
    Ok(())
}

/// Where pCPU `id`'s stacks end: (stack, emergency stack). See [`layout::STACK_SHIFT`].
pub fn stack_tops(id: usize) -> (Va, Va) {
    let slot = layout::STACKS.wrapping_add(id as u64 * layout::STACK_SLOT);
    let emergency = slot.wrapping_add(3 * layout::STACK_SIZE + layout::EMERGENCY_SIZE);
    (slot.wrapping_add(2 * layout::STACK_SIZE), emergency)
}

/// Maps pCPU `id`'s two stacks onto `memory`, [`STACKS_SIZE`] bytes; what lies between stays a guard.
pub fn map_stacks(id: usize, memory: Pa) -> Result<(), MapError> {
    let (stack, emergency) = stack_tops(id);
    let start = Va::new(stack.get() - layout::STACK_SIZE);
    map(start, memory, layout::STACK_SIZE, Access::Data)?;
    let start = Va::new(emergency.get() - layout::EMERGENCY_SIZE);
    map(start, memory.wrapping_add(layout::STACK_SIZE), layout::EMERGENCY_SIZE, Access::Data)
}

/// Leaves the boot stack for the pCPU's own, whose `top` is given, and goes on with `next`.
pub fn on_stack(top: Va, next: fn() -> !) -> ! {
    // SAFETY: `top` is the top of a mapped stack of this pCPU's that is not in use; nothing on the
    // old one is needed any more, since `next` does not return.
    unsafe {
        core::arch::asm!(
            "mov sp, {top}",
            "mov x29, #0",
            "mov x30, #0",
            "br {next}",
            top = in(reg) top.get(),
            next = in(reg) next as usize,
            options(noreturn)
        )
    }
}

/// Bytes of memory that a pCPU's stacks take.
pub const STACKS_SIZE: u64 = layout::STACK_SIZE + layout::EMERGENCY_SIZE;

/// The table in which the windows are the first entries.
static WINDOWS: Once<&Table> = Once::new();

/// Makes that table.
pub fn init_windows() -> Result<(), MapError> {
    let table = table(&mut USED.lock(), layout::WINDOWS, 2)?;
    WINDOWS.call_once(|| table);
    Ok(())
}

/// Runs `work` with the 2 MiB block at `block` visible through this pCPU's window, and takes it
/// out of sight again: only this pCPU ever used the address, so the TLBI is local.
///
/// Returns `None`, without running it, if the window is open already or `block` is unaligned.
pub fn with_window<R>(block: Pa, work: impl FnOnce(Va) -> R) -> Option<R> {
    let this = percpu::this();
    if this.window_open.get() || !block.is_aligned(BLOCK_SIZE) {
        return None;
    }
    let id = this.id.get() & (layout::MAX_PCPUS - 1);
    let va = layout::WINDOWS.wrapping_add(id as u64 * BLOCK_SIZE);
    let entry = &WINDOWS.get()?.0[id];
    this.window_open.set(true);
    entry.store(block.get() | Access::Data.bits(), Ordering::Relaxed);
    cache::dsb_ishst();
    cache::isb();
    let result = work(va);
    entry.store(0, Ordering::Relaxed);
    cache::dsb_ishst();
    cache::tlbi_vae2(va);
    cache::dsb_nsh();
    cache::isb();
    this.window_open.set(false);
    Some(result)
}
