//! The distributor's registers, and those that it shares with the SGI frame of a redistributor
//! (IHI 0069, sections 12.9 and 12.11).
//!
//! One Security state (GICD_CTLR.DS = 1), affinity routing for good (ARE = 1), no LPIs, no
//! message-based SPIs, no extended ranges. What is not implemented reads as zero and ignores
//! writes, and so does an access of a size or alignment that the register does not have.

use super::bank::{Bits, Groups, NOBODY};
use super::{At, Cpu, CpuInterface, Effects, FIRST_SPI, PRIVATE, RESYNC, SGIS, Vgic};

/// GICD_IIDR, GICR_IIDR: Arm, as QEMU's `virt` says.
pub(super) const IIDR: u32 = 0x43b;
/// GICD_CTLR.DS and ARE: read as one, writes ignored.
const CTLR_FIXED: u32 = 1 << 6 | 1 << 4;
/// GICD_CTLR.EnableGrp1 and EnableGrp0.
const CTLR_ENABLES: u32 = 3;
/// GICD_CTLR.RWP: a disable has not reached every list register yet.
const CTLR_RWP: u32 = 1 << 31;
/// GICD_TYPER.A3V and IDbits = 10 - 1; RSS, No1N, LPIS, MBIS, ESPI, SecurityExtn and CPUNumber
/// are zero.
const TYPER_FIXED: u32 = 1 << 24 | 9 << 19;
/// Offset of GICD_IROUTER0; those of SGIs and PPIs are not there.
const IROUTER: u64 = 0x6000;
/// The bits of IROUTER: Aff3, IRM, Aff2, Aff1, Aff0.
const IROUTER_BITS: u64 = 0xff_80ff_ffff;
/// IROUTER.Interrupt_Routing_Mode: any vCPU will do.
const IROUTER_IRM: u64 = 1 << 31;
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
    /// A read of `size` bytes at `offset` into the distributor's 64 KiB by `vcpu`, which is
    /// loaded with the list registers `ci`.
    #[inline]
    pub fn dist_read<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        offset: u64,
        size: u32,
        ci: &C,
    ) -> (u64, Effects) {
        let plain = size == 4 && offset & 3 == 0;
        let value = match offset {
            0x4 if plain => self.typer(),
            0x0 if plain => self.ctlr(vcpu),
            0x8 if plain => IIDR,
            0x80..0x1000 => {
                let (at, offset) = distributor_bank(offset);
                return self.bank_read(vcpu, at, offset, size, ci);
            }
            0x6100..0x8000 => return (self.irouter_read(offset, size), Effects::NONE),
            0xffd0..0x1_0000 if plain => identification(offset, 0x92),
            _ => 0,
        };
        (value.into(), Effects::NONE)
    }

    /// A write, likewise. Deliverable interrupts of `vcpu` itself are in its list registers when
    /// this returns.
    #[inline]
    pub fn dist_write<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        offset: u64,
        size: u32,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        match offset {
            0x80..0x1000 => {
                let (at, offset) = distributor_bank(offset);
                self.bank_write(vcpu, at, offset, size, value, ci)
            }
            0x6100..0x8000 => self.irouter_write(vcpu, offset, size, value, ci),
            0x0 if size == 4 => self.ctlr_write(vcpu, value as u32, ci),
            _ => Effects::NONE,
        }
    }

    /// GICD_TYPER.
    fn typer(&self) -> u32 {
        TYPER_FIXED | (self.spis.len() as u32 & 0x1f)
    }

    /// GICD_CTLR.
    fn ctlr(&self, vcpu: usize) -> u32 {
        let outdated = |(i, cpu): (usize, &Cpu)| i != vcpu && cpu.is_outdated();
        let rwp = if self.cpus.iter().enumerate().any(outdated) {
            CTLR_RWP
        } else {
            0
        };
        rwp | CTLR_FIXED | (self.on.zero & 1) | (self.on.one & 2)
    }

    fn ctlr_write<C: CpuInterface>(&mut self, vcpu: usize, value: u32, ci: &mut C) -> Effects {
        let mask = |enabled: u32| if enabled != 0 { u32::MAX } else { 0 };
        let on = Groups {
            zero: mask(value & 1),
            one: mask(value & CTLR_ENABLES & 2),
        };
        if on == self.on {
            return Effects::NONE;
        }
        // A disabled group must leave the list registers; an enabled one may bring anything.
        let mut effects = self.absorb(vcpu, ci);
        self.on = on;
        for (i, cpu) in self.cpus.iter_mut().enumerate() {
            if cpu.used != 0 {
                cpu.attention |= RESYNC;
                effects |= Effects::of(i);
            }
        }
        for i in 0..self.cpus.len() {
            effects |= self.notify(At::Private(i), u32::MAX);
        }
        for n in 0..self.spis.len() {
            effects |= self.notify(At::Shared(n), u32::MAX);
        }
        (effects | self.settle(vcpu, ci)).without(vcpu)
    }

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
            register @ IGROUPR..=ICACTIVER if plain => {
                self.bits_write(vcpu, at, register, value as u32, ci)
            }
            8 if plain || size == 1 => self.priority_write(vcpu, at, offset, size, value, ci),
            24 if plain => self.config_write(vcpu, at, offset, value as u32, ci),
            _ => Effects::NONE,
        }
    }

    #[inline]
    fn bits_write<C: CpuInterface>(
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
        let mut effects = self.claim(vcpu, at, changed, ci);
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
                self.withdraw(at, changed);
            }
            ISACTIVER => effects |= self.activate(vcpu, at, changed),
            _ => {
                bank.active &= !changed;
                self.each_slot(at, changed, |cpu, slot| cpu.deactivate |= slot);
            }
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

    fn irouter_read(&self, offset: u64, size: u32) -> u64 {
        let intid = (offset - IROUTER) / 8;
        let index = intid as usize & 31;
        let Some(spi) = self.spis.get((intid as usize / 32).wrapping_sub(1)) else {
            return 0;
        };
        match (size, offset & 7) {
            (8, 0) => spi.irouter[index],
            (4, 0) => spi.irouter[index] & 0xffff_ffff,
            (4, 4) => spi.irouter[index] >> 32,
            _ => 0,
        }
    }

    fn irouter_write<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        offset: u64,
        size: u32,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        let intid = (offset - IROUTER) / 8;
        let index = intid as usize & 31;
        let n = (intid as usize / 32).wrapping_sub(1);
        let Some(spi) = self.spis.get(n) else {
            return Effects::NONE;
        };
        let old = spi.irouter[index];
        let new = match (size, offset & 7) {
            (8, 0) => value,
            (4, 0) => old & !0xffff_ffff | value & 0xffff_ffff,
            (4, 4) => old & 0xffff_ffff | value << 32,
            _ => return Effects::NONE,
        } & IROUTER_BITS;
        let target = self.route(new);
        let (at, bit) = (At::Shared(n), 1 << index);
        let mut effects = self.claim(vcpu, at, bit, ci);
        if let Some(spi) = self.spis.get_mut(n) {
            spi.irouter[index] = new;
            spi.target[index] = target;
        }
        effects |= self.notify(at, bit);
        (effects | self.settle(vcpu, ci)).without(vcpu)
    }

    /// The vCPU to which a value of IROUTER leads. One of N: the first that is awake, because a
    /// choice that does not change is the easiest to reason about.
    fn route(&self, irouter: u64) -> u8 {
        let vcpu = if irouter & IROUTER_IRM != 0 {
            self.cpus.iter().position(|cpu| cpu.awake).unwrap_or(0)
        } else {
            irouter as usize
        };
        if vcpu < self.cpus.len() {
            vcpu as u8
        } else {
            NOBODY
        }
    }

    /// Routes the SPIs of the one-of-N kind again: a vCPU has gone to sleep or woken.
    pub(super) fn reroute(&mut self) -> Effects {
        let target = self.route(IROUTER_IRM);
        let mut effects = Effects::NONE;
        for n in 0..self.spis.len() {
            let mut moved = 0;
            if let Some(spi) = self.spis.get_mut(n) {
                for (i, to) in spi.target.iter_mut().enumerate() {
                    if spi.irouter[i] & IROUTER_IRM != 0 && *to != target {
                        *to = target;
                        moved |= 1 << i;
                    }
                }
            }
            effects |= self.mark_stale(At::Shared(n), moved);
            effects |= self.notify(At::Shared(n), moved);
        }
        effects
    }

    /// Brings the state of `bits` into the model where that is possible now: folds the list
    /// registers of `vcpu` itself, asks other holders to fold theirs.
    #[inline]
    fn claim<C: CpuInterface>(&mut self, vcpu: usize, at: At, bits: u32, ci: &mut C) -> Effects {
        if self.bank(at).is_none_or(|bank| bank.in_lr & bits == 0) {
            return Effects::NONE;
        }
        let holders = self.mark_stale(at, bits);
        if holders.contains(vcpu) {
            holders | self.absorb(vcpu, ci)
        } else {
            holders
        }
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
        let mut seen = Seen {
            pending: bank.pending(),
            active: bank.active,
        };
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
            for slot in Bits(cpu.used) {
                let written = cpu.lrs[slot & 15];
                let index = super::lr::intid(written).wrapping_sub(first);
                if index >= 32 {
                    continue;
                }
                let value = if owner == vcpu { ci.lr(slot) } else { written };
                if value & super::lr::LR_PENDING != 0 && cpu.moved & (1 << slot) != 0 {
                    seen.pending |= 1 << index;
                }
                if value & super::lr::LR_ACTIVE != 0 && cpu.deactivate & (1 << slot) == 0 {
                    seen.active |= 1 << index;
                }
            }
        }
        // The others may know better: have them look, so that a guest that polls gets there.
        let own = match self.cpus.get(vcpu) {
            Some(cpu) => cpu.attention & RESYNC,
            None => 0,
        };
        let effects = self.mark_stale(at, outside);
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

impl super::bank::Bank {
    fn activate(&mut self, bits: u32) {
        for i in Bits(bits & !(self.active | self.in_lr)) {
            self.running[i & 31] = self.priority[i & 31];
        }
        self.active |= bits;
    }
}

impl Cpu {
    /// On a pCPU with list registers that are known to be out of date.
    pub(super) fn is_outdated(&self) -> bool {
        self.loaded && self.attention & RESYNC != 0
    }
}

/// The bank of SPIs that a distributor's register at `offset` (0x80 to 0xfff) concerns, and the
/// offset of that register in a frame of one bank. The banks of SGIs and PPIs are not there.
#[inline]
fn distributor_bank(offset: u64) -> (At, u64) {
    // A bank takes 4 bytes of a bit register, 32 of priorities, 8 of configuration.
    let (bank, reduced) = match offset >> 7 {
        8..=15 => ((offset - 0x400) >> 5, 0x400 | (offset & 0x1f)),
        24 | 25 => ((offset - 0xc00) >> 3, 0xc00 | (offset & 7)),
        register => ((offset & 0x7f) >> 2, register << 7 | (offset & 3)),
    };
    (At::Shared((bank as usize).wrapping_sub(1)), reduced)
}

/// PIDR4..7, PIDR0..3 and CIDR0..3 of a GICv3 by Arm (PIDR2 = 0x3b); `part` is PIDR0.
pub(super) fn identification(offset: u64, part: u32) -> u32 {
    match (offset & 0x3f) >> 2 {
        4 => 0x44,
        8 => part,
        9 => 0xb4,
        10 => 0x3b,
        12 => 0x0d,
        13 => 0xf0,
        14 => 0x05,
        15 => 0xb1,
        _ => 0,
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
