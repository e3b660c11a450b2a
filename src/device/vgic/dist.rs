//! The distributor's registers (IHI 0069, section 12.9).
//!
//! One Security state (GICD_CTLR.DS = 1), affinity routing for good (ARE = 1), no LPIs, no
//! message-based SPIs, no extended ranges. What is not implemented reads as zero and ignores
//! writes, and so does an access of a size or alignment that the register does not have.

use super::bank::NOBODY;
use super::{At, Cpu, CpuInterface, Effects, RESYNC, Vgic};

/// GICD_IIDR, GICR_IIDR: Arm, as QEMU's `virt` says.
pub(super) const IIDR: u64 = 0x43b;
/// GICD_CTLR.DS and ARE: read as one, writes ignored.
const CTLR_FIXED: u64 = 1 << 6 | 1 << 4;
/// GICD_CTLR.EnableGrp1 and EnableGrp0.
const CTLR_ENABLES: u32 = 3;
/// GICD_CTLR.RWP: a disable has not reached every list register yet.
const CTLR_RWP: u64 = 1 << 31;
/// GICD_TYPER.A3V and IDbits = 10 - 1; RSS, No1N, LPIS, MBIS, ESPI, SecurityExtn and CPUNumber
/// are zero.
const TYPER_FIXED: u64 = 1 << 24 | 9 << 19;
/// Offset of GICD_IROUTER0; those of SGIs and PPIs are not there.
const IROUTER: u64 = 0x6000;
/// The bits of IROUTER: Aff3, IRM, Aff2, Aff1, Aff0.
const IROUTER_BITS: u64 = 0xff_80ff_ffff;
/// IROUTER.Interrupt_Routing_Mode: any vCPU will do.
const IROUTER_IRM: u64 = 1 << 31;

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
        match (offset, size) {
            (0x4, 4) => (self.typer(), Effects::NONE),
            _ => self.dist_read_other(vcpu, offset, size, ci),
        }
    }

    fn dist_read_other<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        offset: u64,
        size: u32,
        ci: &C,
    ) -> (u64, Effects) {
        let plain = size == 4 && offset & 3 == 0;
        let value = match offset {
            0x80..0x1000 => {
                let (at, offset) = distributor_bank(offset);
                return self.bank_read(vcpu, at, offset, size, ci);
            }
            0x6100..0x8000 => self.irouter_read(offset, size),
            0x0 if plain => self.ctlr(vcpu),
            0x8 if plain => IIDR,
            0xffd0..0x1_0000 if plain => identification(offset, 0x92),
            _ => 0,
        };
        (value, Effects::NONE)
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
        if (0x80..0x400).contains(&offset) && size == 4 && offset & 3 == 0 {
            let n = (offset & 0x7f) >> 2;
            let at = At::Shared((n as usize).wrapping_sub(1));
            return self.bits_write(vcpu, at, offset >> 7, value as u32, ci);
        }
        self.dist_write_other(vcpu, offset, size, value, ci)
    }

    fn dist_write_other<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        offset: u64,
        size: u32,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        match offset {
            0x400..0x1000 => {
                let (at, offset) = distributor_bank(offset);
                self.bank_write(vcpu, at, offset, size, value, ci)
            }
            0x6100..0x8000 => self.irouter_write(vcpu, offset, size, value, ci),
            0x0 if size == 4 => self.ctlr_write(vcpu, value as u32 & CTLR_ENABLES, ci),
            _ => Effects::NONE,
        }
    }

    /// GICD_TYPER.
    #[inline]
    fn typer(&self) -> u64 {
        TYPER_FIXED | (self.spis.len() as u64 & 0x1f)
    }

    /// GICD_CTLR.
    fn ctlr(&self, vcpu: usize) -> u64 {
        let outdated = |(i, cpu): (usize, &Cpu)| i != vcpu && cpu.is_outdated();
        let rwp = if self.cpus.iter().enumerate().any(outdated) { CTLR_RWP } else { 0 };
        rwp | CTLR_FIXED | u64::from(self.groups)
    }

    fn ctlr_write<C: CpuInterface>(&mut self, vcpu: usize, groups: u32, ci: &mut C) -> Effects {
        if groups == self.groups {
            return Effects::NONE;
        }
        // A disabled group must leave the list registers; an enabled one may bring anything.
        let mut effects = self.absorb(vcpu, ci);
        self.groups = groups;
        for (i, cpu) in self.cpus.iter_mut().enumerate() {
            cpu.private.allow(groups);
            if cpu.slots.used != 0 {
                cpu.attention |= RESYNC;
                effects |= Effects::of(i);
            }
        }
        self.spis.iter_mut().for_each(|spi| spi.bank.allow(groups));
        for i in 0..self.cpus.len() {
            effects |= self.notify(At::Private(i), u32::MAX);
        }
        for n in 0..self.spis.len() {
            effects |= self.notify(At::Shared(n), u32::MAX);
        }
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
        if vcpu < self.cpus.len() { vcpu as u8 } else { NOBODY }
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
            effects |= self.mark(At::Shared(n), moved, RESYNC);
            effects |= self.notify(At::Shared(n), moved);
        }
        effects
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
pub(super) fn identification(offset: u64, part: u64) -> u64 {
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
