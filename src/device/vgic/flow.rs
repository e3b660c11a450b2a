//! The traffic between the model and the list registers.

use super::bank::{Bank, Bits};
use super::best::{Best, MASKED, masked};
use super::{
    At, Cpu, CpuInterface, Effects, FIRST_SPI, LOWERED, PRIVATE, RESYNC, URGENT, Vgic, WAITING, lr,
};

impl Vgic {
    /// `vcpu` comes to the pCPU of `ci`: writes the list registers, and makes the physical
    /// interrupts active that its guest still has to deactivate. All list registers of the pCPU
    /// are empty before. A few instructions where nothing is pending or active.
    #[inline]
    pub fn load<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) {
        let Some(cpu) = self.cpus.get_mut(vcpu) else {
            return;
        };
        cpu.loaded = true;
        cpu.slots.hcr = lr::HCR_EN;
        ci.set_hcr(lr::HCR_EN);
        if cpu.hw != 0 {
            cpu.hw = cpu.in_flight();
            cpu.physical_active(cpu.hw, true, ci);
        }
        // Nothing was in a list register, so nothing comes back that could concern another.
        let _ = self.deliver(vcpu, ci);
    }

    /// `vcpu` leaves the pCPU of `ci`: takes all list registers back into the model and empties
    /// them, and deactivates its physical interrupts there, so that they can fire for the next.
    /// A few instructions where no list register is in use.
    #[inline]
    pub fn put<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let effects = self.absorb(vcpu, ci);
        let Some(cpu) = self.cpus.get_mut(vcpu) else {
            return effects;
        };
        cpu.slots.clear_stale(ci);
        if cpu.hw != 0 {
            cpu.physical_active(cpu.hw, false, ci);
            cpu.hw = cpu.in_flight();
        }
        cpu.attention = cpu.banks().into();
        cpu.loaded = false;
        ci.set_hcr(0);
        effects.without(vcpu)
    }

    /// A maintenance interrupt while `vcpu` is loaded: takes back what the guest has ended, and
    /// brings in what is next.
    pub fn sync<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let waiting = self.cpus.get(vcpu).map_or(0, Cpu::waiting);
        let effects = if waiting == 0 {
            self.reap(vcpu, ci) | self.deliver(vcpu, ci)
        } else {
            self.resync(vcpu, ci)
        };
        effects.without(vcpu)
    }

    /// Folds every list register and fills them anew, in order of priority.
    fn resync<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let effects = self.absorb(vcpu, ci);
        self.fill(vcpu, ci);
        effects.without(vcpu)
    }

    /// To be called with `vcpu` loaded before it enters the guest, when an [`Effects`] names it:
    /// moves what has become deliverable into the list registers. The common case, one interrupt
    /// and a free list register, touches nothing else.
    #[inline]
    pub fn deliver<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let Some(cpu) = self.cpus.get_mut(vcpu) else {
            return Effects::NONE;
        };
        if cpu.attention & URGENT == 0 {
            return Effects::NONE;
        }
        debug_assert!(cpu.loaded);
        if cpu.attention == PRIVATE && cpu.place_private(ci) {
            cpu.attention = 0;
            return Effects::NONE;
        }
        self.refill(vcpu, ci)
    }

    /// A guest's write of ICC_DIR_EL1, which traps only while ICH_HCR_EL2.TDIR is set: while
    /// more interrupts are active than there are list registers and the guest has EOImode = 1.
    /// It may then deactivate them in any order, and EOIcount could not say which.
    pub fn dir<C: CpuInterface>(&mut self, vcpu: usize, intid: u32, ci: &mut C) -> Effects {
        if ci.vmcr() & lr::VMCR_VEOIM == 0 {
            return Effects::NONE;
        }
        let at = At::of(vcpu, intid);
        let bit = 1 << (intid & 31);
        let mut effects = self.absorb(vcpu, ci);
        if let Some(bank) = self.bank_mut(at) {
            bank.active &= !bit;
            effects |= self.notify(at, bit);
        }
        self.fill(vcpu, ci);
        effects.without(vcpu)
    }

    #[inline(never)]
    fn refill<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let effects = self.reap(vcpu, ci).without(vcpu);
        if self.is_retracted(vcpu, ci) || !self.place_single(vcpu, ci) {
            effects | self.resync(vcpu, ci)
        } else {
            effects
        }
    }

    /// Takes back what the guest has ended: there may be use for the room, and the same
    /// interrupt may be due again.
    fn reap<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let used = self.cpus.get(vcpu).map_or(0, |cpu| cpu.slots.used);
        let mut effects = Effects::NONE;
        for slot in Bits(used) {
            let value = ci.lr(slot);
            if !lr::is_valid(value) {
                effects |= self.fold(vcpu, slot, value);
                if !lr::is_empty(value) {
                    ci.set_lr(slot, 0);
                }
            }
        }
        effects
    }

    /// Whether a lowered line has to be taken out of a list register: not if the guest has
    /// acknowledged the interrupt already, as it has where its handler made the line go down.
    fn is_retracted<C: CpuInterface>(&mut self, vcpu: usize, ci: &C) -> bool {
        let Self { cpus, spis, .. } = self;
        let Some(cpu) = cpus.get_mut(vcpu) else {
            return false;
        };
        if cpu.attention & LOWERED == 0 {
            return false;
        }
        cpu.attention &= !LOWERED;
        Bits(cpu.slots.used & !cpu.slots.moved).any(|slot| {
            let value = ci.lr(slot);
            let intid = lr::intid(value);
            let pending = match intid.checked_sub(FIRST_SPI) {
                None => cpu.private.pending(),
                Some(spi) => spis.get(spi as usize / 32).map_or(0, |spi| spi.bank.pending()),
            };
            value & lr::LR_PENDING != 0 && pending & (1 << (intid & 31)) == 0
        })
    }

    /// Puts the one interrupt that waits into a free list register. False, with nothing done,
    /// where it is not that simple.
    fn place_single<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> bool {
        let Self { cpus, spis, .. } = self;
        let Some(cpu) = cpus.get_mut(vcpu) else {
            return true;
        };
        let attention = cpu.attention;
        let placed = if attention & URGENT == 0 {
            return true;
        } else if attention == PRIVATE {
            cpu.place_private(ci)
        } else if attention.is_power_of_two()
            && let Some(spi) = spis.get_mut((attention.trailing_zeros() as usize).wrapping_sub(1))
        {
            cpu.place_spi(vcpu, spi, 32 * attention.trailing_zeros(), ci)
        } else {
            false
        };
        if placed {
            cpu.attention = 0;
        }
        placed
    }

    /// Takes list register `slot` of `vcpu`, which holds `value` now, back into the model.
    fn fold(&mut self, vcpu: usize, slot: usize, value: u64) -> Effects {
        let Self { cpus, spis, .. } = self;
        let Some(cpu) = cpus.get_mut(vcpu) else {
            return Effects::NONE;
        };
        let bit = 1u32 << (slot & 15);
        let written = cpu.slots.values[slot & 15];
        let moved = cpu.slots.moved & bit != 0;
        let deactivate = cpu.slots.deactivate & bit != 0;
        cpu.slots.used &= !bit;
        cpu.slots.deactivate &= !bit;
        let intid = lr::intid(written);
        let (index, mask) = (intid as usize & 31, 1u32 << (intid & 31));
        let Some(spi) = intid.checked_sub(FIRST_SPI) else {
            let bank = &mut cpu.private;
            bank.move_in(index, value, moved, deactivate);
            let ended = !lr::is_valid(value) && written & lr::LR_HW != 0;
            if ended && bank.latch & mask == 0 {
                cpu.hw &= !mask;
            }
            if (bank.deliverable() | bank.active) & mask != 0 {
                cpu.attention |= PRIVATE;
            }
            return Effects::NONE;
        };
        let n = spi as usize / 32;
        let Some(shared) = spis.get_mut(n) else {
            return Effects::NONE;
        };
        shared.bank.move_in(index, value, moved, deactivate);
        if shared.bank.active & mask != 0 {
            cpu.attention |= 2 << n;
            Effects::NONE
        } else if shared.bank.deliverable() & mask != 0 {
            self.notify(At::Shared(n), mask)
        } else {
            Effects::NONE
        }
    }

    /// Takes everything back from the list registers, EOIcount included. Those that were not
    /// empty hold stale values afterwards, until [`Vgic::fill`] or `Slots::clear_stale`.
    #[inline]
    pub(super) fn absorb<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        match self.cpus.get(vcpu) {
            Some(cpu) if cpu.slots.used != 0 || cpu.slots.hcr & lr::HCR_LRENPIE != 0 => {
                self.absorb_all(vcpu, ci)
            }
            _ => Effects::NONE,
        }
    }

    #[inline(never)]
    fn absorb_all<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let mut effects = self.count_eois(vcpu, ci);
        let used = self.cpus.get(vcpu).map_or(0, |cpu| cpu.slots.used);
        let mut stale = 0;
        for slot in Bits(used) {
            let value = ci.lr(slot);
            effects |= self.fold(vcpu, slot, value);
            stale |= u32::from(!lr::is_empty(value)) << slot;
        }
        if let Some(cpu) = self.cpus.get_mut(vcpu)
            && stale != 0
        {
            cpu.slots.stale |= stale;
            cpu.attention |= RESYNC;
        }
        effects
    }

    /// Deactivates what the guest ended while there was no list register for it. With EOImode = 0
    /// the guest ends interrupts in the order of their running priority, so the n ends that
    /// EOIcount has seen were those of the n highest priorities outside the list registers.
    fn count_eois<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let mut effects = Effects::NONE;
        let Some(cpu) = self.cpus.get_mut(vcpu) else {
            return effects;
        };
        if cpu.slots.hcr & lr::HCR_LRENPIE == 0 || ci.vmcr() & lr::VMCR_VEOIM != 0 {
            return effects;
        }
        let waiting = cpu.waiting();
        let ends = (ci.hcr() >> lr::HCR_EOICOUNT_SHIFT) & 31;
        ci.set_hcr(cpu.slots.hcr);
        for _ in 0..ends {
            let mut best = Best::new(1);
            for n in Bits(waiting) {
                self.collect(vcpu, n, |_| {}, |key| best.insert(key));
            }
            let Some(&key) = best.taken().first() else {
                break;
            };
            let intid = key & 0x3ff;
            let at = At::of(vcpu, intid);
            if let Some(bank) = self.bank_mut(at) {
                bank.active &= !(1 << (intid & 31));
            }
            effects |= self.notify(at, 1 << (intid & 31));
        }
        effects
    }

    /// Fills the list registers from the model, into which they were folded before.
    ///
    /// The pending interrupt of the highest priority always gets one, so that it can preempt;
    /// then the active ones in the order in which the guest will end them; then what else is
    /// pending. For what is left over, maintenance interrupts: NP when the guest has taken the
    /// last pending one, LRENP when it has ended one that has no list register. The order also
    /// depends on which groups the guest's CPU interface has enabled, so a change of that is
    /// reported too while something waits.
    pub(super) fn fill<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) {
        let Some(cpu) = self.cpus.get_mut(vcpu) else {
            return;
        };
        cpu.release(ci);
        let banks = cpu.banks();
        let slots = ci.lr_count().min(16);
        let vmcr = ci.vmcr();
        let (mut pending, mut active) = (Best::new(slots), Best::new(slots));
        for n in Bits(banks) {
            self.collect(
                vcpu,
                n,
                |key| pending.insert(if masked(vmcr, key) { key | MASKED } else { key }),
                |key| active.insert(key),
            );
        }
        let reserved = pending.taken().len().min(1);
        let actives = active.taken().len().min(slots - reserved);
        let running = active.taken().iter().take(actives);
        let queued = pending.taken().iter().take(slots - actives);
        let left = (active.seen > running.len(), pending.seen > queued.len());
        for (slot, key) in running.chain(queued).enumerate() {
            self.occupy_with(vcpu, slot, key & 0x3ff, left.1, ci);
        }
        let Some(cpu) = self.cpus.get_mut(vcpu) else {
            return;
        };
        let left_over = if left.0 || left.1 { banks } else { 0 };
        cpu.attention = u64::from(left_over) << WAITING;
        cpu.slots.clear_stale(ci);
        let hcr = maintenance(left.0, left.1, vmcr);
        if hcr != cpu.slots.hcr {
            cpu.slots.hcr = hcr;
            ci.set_hcr(hcr);
        }
    }

    /// Moves `intid` into list register `slot`, which is free. Where interrupts wait for room,
    /// `crowded`, none is active and pending at once in a list register: it would be pending
    /// there as soon as it is ended, and keep a better one waiting.
    fn occupy_with<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        slot: usize,
        intid: u32,
        crowded: bool,
        ci: &mut C,
    ) {
        let Self { cpus, spis, .. } = self;
        let Some(cpu) = cpus.get_mut(vcpu) else {
            return;
        };
        let index = intid as usize & 31;
        let renew = |bank: &Bank| !crowded && bank.allowed & (1 << index) != 0;
        let (value, moved) = match intid.checked_sub(FIRST_SPI) {
            None => {
                let hw = cpu.hw & (1 << index) != 0;
                let hw = hw.then_some(cpu.pintid[index]);
                cpu.slots.settle(index, slot);
                cpu.private.move_out(intid, hw, renew(&cpu.private))
            }
            Some(spi) => {
                let Some(shared) = spis.get_mut(spi as usize / 32) else {
                    return;
                };
                shared.holder[index] = vcpu as u8;
                shared.bank.move_out(intid, None, renew(&shared.bank))
            }
        };
        cpu.slots.stale &= !(1 << (slot & 15));
        cpu.slots.occupy(slot, value, moved, ci);
    }

    /// Hands the keys of what is pending and of what is active for `vcpu` in bank `n`, in the
    /// numbering of [`Cpu::attention`], to the two callbacks.
    fn collect(
        &self,
        vcpu: usize,
        n: usize,
        mut pending: impl FnMut(u32),
        mut active: impl FnMut(u32),
    ) {
        let first = 32 * n as u32;
        let Some(shared) = n.checked_sub(1) else {
            if let Some(cpu) = self.cpus.get(vcpu) {
                let bank = &cpu.private;
                Bits(bank.deliverable()).for_each(|i| pending(bank.key(first, i, false)));
                Bits(bank.active).for_each(|i| active(bank.key(first, i, true)));
            }
            return;
        };
        if let Some(spi) = self.spis.get(shared) {
            let (bank, me) = (&spi.bank, vcpu as u8);
            Bits(bank.deliverable())
                .filter(|&i| spi.target[i & 31] == me)
                .for_each(|i| pending(bank.key(first, i, false)));
            Bits(bank.active & !bank.in_lr)
                .filter(|&i| spi.holder[i & 31] == me)
                .for_each(|i| active(bank.key(first, i, true)));
        }
    }
}

/// ICH_HCR_EL2 for a vCPU with active or pending interrupts outside the list registers.
fn maintenance(actives_left: bool, pendings_left: bool, vmcr: u64) -> u64 {
    let mut hcr = lr::HCR_EN;
    if actives_left {
        hcr |= lr::HCR_LRENPIE;
        if vmcr & lr::VMCR_VEOIM != 0 {
            hcr |= lr::HCR_TDIR;
        }
    }
    if pendings_left {
        hcr |= lr::HCR_NPIE;
        let enabled = vmcr & 3;
        for group in 0..2u32 {
            if enabled & (lr::VMCR_VENG0 << group) == 0 {
                hcr |= lr::HCR_VGRP0_EIE << (2 * group);
            } else if enabled == 3 {
                // With one group enabled its being disabled changes nothing by itself. And on
                // QEMU 7.2 VGrp0DIE looks at VENG1: set with VENG1 = 0 it would never end.
                hcr |= lr::HCR_VGRP0_DIE << (2 * group);
            }
        }
    }
    hcr
}
