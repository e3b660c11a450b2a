//! A VM's memory as EL2 sees it: frames of 2 MiB that it doesn't map, but looks at through a
//! window, a slice at a time. Whose memory it is, and where, only the VM's stage 2 says.

use super::frames::SLICE;
use super::{BLOCK_SIZE, Pa, Va};
use crate::el2::{cache, mmu};

/// Runs `work`, which makes what it wrote visible to a guest whose caches are off, on up to `length`
/// bytes at `pa`, as far as they lie in one frame. Returns the bytes that it was given.
fn through_window(pa: Pa, length: u64, work: impl FnOnce(Va, u64)) -> u64 {
    let offset = pa.offset_in(BLOCK_SIZE);
    let length = length.min(BLOCK_SIZE - offset);
    let block = pa.align_down(BLOCK_SIZE);
    let done = mmu::with_window(block, |window| work(window.wrapping_add(offset), length));
    done.map_or(0, |()| length)
}

/// Zeroes `length` bytes of a frame at `pa`, both multiples of 4 KiB; returns the bytes done.
pub fn zero(pa: Pa, length: u64) -> u64 {
    through_window(pa, length, |at, length| {
        // SAFETY: inside the window, which is this pCPU's, and page-aligned.
        unsafe { cache::zero_to_memory(at, length) };
    })
}

/// The word at `pa`, a multiple of 4 in a frame, in one read. A peer may be writing it, with its
/// caches on or off: so the line is made the same in cache and memory first.
pub fn read_word(pa: Pa) -> Option<u32> {
    mmu::with_window(pa.align_down(BLOCK_SIZE), |window| {
        let at = window.wrapping_add(pa.align_down(4).offset_in(BLOCK_SIZE));
        cache::clean_to_memory(at, 4);
        // SAFETY: inside the window, and aligned. Volatile, for the guest's vCPUs may write it.
        unsafe { (at.get() as *const u32).read_volatile() }
    })
}

/// Cleans and invalidates up to a [`SLICE`] at `pa`; returns the bytes done.
pub fn clean(pa: Pa) -> u64 {
    through_window(pa, SLICE, cache::clean_to_memory)
}

/// Copies from `pa`, up to `length` bytes and a frame's end, into `bytes`; returns the bytes done. The
/// guest may write there meanwhile, with its caches on or off: so the lines are made the same in cache
/// and memory first.
pub fn read(pa: Pa, length: u64, bytes: &mut [u8]) -> u64 {
    through_window(pa, length.min(SLICE).min(bytes.len() as u64), |at, length| {
        cache::clean_to_memory(at, length);
        for (byte, at) in bytes.iter_mut().zip(at.get()..at.get().wrapping_add(length)) {
            // SAFETY: inside the window. Volatile, for the guest's vCPUs may write it.
            *byte = unsafe { (at as *const u8).read_volatile() };
        }
    })
}

/// Copies up to a [`SLICE`] of `bytes` to `pa`; returns the bytes done.
pub fn write(pa: Pa, bytes: &[u8]) -> u64 {
    through_window(pa, SLICE.min(bytes.len() as u64), |at, length| {
        // SAFETY: `length` is at most `bytes.len()` and inside the window; the two can't overlap,
        // since a window shows what EL2 maps nowhere else.
        unsafe {
            core::ptr::copy_nonoverlapping(bytes.as_ptr(), at.get() as *mut u8, length as usize);
        }
        cache::clean_to_memory(at, length);
    })
}
