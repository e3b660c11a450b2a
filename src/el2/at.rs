//! Address translation by the loaded guest's own tables.

use core::arch::asm;

use aarch64_cpu::registers::PAR_EL1;
use tock_registers::interfaces::{Readable, Writeable};

use super::cache;
use crate::memory::{Ipa, PAGE_SIZE};

/// PAR_EL1.F: the translation failed.
const FAILED: u64 = 1;
/// PAR_EL1.PA.
const ADDRESS: u64 = 0x000f_ffff_ffff_f000;

/// Where stage 1 of the loaded vCPU leads a read of `va` by EL1, now: AT S1E1R. That is the same
/// place for a write, a fetch and for EL0, and it asks for the least: whatever a valid descriptor
/// allows others, EL1 may read (D8.4), code that EL0 may only execute included, and this AT knows
/// neither PSTATE.PAN nor UAO. With stage 1 off, IPA and VA are the same.
///
/// `None` if the guest's tables have no answer, or lie outside its memory. (Memory of the machine
/// that answers a walk with an error is one for EL2, as it is for any load of EL2's.)
pub fn stage1(va: u64) -> Option<Ipa> {
    // PAR_EL1 is the guest's: it may have done an AT of its own, and not yet read the result.
    let guests = PAR_EL1.get();
    // SAFETY: only PAR_EL1 changes. The context is all the guest's while it is loaded, so that no
    // walk mixes it with another's (erratum 1319367 of Cortex-A72).
    unsafe { asm!("at s1e1r, {}", in(reg) va, options(nostack)) };
    cache::isb();
    let result = PAR_EL1.get();
    PAR_EL1.set(guests);
    (result & FAILED == 0).then(|| Ipa::new(result & ADDRESS | va & (PAGE_SIZE - 1)))
}
