//! A VM's memory as EL2 sees it: frames of 2 MiB that it doesn't map, but looks at through a
//! window, a slice at a time.

use alloc::vec::Vec;

use super::{BLOCK_SIZE, Ipa, Pa, Va};
use crate::el2::{cache, mmu};

/// The most that is done between two looks at what else is due: EL2 runs with interrupts masked.
pub const SLICE: u64 = 256 << 10;

/// Some 2 MiB frames in a row.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// The first byte.
    pub pa: Pa,
    /// How many frames.
    pub frames: u64,
}

/// RAM of a VM: `base` onwards, in frames.
pub struct GuestRam {
    base: Ipa,
    runs: Vec<Run>,
}

impl GuestRam {
    /// RAM at `base` made of `runs`, in this order.
    pub fn new(base: Ipa, runs: Vec<Run>) -> Self {
        Self { base, runs }
    }

    /// Where it begins.
    pub fn base(&self) -> Ipa {
        self.base
    }

    /// Its length in bytes.
    pub fn length(&self) -> u64 {
        self.runs.iter().map(|run| run.frames.wrapping_mul(BLOCK_SIZE)).sum()
    }

    /// Its runs with their IPAs, for stage 2.
    pub fn runs(&self) -> impl Iterator<Item = (Ipa, Run)> {
        let mut ipa = self.base;
        self.runs.iter().map(move |run| {
            let at = ipa;
            ipa = ipa.wrapping_add(run.frames.wrapping_mul(BLOCK_SIZE));
            (at, *run)
        })
    }

    /// The frame that `ipa` lies in.
    fn frame(&self, ipa: Ipa) -> Option<Pa> {
        self.runs().find_map(|(start, run)| {
            let offset = ipa.get().checked_sub(start.get())?;
            let inside = offset < run.frames.wrapping_mul(BLOCK_SIZE);
            inside.then(|| run.pa.wrapping_add(offset & !(BLOCK_SIZE - 1)))
        })
    }

    /// Runs `work` on as much of `[ipa, ipa + length)` as lies in one frame and in one [`SLICE`],
    /// and makes what it wrote visible to a guest whose caches are off. Returns the bytes done,
    /// or `None` outside of RAM.
    fn slice(&self, ipa: Ipa, length: u64, work: impl FnOnce(Va, u64)) -> Option<u64> {
        let frame = self.frame(ipa)?;
        let offset = ipa.offset_in(BLOCK_SIZE);
        let length = length.min(BLOCK_SIZE - offset).min(SLICE);
        mmu::with_window(frame, |window| {
            let at = window.wrapping_add(offset);
            work(at, length);
            cache::clean_to_memory(at, length);
        })?;
        Some(length)
    }

    /// Zeroes up to a slice of `[ipa, ipa + length)`, both multiples of 4 KiB; returns the bytes
    /// done.
    pub fn zero(&self, ipa: Ipa, length: u64) -> Option<u64> {
        self.slice(ipa, length, |at, length| {
            // SAFETY: inside the window, which is this pCPU's, page-aligned.
            unsafe { cache::zero(at, length) };
        })
    }

    /// Copies up to a slice of `bytes` to `ipa`; returns the bytes done.
    pub fn write(&self, ipa: Ipa, bytes: &[u8]) -> Option<u64> {
        self.slice(ipa, bytes.len() as u64, |at, length| {
            // SAFETY: `length` is at most `bytes.len()` and inside the window; the two can't
            // overlap, since a window shows what EL2 maps nowhere else.
            unsafe {
                core::ptr::copy_nonoverlapping(bytes.as_ptr(), at.get() as *mut u8, length as usize);
            }
        })
    }
}
