//! Linux from its first instruction to the first one of its first process.

use crate::{EACH, EL2, Wanted, qemu::Instruction};
use std::{
    ffi::{c_uint, c_void},
    ops::Range,
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// The first instruction of an arm64 kernel that EFI firmware can start, as distributions' can:
/// `ccmp x18, #0, #0xd, pl`, whose bytes begin with EFI's `MZ`.
const LINUX: u32 = 0xfa40_5a4d;

/// Where a process is, and neither the kernel (above) nor, before it has its own map, the kernel's
/// first code: on this board RAM begins at the end of the first range.
const PROCESS: [Range<u64>; 2] = [0..0x4000_0000, 0x1_0000_0000..EL2.start];

/// What there was at one end of the window.
struct Snapshot {
    counts: [u64; 2],
    each: Vec<u64>,
}

static FROM: OnceLock<Snapshot> = OnceLock::new();
static TO: OnceLock<Snapshot> = OnceLock::new();
/// So that a process is not looked for before there is a kernel: firmware, too, may be there.
static OPEN: AtomicBool = AtomicBool::new(false);

fn snapshot() -> Snapshot {
    let each = EACH.iter().map(|one| one.load(Ordering::Relaxed)).collect();
    Snapshot { counts: crate::counts(), each }
}

/// Looks whether an instruction may begin or end the window.
pub fn watch(instruction: &Instruction) {
    if instruction.word() == LINUX {
        instruction.call(begin, 0);
    }
    let in_process = PROCESS.iter().any(|range| range.contains(&instruction.address()));
    if in_process && OPEN.load(Ordering::Relaxed) && TO.get().is_none() {
        instruction.call(end, 0);
    }
}

extern "C" fn begin(_: c_uint, _: *mut c_void) {
    FROM.get_or_init(snapshot);
    OPEN.store(true, Ordering::Relaxed);
}

extern "C" fn end(_: c_uint, _: *mut c_void) {
    TO.get_or_init(snapshot);
}

/// The counts that are wanted, where those of now are `now`; zeros if Linux did not get so far.
pub fn counts(wanted: &Wanted, now: [u64; 2]) -> [u64; 2] {
    match (wanted.linux, FROM.get(), TO.get()) {
        (false, ..) => now,
        (true, Some(from), Some(to)) => {
            [to.counts[0] - from.counts[0], to.counts[1] - from.counts[1]]
        }
        (true, ..) => [0; 2],
    }
}

/// The same for the count of each instruction.
pub fn profile(wanted: &Wanted, now: Vec<u64>) -> Vec<u64> {
    match (wanted.linux, FROM.get(), TO.get()) {
        (false, ..) => now,
        (true, Some(from), Some(to)) => {
            to.each.iter().zip(&from.each).map(|(to, from)| to - from).collect()
        }
        (true, ..) => Vec::new(),
    }
}
