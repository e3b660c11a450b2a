//! Software-generated interrupts: the one part of the guest's CPU interface that traps.

use super::{CpuInterface, Effects, Vgic};

/// Which of the three registers wrote an SGI.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SgiRegister {
    /// ICC_SGI1R_EL1.
    Sgi1r,
    /// ICC_ASGI1R_EL1.
    Asgi1r,
    /// ICC_SGI0R_EL1.
    Sgi0r,
}

impl Vgic {
    /// A guest's write of ICC_SGI1R_EL1, ICC_ASGI1R_EL1 or ICC_SGI0R_EL1 on `vcpu`, which is
    /// loaded with the list registers `ci`.
    ///
    /// GICD_CTLR.DS is one, so ICC_SGI1R_EL1 makes an SGI of either group pending and the other
    /// two reach those in Group 0 only (IHI 0069, "Forwarding an SGI to a target PE").
    #[inline]
    pub fn sgi<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        register: SgiRegister,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        /// Aff3, Aff2, Aff1 and the range selector: zero for every vCPU there can be.
        const ELSEWHERE: u64 = 0x00ff_f0ff_00ff_0000;
        /// IRM: all but the sender.
        const IRM: u64 = 1 << 40;
        let own = 1u64 << (vcpu & 63);
        let targets = if value & (IRM | ELSEWHERE) == 0 {
            value & 0xffff
        } else if value & IRM != 0 {
            !own
        } else {
            return Effects::NONE;
        };
        let intid = (value >> 24) as u32 & 15;
        let any_group = register == SgiRegister::Sgi1r;
        let mut effects = Effects::NONE;
        if targets & !own != 0 {
            effects = self.send(targets & !own, intid, any_group);
        }
        if targets & own != 0
            && let (Some(cpu), Some(bank)) = (self.cpus.get_mut(vcpu), self.banks.get_mut(vcpu))
            && (any_group || bank.group & (1 << intid) == 0)
            && !cpu.signal(bank, intid, 0, ci)
        {
            effects |= self.send_own(vcpu, intid, ci);
        }
        effects
    }

    /// Makes an SGI pending on the sender, and brings it in.
    #[inline(never)]
    fn send_own<C: CpuInterface>(&mut self, vcpu: usize, intid: u32, ci: &mut C) -> Effects {
        let effects = self.send(1 << (vcpu & 63), intid, true);
        (effects | self.deliver(vcpu, ci)).without(vcpu)
    }

    /// Makes an SGI pending on some vCPUs, to be fetched by themselves.
    #[inline(never)]
    fn send(&mut self, targets: u64, intid: u32, any_group: bool) -> Effects {
        let mut effects = Effects::NONE;
        for target in 0..self.cpus.len() {
            if Effects(targets).contains(target)
                && let Some(bank) = self.banks.get_mut(target)
                && (any_group || bank.group & (1 << intid) == 0)
            {
                bank.latch |= 1 << intid;
                effects |= self.notify(target, 1 << intid);
            }
        }
        effects
    }
}
