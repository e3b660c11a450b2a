//! Barriers, cache and TLB maintenance: every DSB, ISB, DC, IC and TLBI that Rust code issues goes
//! through here, each with the reason for its scope. `docs/architecture.md` lists the callers.

use core::arch::asm;

use tock_registers::interfaces::{Readable, Writeable};

use super::regs::{CTR_EL0, DCZID_EL0};
use crate::memory::{Ipa, Va};

/// Each is named for its instruction, which may take the number of an address's page.
macro_rules! instruction {
    ($($(#[$doc:meta])* $name:ident$(($at:ident: $address:ty))?: $text:literal;)*) => {$(
        $(#[$doc])*
        #[inline(always)]
        pub fn $name($($at: $address)?) {
            // SAFETY: barriers and invalidations lose no data: `tlbi` and `ic` drop copies only.
            unsafe { asm!($text, $(in(reg) $at.get() >> 12,)? options(nostack)) };
        }
    )*};
}

instruction! {
    /// Context synchronisation: later instructions see earlier system register writes (D24.1.2).
    isb: "isb";
    /// All earlier accesses and maintenance are complete in the inner shareable domain.
    dsb_ish: "dsb ish";
    /// Earlier stores (descriptors) are visible to every walker of the inner shareable domain.
    dsb_ishst: "dsb ishst";
    /// Earlier accesses and maintenance are complete on this pCPU.
    dsb_nsh: "dsb nsh";
    /// Earlier accesses are complete for the whole system, devices included.
    dsb_sy: "dsb sy";
    /// All stage-1 entries, and combined ones, of the current VMID, on this pCPU.
    tlbi_vmalle1: "tlbi vmalle1";
    /// All stage-1 and stage-2 entries of the current VMID, everywhere (IS).
    tlbi_vmalls12e1is: "tlbi vmalls12e1is";
    /// All stage-1 entries, and combined ones, of the current VMID, everywhere (IS).
    tlbi_vmalle1is: "tlbi vmalle1is";
    /// This pCPU's entry for `va` of EL2's own translation.
    tlbi_vae2(va: Va): "tlbi vae2, {}";
    /// Every pCPU's entry for `va` of EL2's own translation.
    tlbi_vae2is(va: Va): "tlbi vae2is, {}";
    /// Stage-2 entries for `ipa` of the current VMID, everywhere.
    tlbi_ipas2e1is(ipa: Ipa): "tlbi ipas2e1is, {}";
    /// The whole instruction cache of this pCPU.
    ic_iallu: "ic iallu";
    /// The whole instruction cache, everywhere (IS).
    ic_ialluis: "ic ialluis";
    /// Wait for an interrupt: EL2's idle pCPU.
    wfi: "wfi";
    /// Wait for an event.
    wfe: "wfe";
    /// Tell the core that this is a spin loop.
    yield_now: "yield";
    /// Send an event, for CPUs in the pen (head.rs).
    sev: "sev";
}

/// Bytes of the smallest data cache line of this machine (CTR_EL0.DminLine, in words).
#[inline(always)]
fn data_line() -> u64 {
    4 << ((CTR_EL0.get() >> 16) & 0xf)
}

/// The instructions for each line from `$at`, a mutable address, up to `$end`, 32 lines in a row as
/// long as there are so many: the first touch of a frame is little else.
macro_rules! each_line {
    ($at:ident, $end:expr, $line:expr, $($text:literal),*) => {{
        while $end.saturating_sub($at) >= 32 * $line {
            asm!(".rept 32", $(concat!($text, ", {at}"),)* "add {at}, {at}, {line}", ".endr",
                at = inout(reg) $at, line = in(reg) $line, options(nostack));
        }
        while $at < $end {
            asm!($(concat!($text, ", {at}"),)* at = in(reg) $at, options(nostack));
            $at = $at.wrapping_add($line);
        }
    }};
}

/// Cleans and invalidates the lines of `[va, va + length)` to the point of coherency: what EL2
/// wrote is then what a guest with its caches off, or a CPU with translation off, reads.
pub fn clean_to_memory(va: Va, length: u64) {
    let line = data_line();
    let mut at = va.align_down(line).get();
    let end = va.get().saturating_add(length);
    // SAFETY: clean and invalidate loses no data.
    unsafe { each_line!(at, end, line, "dc civac") };
    dsb_sy();
}

/// Zeroes `length` bytes at `va`, and cleans and invalidates them to the point of coherency: with DC
/// ZVA where the CPU has it, the fastest way to touch memory. Where it zeroes a line at a time, both
/// are done line by line: they take effect in this order, being of one line (D7.5).
///
/// # Safety
/// The range is mapped writable as Normal memory, `va` and `length` are multiples of 4 KiB, and
/// nothing else refers to it.
pub unsafe fn zero_to_memory(va: Va, length: u64) {
    let dczid = DCZID_EL0.get();
    let end = va.get() + length;
    let mut at = va.get();
    let block = 4u64 << (dczid & 0xf);
    // SAFETY: as the caller promises; a block is at most 2 KiB.
    unsafe {
        if dczid & (1 << 4) != 0 {
            core::ptr::write_bytes(at as *mut u8, 0, length as usize);
        } else if block == data_line() {
            each_line!(at, end, block, "dc zva", "dc civac");
            return dsb_sy();
        } else {
            each_line!(at, end, block, "dc zva");
        }
    }
    clean_to_memory(va, length);
}

/// TCR_EL1.EPD0 and EPD1: no walks of EL1's tables.
pub const NO_WALKS: u64 = 1 << 7 | 1 << 23;

/// Runs `action` with `vttbr` in VTTBR_EL2: TLB maintenance of another VM than the one loaded
/// (TLBIs act on the current VMID).
pub fn with_vttbr(vttbr: u64, action: impl FnOnce()) {
    use aarch64_cpu::registers::{TCR_EL1, VTTBR_EL2};
    let loaded = VTTBR_EL2.get();
    if loaded == vttbr {
        return action();
    }
    // No walk by the loaded guest's tables under the other's stage 2, not even a speculative one
    // (an AT, on Cortex-A72 by erratum 1319367).
    let control = TCR_EL1.get();
    TCR_EL1.set(control | NO_WALKS);
    isb();
    VTTBR_EL2.set(vttbr);
    isb();
    action();
    VTTBR_EL2.set(loaded);
    isb();
    TCR_EL1.set(control);
    isb();
}
