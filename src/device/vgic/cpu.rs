//! One vCPU: the books about its list registers, and the short ways into them.

use super::bank::Bank;
use super::{CpuInterface, TIMER, WAITING, lr};

/// What is known of one vCPU beside the state of its interrupts.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Default)]
pub(super) struct Cpu {
    /// Where there may be work. From bit 0 up its own bank and those of the SPIs, to look at
    /// before the next entry; from [`WAITING`] up the same banks, to look at when a maintenance
    /// interrupt says so; `RESYNC` and `LOWERED`. Zero means that whatever is pending and
    /// allowed, or active, is in a list register.
    pub attention: u64,
    /// The list registers in use, to the model's knowledge: the guest may be done with them.
    pub used: u32,
    /// ICH_HCR_EL2 as last written.
    pub hcr: u64,
    /// The vCPUs that wait until it has folded its list registers.
    pub awaited_by: u64,
    /// HW and pINTID for a list register with its timer's interrupt, while the physical one is
    /// active for it; or 0.
    pub timer: u64,
    /// GICR_WAKER.ProcessorSleep is zero.
    pub awake: bool,
    /// On a pCPU.
    pub loaded: bool,
}

impl Cpu {
    /// The banks with interrupts that found no list register.
    #[inline]
    pub fn waiting(&self) -> u32 {
        (self.attention >> WAITING) as u32 & 0x7fff_ffff
    }

    /// All banks in which there may be work.
    #[inline]
    pub fn banks(&self) -> u32 {
        self.attention as u32 & 0x7fff_ffff | self.waiting()
    }

    /// The list register for an interrupt: where it lies in one already that one, if the guest
    /// is done with it; else a free one.
    #[inline(always)]
    pub fn room<C: CpuInterface>(&self, bank: &Bank, index: usize, ci: &C) -> Option<usize> {
        if bank.in_lr >> (index & 31) & 1 != 0 {
            let slot = bank.slot[index & 31] & 15;
            return (ci.elrsr() >> slot & 1 != 0).then_some(slot.into());
        }
        let free = !self.used & ((1u32 << (ci.lr_count() & 31)) - 1);
        (free != 0).then(|| free.trailing_zeros() as usize)
    }

    /// Makes an SGI or the timer's PPI pending, whatever was before, where that takes one list
    /// register: the short way of the two interrupts that matter most. `hw` as in
    /// [`Bank::move_out`]. False, with nothing done, where it is not that simple.
    #[inline(always)]
    pub fn signal<C: CpuInterface>(
        &mut self,
        bank: &mut Bank,
        intid: u32,
        hw: u64,
        ci: &mut C,
    ) -> bool {
        let (index, bit) = (intid as usize & 31, 1u32 << (intid & 31));
        // No attention means: whatever is allowed and pending or active is in a list register.
        if self.attention != 0 || bank.allowed & bit == 0 {
            return false;
        }
        let Some(slot) = self.room(bank, index, ci) else { return false };
        if bank.in_lr & bit == 0 {
            bank.in_lr |= bit;
            bank.slot[index] = slot as u8;
            self.used |= 1 << slot;
        }
        bank.moved = bank.moved & !bit | bank.edge & bit;
        ci.set_lr(slot, bank.compose(intid, bank.priority[index]) | hw | lr::LR_PENDING);
        true
    }

    /// Moves interrupt `intid` of `bank` into list register `slot`, which is free or was its own.
    #[inline(always)]
    pub fn occupy<C: CpuInterface>(
        &mut self,
        bank: &mut Bank,
        slot: usize,
        intid: u32,
        renew: bool,
        ci: &mut C,
    ) {
        let hw = if intid == TIMER { self.timer } else { 0 };
        let value = bank.move_out(intid, hw, renew);
        bank.slot[intid as usize & 31] = slot as u8;
        self.used |= 1 << (slot & 15);
        ci.set_lr(slot, value);
    }
}
