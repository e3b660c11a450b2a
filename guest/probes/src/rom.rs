//! Read-only memory, which the description gives this VM besides RAM: the probe's own image at
//! [`ROM`], and zeros behind it. It can be read and run; a store to it changes nothing, whatever
//! instruction it is, and is no fault.

use crate::check;
use core::arch::asm;
use guest_rt::vectors::expect_fault;
use guest_rt::{head, mmio, mmu};

/// Where it lies.
const ROM: u64 = 0x0400_0000;
/// Its bytes, by the description.
const SIZE: u64 = 0x4_0000;
/// Device memory is fine for looking at it; to run it the probe maps it as Normal memory here.
const CODE: u64 = 0x10_0000_0000;
/// ESR_EL1 of a synchronous external abort of a load at the same level.
const ABORT: u64 = 0x9600_0010;

/// A function that needs nothing of its surroundings.
#[unsafe(naked)]
extern "C" fn answer() -> u64 {
    core::arch::naked_asm!("mov x0, #42", "ret")
}

/// Runs a store to x10, which changes it by as much as is said, and nothing in memory.
macro_rules! store {
    ($name:literal, $instruction:literal, $moved:expr) => {{
        let (at, before) = (ROM + 0x100, mmio::read64(ROM as usize + 0x100));
        let mut x10 = at;
        let fault = expect_fault(|| {
            // SAFETY: what lies there can't be changed.
            unsafe {
                asm!($instruction, inout("x10") x10, in("x9") !before, in("x11") !before);
            }
        });
        let seen = (fault.map(|f| f.esr), mmio::read64(at as usize), x10.wrapping_sub(at));
        check::equal(concat!("rom.", $name), seen, (None, before, $moved));
    }};
}

/// The probe.
pub fn run() {
    head::init();
    let image = mmu::layout().text.start;
    let same = (0..0x1000).step_by(8).all(|offset| {
        mmio::read64((ROM + offset) as usize) == mmio::read64((image + offset) as usize)
    });
    check::that("rom.data", same, "the file that the description names");
    let rest = (ROM + SIZE - 0x1000..ROM + SIZE).step_by(8);
    let zero = rest.clone().all(|at| mmio::read64(at as usize) == 0);
    check::that("rom.rest", zero, "zeros behind the file");

    store!("str", "str x9, [x10]", 0);
    store!("strb", "strb w9, [x10]", 0);
    store!("str-post", "str x9, [x10], #8", 8);
    store!("stp", "stp x9, x11, [x10]", 0);
    store!("stp-pre", "stp w9, w11, [x10, #-8]!", 8u64.wrapping_neg());

    let fault = expect_fault(|| {
        mmio::read32((ROM + SIZE) as usize);
    });
    let seen = fault.map(|f| (f.esr, f.far));
    check::equal("rom.behind", seen, Some((ABORT, ROM + SIZE)));

    mmu::map_gib(CODE, 0, mmu::NORMAL | mmu::SHARED | mmu::ACCESSED | mmu::NO_EXECUTE_EL0);
    let at = answer as *const () as u64 - image + ROM + CODE;
    // SAFETY: the same instructions at another address; they depend on none.
    let run: extern "C" fn() -> u64 = unsafe { core::mem::transmute(at) };
    check::equal("rom.runs", run(), 42);
    check::end();
}
