//! The books about one vCPU's list registers: what was written to them, and whence.

use super::CpuInterface;
use super::bank::Bits;

/// The list registers of one vCPU. All masks have one bit a register.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Slots {
    /// In use, to the model's knowledge: the guest may be done with it.
    pub used: u32,
    /// Took the latch of their interrupt with them.
    pub moved: u32,
    /// Another vCPU wants the interrupt deactivated.
    pub deactivate: u32,
    /// Folded, not written since, and not empty.
    pub stale: u32,
    /// As last written.
    pub values: [u64; 16],
    /// The register in which an SGI or PPI lies, where it does.
    home: [u8; 32],
    /// ICH_HCR_EL2 as last written.
    pub hcr: u64,
}

impl Slots {
    /// Writes a register that is not stale, and notes it.
    #[inline(always)]
    pub fn occupy<C: CpuInterface>(&mut self, slot: usize, value: u64, moved: bool, ci: &mut C) {
        let slot = slot & 15;
        self.used |= 1 << slot;
        self.moved = self.moved & !(1 << slot) | u32::from(moved) << slot;
        self.values[slot] = value;
        ci.set_lr(slot, value);
    }

    /// Notes in which register the SGI or PPI `index` lies.
    #[inline(always)]
    pub fn settle(&mut self, index: usize, slot: usize) {
        self.home[index & 31] = slot as u8;
    }

    /// The register for an SGI or PPI: where it lies in one already (`again`) that one, if the
    /// guest is done with it; else a free one.
    #[inline(always)]
    pub fn room<C: CpuInterface>(&mut self, index: usize, again: bool, ci: &C) -> Option<usize> {
        if again {
            let home = self.home[index & 31] & 15;
            return (ci.elrsr() & 1 << home != 0).then_some(home.into());
        }
        let slot = self.free(ci)?;
        self.settle(index, slot);
        Some(slot)
    }

    /// A register that is not in use.
    #[inline(always)]
    pub fn free<C: CpuInterface>(&self, ci: &C) -> Option<usize> {
        let free = !self.used & ((1u32 << (ci.lr_count() & 31)) - 1);
        (free != 0).then(|| free.trailing_zeros() as usize)
    }

    /// Zeroes the registers that were folded and not written since.
    #[inline]
    pub fn clear_stale<C: CpuInterface>(&mut self, ci: &mut C) {
        for slot in Bits(self.stale) {
            ci.set_lr(slot, 0);
        }
        self.stale = 0;
    }
}
