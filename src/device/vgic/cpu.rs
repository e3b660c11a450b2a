//! One vCPU: its redistributor's interrupts, its list registers, and the short ways between them.

use super::bank::{Bank, Bits, SpiBank};
use super::slots::Slots;
use super::{CpuInterface, RESYNC, SGIS, WAITING, lr};

/// One vCPU's redistributor and the books about its list registers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Cpu {
    /// SGIs and PPIs.
    pub private: Bank,
    /// Where there may be work. In the low half `PRIVATE` and the banks of SPIs, to look at
    /// before the next entry; from [`WAITING`] up the same banks, to look at when a maintenance
    /// interrupt says so; [`RESYNC`] and `LOWERED`. Zero means that whatever is pending and
    /// allowed, or active, is in a list register.
    pub attention: u64,
    /// Its list registers.
    pub slots: Slots,
    /// PPIs with a physical interrupt behind them that is active.
    pub hw: u32,
    /// The physical interrupt of each.
    pub pintid: [u16; 32],
    /// GICR_WAKER.ProcessorSleep is zero.
    pub awake: bool,
    /// On a pCPU.
    pub loaded: bool,
}

impl Cpu {
    /// The state at reset.
    pub fn new() -> Self {
        Self {
            private: Bank::new(SGIS),
            attention: 0,
            slots: Slots::default(),
            hw: 0,
            pintid: [0; 32],
            awake: false,
            loaded: false,
        }
    }

    /// The banks with interrupts that found no list register.
    #[inline]
    pub fn waiting(&self) -> u32 {
        (self.attention >> WAITING) as u32 & 0x3fff_ffff
    }

    /// All banks in which there may be work.
    #[inline]
    pub fn banks(&self) -> u32 {
        self.attention as u32 | self.waiting()
    }

    /// PPIs whose physical interrupt the vCPU still has to deactivate.
    pub fn in_flight(&self) -> u32 {
        self.hw & (self.private.latch | self.private.active | self.private.in_lr)
    }

    /// On a pCPU with list registers that are known to be out of date.
    pub fn is_outdated(&self) -> bool {
        self.loaded && self.attention & RESYNC != 0
    }

    /// Makes an SGI or PPI pending, whatever was before, where that takes one list register: the
    /// short way of the two interrupts that matter most, a timer's and an IPI. False, with
    /// nothing done, where it is not that simple.
    #[inline(always)]
    pub fn signal<C: CpuInterface>(&mut self, intid: u32, hw: u64, ci: &mut C) -> bool {
        let (index, bit) = (intid as usize & 31, 1 << (intid & 31));
        // No attention means: whatever is allowed and pending or active is in a list register.
        if self.attention != 0 || self.private.allowed & bit == 0 {
            return false;
        }
        let Some(slot) = self.slots.room(index, self.private.in_lr & bit != 0, ci) else {
            return false;
        };
        self.private.in_lr |= bit;
        let value = self.private.compose(intid, self.private.priority[index]);
        let value = value | hw | lr::LR_PENDING;
        self.slots.occupy(slot, value, true, ci);
        true
    }

    /// Puts the one SGI or PPI that is due into a list register. False, with nothing done, where
    /// it is not that simple.
    #[inline(always)]
    pub fn place_private<C: CpuInterface>(&mut self, ci: &mut C) -> bool {
        let bank = &mut self.private;
        let renewed = bank.renewed();
        let due = bank.deliverable() | renewed;
        if due & due.wrapping_sub(1) != 0 || bank.active != 0 {
            return false;
        }
        if due == 0 {
            return true;
        }
        let index = due.trailing_zeros() as usize & 31;
        let Some(slot) = self.slots.room(index, renewed != 0, ci) else {
            return false;
        };
        let hw = (self.hw & due != 0).then(|| self.pintid[index]);
        let (value, moved) = bank.move_out(index as u32, hw, false);
        self.slots.occupy(slot, value, moved, ci);
        true
    }

    /// Likewise the one of `spi`, whose first INTID is `first`.
    pub fn place_spi<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        spi: &mut SpiBank,
        first: u32,
        ci: &mut C,
    ) -> bool {
        let due = spi.bank.deliverable();
        let index = due.trailing_zeros() as usize & 31;
        if !due.is_power_of_two()
            || spi.bank.renewed() | spi.bank.active != 0
            || usize::from(spi.target[index]) != vcpu
        {
            return false;
        }
        let Some(slot) = self.slots.free(ci) else {
            return false;
        };
        spi.holder[index] = vcpu as u8;
        let (value, moved) = spi.bank.move_out(first + index as u32, None, false);
        self.slots.occupy(slot, value, moved, ci);
        true
    }

    /// Deactivates the physical interrupts whose virtual one is neither pending nor active any
    /// more, and not by the guest's own deactivation: it cleared it by a register, say.
    #[inline]
    pub fn release<C: CpuInterface>(&mut self, ci: &mut C) {
        let done = self.hw & !self.in_flight();
        if done != 0 {
            self.physical_active(done, false, ci);
            self.hw &= !done;
        }
    }

    /// Makes the physical interrupts behind some PPIs active or inactive on this pCPU.
    pub fn physical_active<C: CpuInterface>(&self, ppis: u32, active: bool, ci: &mut C) {
        for i in Bits(ppis) {
            ci.set_physical_active(self.pintid[i & 31], active);
        }
    }
}
