//! Translation at EL1 (Arm DDI 0487, chapter D8): an identity map with caches.
//!
//! A table has 512 entries. With 4 KiB pages and 39 bits of virtual address the walk starts at
//! level 1, where an entry stands for 1 GiB:
//!
//! ```text
//! level 1   0x0000_0000  1 GiB  devices
//!           0x4000_0000  1 GiB  RAM ──▶ level 2, entries of 2 MiB: data
//!                                        0x4020_0000 ──▶ level 3, pages of 4 KiB: the image
//! ```
//!
//! In the image code may be executed but not written, constants only read, and the rest written but
//! not executed. EL0 may read and execute code and constants, and write only what is in section
//! `.user`.

use crate::{arch, mrs, msr};
use core::arch::{asm, global_asm};
use core::ops::Range;
use core::sync::atomic::{AtomicU64, Ordering};

/// One translation table.
#[repr(C, align(4096))]
pub struct Table(pub [AtomicU64; 512]);

impl Table {
    /// A table in which nothing is mapped.
    pub const fn new() -> Self {
        Self([const { AtomicU64::new(0) }; 512])
    }

    /// The table's address.
    pub fn address(&self) -> u64 {
        core::ptr::from_ref(self) as u64
    }
}

impl Default for Table {
    fn default() -> Self {
        Self::new()
    }
}

/// Level 1: 1 GiB an entry.
pub static LEVEL1: Table = Table::new();
static LEVEL2: Table = Table::new();
static LEVEL3: Table = Table::new();

/// A descriptor that maps a block (levels 1 and 2).
pub const BLOCK: u64 = 0b01;
/// A descriptor that maps a page (level 3).
pub const PAGE: u64 = 0b11;
/// A descriptor that points at the next level's table.
pub const TABLE: u64 = 0b11;
/// AttrIndx: the entry of MAIR_EL1 that says what memory this is.
pub const DEVICE: u64 = 0 << 2;
/// AttrIndx of Normal memory, write-back cacheable.
pub const NORMAL: u64 = 1 << 2;
/// AttrIndx of Normal memory, not cacheable.
pub const UNCACHED: u64 = 2 << 2;
/// AP\[1\]: EL0 may access it.
pub const USER: u64 = 1 << 6;
/// AP\[2\]: read-only.
pub const READ_ONLY: u64 = 1 << 7;
/// SH: inner shareable, coherent among the CPUs.
pub const SHARED: u64 = 3 << 8;
/// AF: the access flag, without which the first access faults.
pub const ACCESSED: u64 = 1 << 10;
/// nG: the translation belongs to the current ASID.
pub const NOT_GLOBAL: u64 = 1 << 11;
/// PXN: not executable at EL1.
pub const NO_EXECUTE_EL1: u64 = 1 << 53;
/// UXN: not executable at EL0.
pub const NO_EXECUTE_EL0: u64 = 1 << 54;

/// Data that EL1 may read and write.
pub const RAM: u64 = NORMAL | SHARED | ACCESSED | NO_EXECUTE_EL1 | NO_EXECUTE_EL0;
/// Device registers.
pub const MMIO: u64 = DEVICE | ACCESSED | NO_EXECUTE_EL1 | NO_EXECUTE_EL0;
const CODE: u64 = NORMAL | SHARED | ACCESSED | READ_ONLY | USER;
const CONSTANTS: u64 = CODE | NO_EXECUTE_EL1 | NO_EXECUTE_EL0;
const USER_DATA: u64 = RAM | USER;

/// MAIR_EL1: attribute 0 Device-nGnRE, 1 Normal write-back, 2 Normal non-cacheable.
pub const MAIR: u64 = 0x44_ff_04;
/// TCR_EL1: T0SZ = 25 (39 bits), walks cacheable (IRGN0, ORGN0) and inner shareable (SH0), 4 KiB
/// pages (TG0 = 0), no walks by TTBR1 (EPD1), 40 bits of physical address (IPS = 2).
pub const TCR: u64 = 25 | 1 << 8 | 1 << 10 | 3 << 12 | 1 << 23 | 2 << 32;
/// SCTLR_EL1: MMU on (M), SP alignment checked (SA, SA0), data and instruction caches on (C, I),
/// DC ZVA, CTR_EL0 and WFI not trapped from EL0 (DZE, UCT, nTWI, nTWE), and the bits that are RES1.
pub const SCTLR: u64 = 0x30d0_0800
    | 1 << 0
    | 1 << 2
    | 1 << 3
    | 1 << 4
    | 1 << 12
    | 1 << 14
    | 1 << 15
    | 1 << 16
    | 1 << 18;

unsafe extern "C" {
    static __image_start: u8;
    static __text_end: u8;
    static __rodata_end: u8;
    static __data_end: u8;
    static __user_start: u8;
    static __user_end: u8;
    static __image_end: u8;
    safe fn enable_mmu();
}

/// The parts of the image, each a whole number of pages.
pub struct Layout {
    /// Instructions.
    pub text: Range<u64>,
    /// Constants.
    pub rodata: Range<u64>,
    /// Variables with an initial value.
    pub data: Range<u64>,
    /// Variables that start as zero, and the stacks.
    pub bss: Range<u64>,
    /// The part of it that EL0 may write.
    pub user: Range<u64>,
}

/// Where the linker put the parts of the image.
pub fn layout() -> Layout {
    let [start, text, rodata, data, user, user_end, end] = [
        &raw const __image_start,
        &raw const __text_end,
        &raw const __rodata_end,
        &raw const __data_end,
        &raw const __user_start,
        &raw const __user_end,
        &raw const __image_end,
    ]
    .map(|symbol| symbol as u64);
    Layout {
        text: start..text,
        rodata: text..rodata,
        data: rodata..data,
        bss: data..end,
        user: user..user_end,
    }
}

/// Builds the tables and turns MMU and caches on for this CPU, if they are not on already.
pub fn init() {
    if is_on() {
        return;
    }
    let layout = layout();
    let entry = |table: &Table, index: usize, value| table.0[index].store(value, Ordering::Relaxed);

    entry(&LEVEL1, 0, MMIO | BLOCK);
    entry(&LEVEL1, 1, LEVEL2.address() | TABLE);
    for (index, address) in (0x4000_0000..0x8000_0000).step_by(2 << 20).enumerate() {
        entry(&LEVEL2, index, address | RAM | BLOCK);
    }
    entry(&LEVEL2, 1, LEVEL3.address() | TABLE);
    for (index, address) in (0x4020_0000..0x4040_0000).step_by(4 << 10).enumerate() {
        let attributes = if layout.text.contains(&address) {
            CODE
        } else if layout.rodata.contains(&address) {
            CONSTANTS
        } else if layout.user.contains(&address) {
            USER_DATA
        } else {
            RAM
        };
        entry(&LEVEL3, index, address | attributes | PAGE);
    }

    // What was written so far went past the caches. They may hold older copies of these lines,
    // which must be gone before the caches are used (Arm DDI 0487, D7.5.9).
    invalidate_cache(layout.text.start..layout.bss.end);
    enable_mmu();
}

/// Throws the cached copies of a range away, without writing them back.
fn invalidate_cache(range: Range<u64>) {
    // CTR_EL0.DminLine: log2 of the smallest line, in words.
    let line = 4 << (mrs!(CTR_EL0) >> 16 & 0xf);
    let mut address = range.start & !(line - 1);
    while address < range.end {
        // SAFETY: the caches are off, so no dirty line of this range can be lost.
        unsafe { asm!("dc ivac, {}", in(reg) address, options(nostack)) };
        address += line;
    }
    arch::dsb();
}

global_asm!(
    r#"
    .text
    .global enable_mmu
enable_mmu:
    ldr     x0, ={mair}
    msr     MAIR_EL1, x0
    ldr     x0, ={tcr}
    msr     TCR_EL1, x0
    adrp    x0, {level1}
    add     x0, x0, :lo12:{level1}
    msr     TTBR0_EL1, x0
    msr     TTBR1_EL1, xzr
    isb
    tlbi    vmalle1                 // nothing from before may be left
    ic      iallu
    dsb     sy
    isb
    ldr     x0, ={sctlr}
    msr     SCTLR_EL1, x0
    isb
    ret
    .ltorg
    "#,
    mair = const MAIR,
    tcr = const TCR,
    sctlr = const SCTLR,
    level1 = sym LEVEL1,
);

/// Whether this CPU translates addresses: SCTLR_EL1.M.
pub fn is_on() -> bool {
    mrs!(SCTLR_EL1) & 1 != 0
}

/// Maps one GiB at `virtual_address` on that at `physical`, in place of what was there:
/// break-before-make (Arm DDI 0487, D8.14.1).
pub fn map_gib(virtual_address: u64, physical: u64, attributes: u64) {
    let slot = &LEVEL1.0[(virtual_address >> 30 & 511) as usize];
    slot.store(0, Ordering::Relaxed);
    flush();
    slot.store(physical | attributes | BLOCK, Ordering::Relaxed);
    arch::dsb();
    arch::isb();
}

/// Drops all cached translations of all CPUs.
pub fn flush() {
    // SAFETY: cached translations are only copies of the tables.
    unsafe { asm!("dsb ishst", "tlbi vmalle1is", "dsb ish", "isb", options(nostack)) };
}

/// Runs this CPU with another level-1 table and ASID.
pub fn switch(table: &Table, asid: u64) {
    msr!(TTBR0_EL1, table.address() | asid << 48);
    arch::isb();
}
