//! The registers of one bank of 32 interrupts, which the distributor has for the SPIs and the
//! SGI frame of a redistributor for its own (IHI 0069, sections 12.9 and 12.11).

use super::bank::{Bank, Bits, NOBODY};
use super::{At, CpuInterface, Effects, FIRST_SPI, PRIVATE, RESYNC, SGIS, Vgic, lr};

/// Five bits of priority, as the CPU interface has them (ICH_VTR_EL2.PRIbits); the rest are
/// zero.
const PRIORITY_BITS: u8 = 0xf8;

/// Registers with one bit an interrupt: the offset divided by 0x80, in both frames.
const IGROUPR: u64 = 1;
const ISENABLER: u64 = 2;
const ICENABLER: u64 = 3;
const ISPENDR: u64 = 4;
const ICPENDR: u64 = 5;
const ISACTIVER: u64 = 6;
const ICACTIVER: u64 = 7;

impl Vgic {
    /// A read in the bit, priority and configuration registers: `offset` is that of the frame,
    /// reduced to one bank.
    pub(super) fn bank_read<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        at: At,
        offset: u64,
        size: u32,
        ci: &C,
    ) -> (u64, Effects) {
        let Some(bank) = self.bank(at) else {
            return (0, Effects::NONE);
        };
        let plain = size == 4 && offset & 3 == 0;
        let value = match offset >> 7 {
            IGROUPR if plain => bank.group,
            ISENABLER | ICENABLER if plain => bank.enabled,
            ISPENDR | ICPENDR if plain => {
                let (seen, effects) = self.look(vcpu, at, ci);
                return (seen.pending.into(), effects);
            }
            ISACTIVER | ICACTIVER if plain => {
                let (seen, effects) = self.look(vcpu, at, ci);
                return (seen.active.into(), effects);
            }
            8 if plain || size == 1 => {
                let at = offset as usize & 31;
                let bytes = bank.priority.get(at..at + size as usize);
                bytes.map_or(0, |b| b.iter().rev().fold(0, |v, &b| v << 8 | u32::from(b)))
            }
            24 if plain => spread(bank.edge >> (4 * (offset & 4))),
            _ => 0,
        };
        (value.into(), Effects::NONE)
    }

    /// A write, likewise.
    pub(super) fn bank_write<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        at: At,
        offset: u64,
        size: u32,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        let plain = size == 4 && offset & 3 == 0;
        match offset >> 7 {
            8 if plain || size == 1 => self.priority_write(vcpu, at, offset, size, value, ci),
            24 if plain => self.config_write(vcpu, at, offset, value as u32, ci),
            _ => Effects::NONE,
        }
    }

    /// A write of a register with one bit an interrupt; `register` is its offset in the frame
    /// divided by 0x80, 1 to 7. Most writes change nothing.
    #[inline(always)]
    pub(super) fn bits_write<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        at: At,
        register: u64,
        bits: u32,
        ci: &mut C,
    ) -> Effects {
        let Some(bank) = self.bank(at) else {
            return Effects::NONE;
        };
        let changed = match register {
            IGROUPR => bits ^ bank.group,
            ISENABLER => bits & !bank.enabled,
            ICENABLER => bits & bank.enabled,
            ISPENDR => bits & !bank.latch,
            ICPENDR => bits & (bank.latch | bank.in_lr),
            ISACTIVER => bits & !bank.active,
            _ => bits & (bank.active | bank.in_lr),
        };
        if changed == 0 {
            return Effects::NONE;
        }
        self.bits_change(vcpu, at, register, changed, ci)
    }

    fn bits_change<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        at: At,
        register: u64,
        changed: u32,
        ci: &mut C,
    ) -> Effects {
        let mut effects = self.claim(vcpu, at, changed, ci);
        let groups = self.groups;
        let Some(bank) = self.bank_mut(at) else {
            return effects;
        };
        match register {
            IGROUPR => bank.group ^= changed,
            ISENABLER => bank.enabled |= changed,
            ICENABLER => bank.enabled &= !changed,
            ISPENDR => bank.latch |= changed,
            ICPENDR => {
                bank.latch &= !changed;
                self.each_slot(at, changed, |slots, slot| slots.moved &= !slot);
            }
            ISACTIVER => effects |= self.activate(vcpu, at, changed),
            _ => {
                bank.active &= !changed;
                self.each_slot(at, changed, |slots, slot| slots.deactivate |= slot);
            }
        }
        if register <= ICENABLER
            && let Some(bank) = self.bank_mut(at)
        {
            bank.allow(groups);
        }
        effects |= self.notify(at, changed);
        (effects | self.settle(vcpu, ci)).without(vcpu)
    }

    /// ISACTIVER: an SPI becomes active on the vCPU to which it is routed.
    fn activate(&mut self, vcpu: usize, at: At, bits: u32) -> Effects {
        let mut effects = Effects::NONE;
        match at {
            At::Private(owner) => {
                if let Some(cpu) = self.cpus.get_mut(owner) {
                    cpu.private.activate(bits);
                    cpu.attention |= RESYNC | PRIVATE;
                    effects = Effects::of(owner);
                }
            }
            At::Shared(n) => {
                let Self { cpus, spis, .. } = self;
                let Some(spi) = spis.get_mut(n) else {
                    return effects;
                };
                for i in Bits(bits & !(spi.bank.active | spi.bank.in_lr)) {
                    let target = spi.target[i & 31];
                    let holder = if target == NOBODY { vcpu as u8 } else { target };
                    spi.holder[i & 31] = holder;
                    if let Some(cpu) = cpus.get_mut(usize::from(holder)) {
                        cpu.attention |= RESYNC | 2 << n;
                        effects |= Effects::of(usize::from(holder));
                    }
                }
                spi.bank.activate(bits);
            }
        }
        effects
    }

    fn priority_write<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        at: At,
        offset: u64,
        size: u32,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        let first = offset as usize & 31;
        let changed = (((1u64 << size) - 1) << first) as u32;
        let mut effects = self.claim(vcpu, at, changed, ci);
        if let Some(bank) = self.bank_mut(at)
            && let Some(bytes) = bank.priority.get_mut(first..first + size as usize)
        {
            for (byte, new) in bytes.iter_mut().zip(value.to_le_bytes()) {
                *byte = new & PRIORITY_BITS;
            }
        }
        effects |= self.notify(at, changed);
        (effects | self.settle(vcpu, ci)).without(vcpu)
    }

    /// ICFGR: the upper bit of each pair.
    fn config_write<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        at: At,
        offset: u64,
        value: u32,
        ci: &mut C,
    ) -> Effects {
        let half = 4 * (offset & 4);
        let writable = match at {
            At::Private(_) => !SGIS,
            At::Shared(_) => u32::MAX,
        };
        let Some(bank) = self.bank(at) else {
            return Effects::NONE;
        };
        let changed = (gather(value) << half ^ bank.edge) & (0xffff << half) & writable;
        if changed == 0 {
            return Effects::NONE;
        }
        let mut effects = self.claim(vcpu, at, changed, ci);
        if let Some(bank) = self.bank_mut(at) {
            bank.edge ^= changed;
        }
        effects |= self.notify(at, changed);
        (effects | self.settle(vcpu, ci)).without(vcpu)
    }

    /// Brings the state of `bits` into the model where that is possible now: folds the list
    /// registers of `vcpu` itself, asks other holders to fold theirs.
    #[inline]
    pub(super) fn claim<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        at: At,
        bits: u32,
        ci: &mut C,
    ) -> Effects {
        if self.bank(at).is_none_or(|bank| bank.in_lr & bits == 0) {
            return Effects::NONE;
        }
        let holders = self.mark(at, bits, RESYNC);
        if holders.contains(vcpu) { holders | self.absorb(vcpu, ci) } else { holders }
    }

    /// After a register access of `vcpu`: its own list registers are brought up to date.
    #[inline]
    pub(super) fn settle<C: CpuInterface>(&mut self, vcpu: usize, ci: &mut C) -> Effects {
        if let Some(cpu) = self.cpus.get_mut(vcpu)
            && cpu.hw & !cpu.in_flight() != 0
        {
            cpu.attention |= RESYNC;
        }
        self.deliver(vcpu, ci)
    }

    /// What is pending and active in a bank, the list registers included: those of `vcpu` as
    /// they are, those of others as last written.
    fn look<C: CpuInterface>(&mut self, vcpu: usize, at: At, ci: &C) -> (Seen, Effects) {
        let Some(bank) = self.bank(at) else {
            return Default::default();
        };
        let mut seen = Seen { pending: bank.pending(), active: bank.active };
        let outside = bank.in_lr;
        if outside == 0 {
            return (seen, Effects::NONE);
        }
        let first = match at {
            At::Private(_) => 0,
            At::Shared(n) => FIRST_SPI + 32 * n as u32,
        };
        for (owner, cpu) in self.cpus.iter().enumerate() {
            if matches!(at, At::Private(frame) if frame != owner) {
                continue;
            }
            for slot in Bits(cpu.slots.used) {
                let written = cpu.slots.values[slot & 15];
                let index = lr::intid(written).wrapping_sub(first);
                if index >= 32 {
                    continue;
                }
                let value = if owner == vcpu { ci.lr(slot) } else { written };
                if value & lr::LR_PENDING != 0 && cpu.slots.moved & (1 << slot) != 0 {
                    seen.pending |= 1 << index;
                }
                if value & lr::LR_ACTIVE != 0 && cpu.slots.deactivate & (1 << slot) == 0 {
                    seen.active |= 1 << index;
                }
            }
        }
        // The others may know better: have them look, so that a guest that polls gets there.
        let own = match self.cpus.get(vcpu) {
            Some(cpu) => cpu.attention & RESYNC,
            None => 0,
        };
        let effects = self.mark(at, outside, RESYNC);
        if let Some(cpu) = self.cpus.get_mut(vcpu) {
            cpu.attention = cpu.attention & !RESYNC | own;
        }
        (seen, effects.without(vcpu))
    }
}

/// What a look into a bank shows.
#[derive(Default)]
struct Seen {
    pending: u32,
    active: u32,
}

impl Bank {
    fn activate(&mut self, bits: u32) {
        for i in Bits(bits & !(self.active | self.in_lr)) {
            self.running[i & 31] = self.priority[i & 31];
        }
        self.active |= bits;
    }
}

/// Sixteen bits to the upper bits of sixteen pairs.
fn spread(bits: u32) -> u32 {
    let mut pairs = bits & 0xffff;
    pairs = (pairs | pairs << 8) & 0x00ff_00ff;
    pairs = (pairs | pairs << 4) & 0x0f0f_0f0f;
    pairs = (pairs | pairs << 2) & 0x3333_3333;
    pairs = (pairs | pairs << 1) & 0x5555_5555;
    pairs << 1
}

/// The upper bits of sixteen pairs.
fn gather(pairs: u32) -> u32 {
    let mut bits = pairs >> 1 & 0x5555_5555;
    bits = (bits | bits >> 1) & 0x3333_3333;
    bits = (bits | bits >> 2) & 0x0f0f_0f0f;
    bits = (bits | bits >> 4) & 0x00ff_00ff;
    (bits | bits >> 8) & 0xffff
}
