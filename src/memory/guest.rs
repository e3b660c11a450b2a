//! A VM's memory as EL2 sees it: frames of 2 MiB that it doesn't map, but looks at through a
//! window, a slice at a time.

use alloc::vec::Vec;

use super::frames::Run;
use super::{BLOCK_SIZE, Ipa, Pa, Va};
use crate::el2::{cache, mmu};

/// The most that is done between two looks at what else is due: EL2 runs with interrupts masked.
pub const SLICE: u64 = 256 << 10;

/// Runs `work` on up to `length` bytes at `pa`, as far as they lie in one frame, and makes what it
/// wrote visible to a guest whose caches are off. Returns the bytes that `work` was given.
fn through_window(pa: Pa, length: u64, work: impl FnOnce(Va, u64)) -> u64 {
    let offset = pa.offset_in(BLOCK_SIZE);
    let length = length.min(BLOCK_SIZE - offset);
    let done = mmu::with_window(pa.align_down(BLOCK_SIZE), |window| {
        let at = window.wrapping_add(offset);
        work(at, length);
        cache::clean_to_memory(at, length);
    });
    done.map_or(0, |()| length)
}

/// Zeroes `length` bytes of a frame at `pa`, both multiples of 4 KiB; returns the bytes done.
pub fn zero(pa: Pa, length: u64) -> u64 {
    through_window(pa, length, |at, length| {
        // SAFETY: inside the window, which is this pCPU's, and page-aligned.
        unsafe { cache::zero(at, length) };
    })
}

/// RAM of a VM, from `base` on.
pub struct GuestRam {
    base: Ipa,
    runs: Vec<Run>,
}

impl GuestRam {
    /// RAM at `base` made of `runs`, in this order.
    pub fn new(base: Ipa, runs: Vec<Run>) -> Self {
        Self { base, runs }
    }

    /// Where `ipa` is in the machine's memory.
    fn pa(&self, ipa: Ipa) -> Option<Pa> {
        let mut offset = ipa.get().checked_sub(self.base.get())?;
        for run in &self.runs {
            if offset < run.bytes() {
                return Some(run.pa.wrapping_add(offset));
            }
            offset -= run.bytes();
        }
        None
    }

    /// Cleans and invalidates a [`SLICE`], `offset` bytes into the RAM; returns the bytes done, or
    /// `None` behind its end.
    pub fn clean(&self, offset: u64) -> Option<u64> {
        Some(through_window(self.pa(self.base.checked_add(offset)?)?, SLICE, |_, _| {}))
    }

    /// Copies up to a [`SLICE`] of `bytes` to `ipa`; returns the bytes done, or `None` where there
    /// is no RAM.
    pub fn write(&self, ipa: Ipa, bytes: &[u8]) -> Option<u64> {
        let length = SLICE.min(bytes.len() as u64);
        Some(through_window(self.pa(ipa)?, length, |at, length| {
            // SAFETY: `length` is at most `bytes.len()` and inside the window; the two can't
            // overlap, since a window shows what EL2 maps nowhere else.
            unsafe {
                core::ptr::copy_nonoverlapping(
                    bytes.as_ptr(),
                    at.get() as *mut u8,
                    length as usize,
                );
            }
        }))
    }
}
