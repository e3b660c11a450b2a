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

/// Aff3, Aff2 and Aff1. RS is RES0 where ICC_CTLR_EL1.RSS is zero, and may be taken for zero where
/// only GICD_TYPER.RSS is.
const CLUSTER: u64 = 0x00ff_00ff_00ff_0000;
/// IRM: all but the sender.
const IRM: u64 = 1 << 40;

/// The bits by which [`Vgic::sgi`] finds that its short way is not the right one: all of them
/// where a vCPU's number is not its affinity.
pub(super) fn indirect(affinities: &[u32]) -> u64 {
    let flat = affinities.iter().zip(0..).all(|(affinity, vcpu)| *affinity == vcpu);
    if flat { IRM | CLUSTER } else { u64::MAX }
}

impl Vgic {
    /// A guest's write of ICC_SGI1R_EL1, ICC_ASGI1R_EL1 or ICC_SGI0R_EL1 on `vcpu`, which is
    /// loaded with the list registers `ci`.
    ///
    /// GICD_CTLR.DS is one, so ICC_SGI1R_EL1 makes an SGI of either group pending and the other
    /// two reach those in Group 0 only (IHI 0069, "Forwarding an SGI to a target PE").
    #[inline(always)]
    pub fn sgi<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        register: SgiRegister,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        let own = 1u64 << (vcpu & 63);
        let targets =
            if value & self.indirect == 0 { value & 0xffff } else { self.targets(own, value) };
        let intid = (value >> 24) as u32 & 15;
        let any_group = register == SgiRegister::Sgi1r;
        if targets == own
            && let (Some(cpu), Some(bank)) = (self.cpus.get_mut(vcpu), self.banks.get_mut(vcpu))
            && (any_group || bank.group & (1 << intid) == 0)
            && cpu.signal(bank, intid, 0, ci)
        {
            return Effects::NONE;
        }
        let effects = self.send(targets, intid, any_group);
        if targets & own == 0 { effects } else { self.fetch(vcpu, effects, ci) }
    }

    /// The vCPUs that an SGI is for; `own` is the sender.
    #[inline(never)]
    fn targets(&self, own: u64, value: u64) -> u64 {
        if value & IRM != 0 {
            return !(own | u64::MAX << self.cpus.len());
        }
        let field = |shift: u32| value >> shift & 0xff;
        let cluster = field(48) << 16 | field(32) << 8 | field(16);
        let named = |affinity: u32| {
            u64::from(affinity >> 8) == cluster && value >> (affinity & 15) & 1 != 0
        };
        let vcpus = self.affinities.iter().enumerate().filter(|(_, affinity)| named(**affinity));
        vcpus.fold(0, |targets, (vcpu, _)| targets | 1 << vcpu)
    }

    /// Brings in what the sender has sent to itself.
    #[inline(never)]
    fn fetch<C: CpuInterface>(&mut self, vcpu: usize, effects: Effects, ci: &mut C) -> Effects {
        (effects | self.deliver(vcpu, ci)).without(vcpu)
    }

    /// Makes an SGI pending on some vCPUs, to be fetched by themselves.
    #[inline(never)]
    fn send(&mut self, targets: u64, intid: u32, any_group: bool) -> Effects {
        let mut effects = Effects::NONE;
        let bit = 1 << intid;
        let mut left = targets;
        while left != 0 {
            let target = left.trailing_zeros() as usize;
            left &= left - 1;
            // Only vCPUs have both, and the bank of one is nobody else's business.
            if let (Some(cpu), Some(bank)) = (self.cpus.get_mut(target), self.banks.get_mut(target))
                && (any_group || bank.group & bit == 0)
            {
                bank.latch |= bit;
                let held = bank.renewed() | bank.active & !bank.in_lr;
                if (bank.deliverable() | held) & bit != 0 {
                    cpu.attention |= 1;
                    effects |= Effects::of(target);
                }
            }
        }
        effects
    }
}
