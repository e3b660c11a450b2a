//! The traffic between the model and the list registers.

use super::bank::Bits;
use super::best::{Best, LAST, masked};
use super::{CpuInterface, Effects, LOWERED, SGIS, TIMER_BIT, URGENT, Vgic, WAITING, lr};

impl Vgic {
    /// `vcpu` comes to the pCPU of `ci`: writes the list registers, and makes its timer's physical
    /// interrupt active if its guest still has to deactivate it; whether that is so. All list
    /// registers of the pCPU are empty before. A few instructions where nothing is pending or
    /// active.
    #[inline]
    pub fn load<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> bool {
        let hcr = self.hcr();
        let (Some(cpu), Some(bank)) = (self.cpus.get_mut(vcpu), self.banks.get(vcpu)) else {
            return false;
        };
        cpu.loaded = true;
        cpu.hcr = hcr;
        ci.set_hcr(hcr);
        if (bank.pending() | bank.active) & TIMER_BIT == 0 {
            cpu.timer = 0;
        }
        let in_flight = cpu.timer != 0;
        if in_flight {
            ci.set_physical_active(lr::pintid(cpu.timer), true);
        }
        // Nothing was in a list register, so nothing comes back that could concern another.
        let _ = self.deliver(vcpu, ci);
        in_flight
    }

    /// `vcpu` leaves the pCPU of `ci`: takes all list registers back into the model and empties
    /// them, and deactivates its timer's physical interrupt there, so that it can fire for the
    /// next. A few instructions where no list register is in use.
    #[inline]
    pub fn put<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let effects = self.absorb(vcpu, ci);
        let Some(cpu) = self.cpus.get_mut(vcpu) else { return effects };
        if cpu.timer != 0 {
            ci.set_physical_active(lr::pintid(cpu.timer), false);
        }
        cpu.attention = cpu.banks().into();
        cpu.loaded = false;
        ci.set_hcr(0);
        effects.without(vcpu)
    }

    /// A maintenance interrupt while `vcpu` is loaded: takes back what the guest has ended, and
    /// brings in what is next.
    pub fn sync<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        match self.cpus.get(vcpu) {
            Some(cpu) if cpu.waiting() != 0 => self.resync(vcpu, ci),
            _ => self.refill(vcpu, ci),
        }
    }

    /// To be called with `vcpu` loaded before it enters the guest, when an [`Effects`] names it:
    /// moves what has become deliverable into the list registers. The common case, one interrupt
    /// and a free list register, touches nothing else.
    #[inline]
    pub fn deliver<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let attention = self.cpus.get(vcpu).map_or(0, |cpu| cpu.attention);
        if attention & URGENT == 0 || self.place_sgi(vcpu, ci) || self.place_due(vcpu, ci) {
            return Effects::NONE;
        }
        self.refill(vcpu, ci)
    }

    /// Puts the one SGI that is due into a list register. False, with nothing done, where it is not
    /// that simple.
    #[inline(always)]
    fn place_sgi<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> bool {
        let (Some(cpu), Some(bank)) = (self.cpus.get_mut(vcpu), self.banks.get_mut(vcpu)) else {
            return false;
        };
        // Of all banks only its own has news, the first bit; and there one SGI is all that is due.
        let due = bank.latch & SGIS;
        if cpu.attention != 1 || !due.is_power_of_two() {
            return false;
        }
        if (bank.deliverable() | bank.renewed()) != due || bank.active != 0 {
            return false;
        }
        cpu.attention = 0;
        if !cpu.signal(bank, due.trailing_zeros(), 0, ci) {
            cpu.attention = 1;
            return false;
        }
        bank.latch &= !due;
        true
    }

    #[inline(never)]
    fn refill<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let effects = self.reap(vcpu, ci).without(vcpu);
        self.release(vcpu, ci);
        if self.is_retracted(vcpu, ci) || !self.place_due(vcpu, ci) {
            effects | self.resync(vcpu, ci)
        } else {
            effects
        }
    }

    /// Folds every list register and fills them anew, in order of priority.
    fn resync<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let effects = self.absorb(vcpu, ci);
        self.fill(vcpu, ci);
        self.release(vcpu, ci);
        effects.without(vcpu)
    }

    /// Puts the one interrupt that is due into a list register. False, with nothing done, where
    /// it is not that simple.
    #[inline]
    fn place_due<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> bool {
        let (any, vcpus) = (self.any, self.cpus.len());
        let Some(cpu) = self.cpus.get_mut(vcpu) else { return true };
        if cpu.attention & URGENT == 0 {
            return true;
        }
        let n = cpu.attention.trailing_zeros() as usize;
        let at = if n == 0 { vcpu } else { vcpus + n - 1 };
        let (true, Some(bank)) = (cpu.attention.is_power_of_two(), self.banks.get_mut(at)) else {
            return false;
        };
        let due = bank.deliverable() | bank.renewed();
        if due & due.wrapping_sub(1) | bank.active != 0 {
            return false;
        }
        if due != 0 {
            let index = due.trailing_zeros() as usize & 31;
            if n != 0 && (bank.in_lr & due != 0 || bank.target(index, any) != vcpu) {
                return false;
            }
            let Some(slot) = cpu.room(bank, index, ci) else { return false };
            bank.holder[index] = vcpu as u8;
            cpu.occupy(bank, slot, (32 * n + index) as u32, false, ci);
        }
        cpu.attention = 0;
        true
    }

    /// Takes back what the guest has ended: there may be use for the room, and the same
    /// interrupt may be due again.
    pub(super) fn reap<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        self.fold(vcpu, ci, |value| !lr::is_valid(value))
    }

    /// Whether a lowered line has to be taken out of a list register: not if the guest has
    /// acknowledged the interrupt already, as it has where its handler made the line go down.
    fn is_retracted<C: CpuInterface>(&mut self, vcpu: usize, ci: &C) -> bool {
        let Some(cpu) = self.cpus.get_mut(vcpu) else { return false };
        if cpu.attention & LOWERED == 0 {
            return false;
        }
        cpu.attention &= !LOWERED;
        Bits(cpu.used).any(|slot| {
            let value = ci.lr(slot);
            let intid = lr::intid(value);
            let bank = self.banks.get(self.at(vcpu, intid));
            let stays = bank.map_or(0, |bank| bank.pending() | bank.moved);
            value & lr::LR_PENDING != 0 && stays >> (intid & 31) & 1 == 0
        })
    }

    /// Takes the list registers of `vcpu` whose values are `wanted` back into the model.
    fn fold<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        ci: &mut C,
        wanted: impl Fn(u64) -> bool,
    ) -> Effects {
        let mut effects = Effects::NONE;
        for slot in Bits(self.cpus.get(vcpu).map_or(0, |cpu| cpu.used)) {
            let value = ci.lr(slot);
            if !wanted(value) {
                continue;
            }
            let intid = lr::intid(value);
            let (at, bit) = (self.at(vcpu, intid), 1 << (intid & 31));
            if let (Some(cpu), Some(bank)) = (self.cpus.get_mut(vcpu), self.banks.get_mut(at)) {
                cpu.used &= !(1 << slot);
                bank.move_in(intid as usize, value);
                if !lr::is_valid(value) && value & lr::LR_HW != 0 {
                    // The guest has deactivated the physical interrupt, too. If its line is
                    // still high it fires again.
                    cpu.timer = 0;
                    bank.level &= !bit;
                }
            }
            if !lr::is_empty(value) {
                ci.set_lr(slot, 0);
            }
            effects |= self.notify(at, bit);
        }
        effects
    }

    /// Takes everything back from the list registers, EOIcount included.
    #[inline]
    pub(super) fn absorb<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let Some(cpu) = self.cpus.get_mut(vcpu) else { return Effects::NONE };
        cpu.awaited_by = 0;
        if cpu.used == 0 && cpu.hcr & lr::HCR_LRENPIE == 0 {
            return Effects::NONE;
        }
        self.absorb_all(vcpu, ci)
    }

    #[inline(never)]
    fn absorb_all<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        self.count_eois(vcpu, ci) | self.fold(vcpu, ci, |_| true)
    }

    /// Deactivates what the guest ended while there was no list register for it. With EOImode = 0
    /// the guest ends interrupts in the order of their running priority, so the n ends that
    /// EOIcount has seen were those of the n highest priorities outside the list registers, of
    /// what it has acknowledged: it may end nothing else (IHI 0069, ICC_EOIR0_EL1). What it made
    /// active by ISACTIVER comes behind: it may have restored the active priorities, too.
    fn count_eois<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        let mut effects = Effects::NONE;
        let Some(cpu) = self.cpus.get_mut(vcpu) else { return effects };
        if cpu.hcr & lr::HCR_LRENPIE == 0 {
            return effects;
        }
        let waiting = cpu.waiting();
        // With EOImode = 1 only ICC_DIR_EL1 deactivates, and that traps. QEMU 7.2 counts each
        // ICC_EOIR1_EL1 all the same: the count is cleared, or its interrupt would never end.
        let split = ci.vmcr() & lr::VMCR_VEOIM != 0;
        let ends = if split { 0 } else { (ci.hcr() >> lr::HCR_EOICOUNT_SHIFT) & 31 };
        ci.set_hcr(cpu.hcr);
        for _ in 0..ends {
            let mut best = Best::new(1);
            for n in Bits(waiting) {
                self.collect(vcpu, n, |_| {}, |key| best.insert(key));
            }
            let Some(&key) = best.taken().first() else {
                break;
            };
            let intid = key & 0x3ff;
            let at = self.at(vcpu, intid);
            if let Some(bank) = self.banks.get_mut(at) {
                bank.active &= !(1 << (intid & 31));
                bank.unacknowledged &= bank.active | bank.in_lr;
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
    fn fill<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) {
        let banks = self.cpus.get(vcpu).map_or(0, |cpu| cpu.banks());
        let slots = ci.lr_count().min(16);
        let vmcr = ci.vmcr();
        let (mut pending, mut active) = (Best::new(slots), Best::new(slots));
        for n in Bits(banks) {
            self.collect(
                vcpu,
                n,
                |key| pending.insert(if masked(vmcr, key) { key | LAST } else { key }),
                |key| active.insert(key),
            );
        }
        let reserved = pending.taken().len().min(1);
        let actives = active.taken().len().min(slots - reserved);
        let running = active.taken().iter().take(actives);
        let queued = pending.taken().iter().take(slots - actives);
        let left = (active.seen > running.len(), pending.seen > queued.len());
        for (slot, key) in running.chain(queued).enumerate() {
            let intid = key & 0x3ff;
            let (at, index) = (self.at(vcpu, intid), intid as usize & 31);
            if let (Some(cpu), Some(bank)) = (self.cpus.get_mut(vcpu), self.banks.get_mut(at)) {
                // Where interrupts wait for room, none is active and pending at once in a list
                // register: it would be pending there as soon as it is ended, and keep a better
                // one waiting. Nor is one whose route has led elsewhere since: its end is reported.
                let renew = !left.1
                    && bank.allowed >> index & 1 != 0
                    && bank.target(index, self.any) == vcpu;
                bank.holder[index] = vcpu as u8;
                cpu.occupy(bank, slot, intid, renew, ci);
            }
        }
        let hcr = self.hcr() | maintenance(left.0, left.1, vmcr);
        let Some(cpu) = self.cpus.get_mut(vcpu) else { return };
        let left_over = if left.0 || left.1 { banks } else { 0 };
        cpu.attention = u64::from(left_over) << WAITING;
        if hcr != cpu.hcr {
            cpu.hcr = hcr;
            ci.set_hcr(hcr);
        }
    }

    /// Hands the keys of what is pending and of what is active for `vcpu` in bank `n`, in the
    /// numbering of `Cpu::attention`, to the two callbacks.
    fn collect(
        &self,
        vcpu: usize,
        n: usize,
        mut pending: impl FnMut(u32),
        mut active: impl FnMut(u32),
    ) {
        let first = 32 * n as u32;
        let Some(bank) = self.banks.get(self.at(vcpu, first)) else { return };
        Bits(bank.deliverable())
            .filter(|&i| bank.target(i, self.any) == vcpu)
            .for_each(|i| pending(bank.key(first, i, false)));
        Bits(bank.active & !bank.in_lr)
            .filter(|&i| usize::from(bank.holder[i & 31]) == vcpu)
            .for_each(|i| active(bank.key(first, i, true)));
    }

    /// Deactivates the physical interrupt behind the timer's if that is neither pending nor
    /// active any more, and not by the guest's own deactivation: its line went low, say.
    fn release<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) {
        if let (Some(cpu), Some(bank)) = (self.cpus.get_mut(vcpu), self.banks.get(vcpu))
            && cpu.timer != 0
            && (bank.pending() | bank.active | bank.in_lr) & TIMER_BIT == 0
        {
            ci.set_physical_active(lr::pintid(cpu.timer), false);
            cpu.timer = 0;
        }
    }

    /// ICH_HCR_EL2 while every active and pending interrupt has a list register. Of several
    /// vCPUs one may deactivate an SPI that another has taken: only a trapped ICC_DIR_EL1 tells.
    fn hcr(&self) -> u64 {
        lr::HCR_EN | if self.cpus.len() > 1 { lr::HCR_TDIR } else { 0 }
    }
}

/// What of ICH_HCR_EL2 is due to active or pending interrupts outside the list registers.
fn maintenance(actives_left: bool, pendings_left: bool, vmcr: u64) -> u64 {
    let mut hcr = 0;
    if actives_left {
        hcr |= lr::HCR_LRENPIE | lr::HCR_TDIR;
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
