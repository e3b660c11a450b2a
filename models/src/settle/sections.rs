//! The sections between locks: what a pCPU does next, and what comes of it.

use mezzanine::device::vgic::Frame;
use mezzanine::sched::{Kick, Pick, Reason};

use super::hardware::Hardware;
use super::world::*;

/// More rounds than any way out of the waiting takes.
const ROUNDS: usize = 40;

impl World {
    /// Something has changed: what accesses may see.
    pub fn changed(&mut self) {
        for access in self.pcpus.iter_mut().filter_map(|pcpu| pcpu.access.as_mut()) {
            access.see(self.pending, self.active);
        }
    }

    /// `schedule::deliver`: `Presence::post` and the SGI. `own` needs none.
    pub fn deliver(&mut self, kick: Kick, own: Option<usize>) {
        for (number, cpu) in self.pcpus.iter_mut().enumerate() {
            let named = |mask: u8| mask >> number & 1 != 0;
            if !named(kick.reschedule | kick.notice) {
                continue;
            }
            let quiet = !cpu.reschedule && !cpu.notice;
            cpu.reschedule |= named(kick.reschedule);
            cpu.notice |= named(kick.notice);
            let away = matches!(cpu.phase, Phase::Guest(_));
            cpu.sgi |= quiet && away && own != Some(number);
        }
    }

    /// The next section of `pcpu`.
    pub fn run(&mut self, variant: Variant, pcpu: usize) {
        let value = self.value(pcpu);
        let cpu = &mut self.pcpus[pcpu];
        let kick = core::mem::take(&mut cpu.outbox);
        if !kick.is_none() {
            return self.deliver(kick, Some(pcpu));
        }
        if cpu.tells != 0 {
            let vcpu = cpu.tells.trailing_zeros() as usize;
            cpu.tells &= cpu.tells - 1;
            cpu.outbox = self.queue.wake(self.ids[vcpu], 0).unwrap();
            return;
        }
        let (vgic, ci) = (&mut self.vgic, &mut cpu.ci);
        cpu.phase = match cpu.phase {
            Phase::Free => {
                let before = self.queue.clone();
                match self.queue.pick(pcpu, 0).unwrap() {
                    Pick::Run { id, kick, .. } => {
                        cpu.outbox = kick;
                        Phase::Load(self.ids.iter().position(|known| *known == id).unwrap())
                    }
                    Pick::Idle { .. } => {
                        self.queue = before;
                        Phase::Free
                    }
                }
            }
            Phase::Load(vcpu) => {
                vgic.load(vcpu, ci);
                ci.running = core::mem::take(&mut self.running[vcpu]);
                Phase::Enter(vcpu)
            }
            Phase::Enter(vcpu) => {
                let notice = core::mem::take(&mut cpu.notice);
                match (notice, core::mem::take(&mut cpu.reschedule)) {
                    (false, false) => Phase::Guest(vcpu),
                    (false, true) => Phase::Fold(vcpu),
                    (true, leaves) => Phase::Attend(vcpu, leaves),
                }
            }
            Phase::Attend(vcpu, leaves) => {
                cpu.tells = vgic.deliver(vcpu, ci).0;
                if leaves { Phase::Fold(vcpu) } else { Phase::Enter(vcpu) }
            }
            Phase::Guest(vcpu) => {
                let sgi = core::mem::take(&mut cpu.sgi);
                match (ci.maintenance(), sgi) {
                    (true, _) => Phase::Sync(vcpu),
                    (false, true) => Phase::Enter(vcpu),
                    (false, false) => Phase::Guest(vcpu),
                }
            }
            Phase::Sync(vcpu) => {
                cpu.tells = vgic.sync(vcpu, ci).0;
                Phase::Enter(vcpu)
            }
            Phase::Settle(vcpu) => {
                if variant != Variant::NeverFolds {
                    cpu.tells = vgic.deliver(vcpu, ci).0;
                }
                match vgic.awaits(vcpu) {
                    true if variant != Variant::GoesOn => Phase::Settle(vcpu),
                    _ => Phase::Finish(vcpu),
                }
            }
            Phase::Finish(vcpu) => {
                cpu.phase = Phase::Enter(vcpu);
                return self.finish(pcpu, vcpu, value);
            }
            Phase::Fold(vcpu) => {
                self.running[vcpu] = core::mem::take(&mut ci.running);
                if variant == Variant::PutsUnfolded {
                    *ci = Hardware::new(LRS);
                } else {
                    cpu.tells = vgic.put(vcpu, ci).0;
                }
                Phase::Put(vcpu)
            }
            Phase::Put(vcpu) => {
                self.queue.put(pcpu, self.ids[vcpu], 0, Reason::Preempted).unwrap();
                Phase::Free
            }
        };
    }

    /// The vCPU in its guest on `pcpu` begins an access.
    pub fn begin(&mut self, variant: Variant, pcpu: usize, kind: Kind) {
        let cpu = &mut self.pcpus[pcpu];
        let Phase::Guest(vcpu) = cpu.phase else { return };
        let mut access = Access { kind, set: 0, clear: 0 };
        access.see(self.pending, self.active);
        cpu.access = Some(access);
        let (value, others) = match kind.register() {
            Some(offset) => self.vgic.read(vcpu, Frame::Dist, offset, 4, &cpu.ci),
            None => {
                let bits = kind.disables(vcpu).into();
                (0, self.vgic.write(vcpu, Frame::Dist, GICD_ICENABLER1, 4, bits, &mut cpu.ci))
            }
        };
        if others.is_empty() {
            cpu.phase = Phase::Enter(vcpu);
            return self.finish(pcpu, vcpu, value);
        }
        cpu.phase = Phase::Settle(vcpu);
        cpu.tells = if variant == Variant::AsksQuietly { 0 } else { others.0 };
    }

    /// What the access on `pcpu` reads, if it reads now.
    pub fn value(&self, pcpu: usize) -> u64 {
        let Pcpu { phase: Phase::Finish(vcpu), access: Some(access), ci, .. } = &self.pcpus[pcpu]
        else {
            return 0;
        };
        let offset = access.kind.register();
        offset.map_or(0, |at| self.vgic.read_settled(*vcpu, Frame::Dist, at, 4, ci))
    }

    /// The access on `pcpu` is done.
    fn finish(&mut self, pcpu: usize, vcpu: usize, value: u64) {
        let Some(access) = self.pcpus[pcpu].access.take() else { return };
        if access.kind.register().is_some() {
            let value = value as u8;
            self.misread |= value & !access.set != 0 || !value & !access.clear != 0;
        }
        self.disabled |= access.kind.disables(vcpu);
    }

    /// Whoever waits gets through, though no guest does anything, and no vCPU that has no pCPU is
    /// given one: the pCPUs only go on, one after the other.
    pub fn gets_through(&self, variant: Variant) -> bool {
        let mut world = self.clone();
        for _ in 0..ROUNDS {
            if world.pcpus.iter().all(|pcpu| pcpu.access.is_none()) {
                return true;
            }
            for pcpu in 0..PCPUS {
                if world.pcpus[pcpu].phase != Phase::Free {
                    world.run(variant, pcpu);
                }
            }
        }
        false
    }
}
