//! The registers that a guest sees of distributor and redistributors (IHI 0069, chapter 12).
//!
//! One Security state (GICD_CTLR.DS = 1), affinity routing for good (ARE = 1), no LPIs, no
//! message-based SPIs, no extended ranges, no NMIs. What is not implemented reads as zero and
//! ignores writes, and so does an access of a size or alignment that the register does not have.

use super::bank::{Bank, Bits};
use super::{CpuInterface, Effects, RESYNC, SGIS, TIMER_BIT, Vgic, lr};

/// Whose registers, at an offset into them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Frame {
    /// The distributor's, 64 KiB.
    Dist,
    /// Those of a vCPU's redistributor, 128 KiB: RD_base, then SGI_base.
    Redist(usize),
}

impl Frame {
    /// An offset in the part with the state of interrupts, which both have alike.
    #[inline(always)]
    fn inner(self, offset: u64) -> u64 {
        if self == Self::Dist { offset } else { offset.wrapping_sub(SGI_BASE) }
    }
}

/// GICD_IIDR, GICR_IIDR: Arm, as QEMU's `virt` says.
const IIDR: u64 = 0x43b;
/// GICD_CTLR.DS and ARE: read as one, writes ignored.
const CTLR_FIXED: u64 = 1 << 6 | 1 << 4;
/// GICD_CTLR.EnableGrp1 and EnableGrp0.
const CTLR_ENABLES: u64 = 3;
/// GICD_TYPER.A3V and IDbits = 10 - 1; RSS, No1N, LPIS, MBIS, ESPI, SecurityExtn and CPUNumber
/// are zero.
const TYPER_FIXED: u64 = 1 << 24 | 9 << 19;
/// GICR_TYPER.Last. No LPIs, no extended PPIs.
const TYPER_LAST: u64 = 1 << 4;
/// GICR_WAKER.ProcessorSleep, and ChildrenAsleep which follows it at once.
const WAKER_SLEEP: u64 = 1 << 1;
const WAKER_CHILDREN: u64 = 1 << 2;
/// Five bits of priority, as the CPU interface has them (ICH_VTR_EL2.PRIbits); the rest are
/// zero.
const PRIORITY_BITS: u8 = 0xf8;
/// Offset of SGI_base from RD_base.
const SGI_BASE: u64 = 0x1_0000;

/// Registers with one bit an interrupt: the offset divided by 0x80, in both frames.
const IGROUPR: u64 = 1;
const ISENABLER: u64 = 2;
const ICENABLER: u64 = 3;
const ISPENDR: u64 = 4;
const ICPENDR: u64 = 5;
const ISACTIVER: u64 = 6;
const ICACTIVER: u64 = 7;

/// A register with the state of interrupts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Register {
    /// IGROUPR to ICACTIVER.
    Bits(u64),
    Ipriorityr,
    Icfgr,
    Irouter,
}

/// GICD_TYPER and GICR_TYPER, which never change: reading them takes no lock. `affinities` are
/// those of all vCPUs.
#[inline(always)]
pub fn typer(frame: Frame, offset: u64, size: u32, affinities: &[u32], spis: usize) -> Option<u64> {
    match (frame, offset, size) {
        (Frame::Dist, 0x4, 4) => Some(TYPER_FIXED | (spis as u64 / 32)),
        (Frame::Redist(vcpu), 0x8, 4 | 8) => {
            // Affinity_Value, Processor_Number.
            let affinity = u64::from(*affinities.get(vcpu)?);
            let last = u64::from(vcpu + 1 == affinities.len());
            Some(lowest(affinity << 32 | (vcpu as u64) << 8 | (last * TYPER_LAST), size))
        }
        _ => None,
    }
}

/// The lowest 4 or all 8 bytes of a register.
#[inline(always)]
fn lowest(value: u64, size: u32) -> u64 {
    if size == 8 { value } else { value & 0xffff_ffff }
}

/// PIDR4..7, PIDR0..3 and CIDR0..3 of a GICv3 by Arm (PIDR2 = 0x3b); `part` is PIDR0.
fn identification(offset: u64, part: u64) -> u64 {
    let values = [0x44, 0, 0, 0, part, 0xb4, 0x3b, 0, 0x0d, 0xf0, 0x05, 0xb1];
    values.get((offset.wrapping_sub(0xffd0) / 4) as usize).copied().unwrap_or(0)
}

impl Vgic {
    /// A read of `size` bytes at `offset` into `frame` by `vcpu`, which is loaded with the list
    /// registers `ci`. Where others must fold theirs first, the [`Effects`] name them, and the
    /// value is [`Vgic::read_settled`]'s as soon as `vcpu` no longer [awaits](Vgic::awaits) them.
    pub fn read<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        frame: Frame,
        offset: u64,
        size: u32,
        ci: &C,
    ) -> (u64, Effects) {
        let Some(found) = self.find(frame, offset, size) else {
            return (self.control(frame, offset, size), Effects::NONE);
        };
        let mut others = Effects::NONE;
        if let (Register::Bits(ISPENDR..), at, _) = found
            && let Some(bank) = self.banks.get(at)
        {
            let own = |&i: &usize| usize::from(bank.holder[i & 31]) == vcpu;
            let own = Bits(bank.in_lr).filter(own).fold(0, |bits, i| bits | 1 << i);
            others = self.mark(at, !own, RESYNC, Effects::of(vcpu));
        }
        (self.state(vcpu, found, offset, size, ci), others)
    }

    /// The value of a register of which [`Vgic::read`] has asked others.
    pub fn read_settled<C: CpuInterface>(
        &self,
        vcpu: usize,
        frame: Frame,
        offset: u64,
        size: u32,
        ci: &C,
    ) -> u64 {
        let found = self.find(frame, offset, size);
        found.map_or(0, |found| self.state(vcpu, found, offset, size, ci))
    }

    /// The value of a register that [`Vgic::find`] found, list registers included: those of
    /// `vcpu` as they are, and those of others as they left them.
    fn state<C: CpuInterface>(
        &self,
        vcpu: usize,
        (register, at, index): (Register, usize, usize),
        offset: u64,
        size: u32,
        ci: &C,
    ) -> u64 {
        let Some(bank) = self.banks.get(at) else { return 0 };
        match register {
            Register::Bits(IGROUPR) => bank.group.into(),
            Register::Bits(ISENABLER | ICENABLER) => bank.enabled.into(),
            Register::Bits(ISPENDR | ICPENDR) => bank.look(vcpu, ci).0.into(),
            Register::Bits(_) => bank.look(vcpu, ci).1.into(),
            Register::Ipriorityr => {
                let bytes = bank.priority.iter().skip(index).take(size as usize);
                bytes.rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
            }
            Register::Icfgr => spread(bank.edge >> index).into(),
            Register::Irouter => lowest(bank.router(index) >> (8 * (offset & 4)), size),
        }
    }

    /// A write, likewise. What is deliverable to `vcpu` itself is in its list registers when this
    /// returns.
    #[inline]
    pub fn write<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        frame: Frame,
        offset: u64,
        size: u32,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        let inner = frame.inner(offset);
        if size == 4
            && offset & 3 == 0
            && (0x80..0x400).contains(&inner)
            && let Some(at) = self.place(frame, inner >> 2 & 31)
        {
            return self.bits_write(vcpu, at, inner >> 7, value as u32, ci);
        }
        self.write_other(vcpu, frame, offset, size, value, ci)
    }

    /// A guest's write of ICC_DIR_EL1, where it traps (ICH_HCR_EL2.TDIR): where a list register
    /// of `vcpu` could not tell.
    pub fn dir<C: CpuInterface>(&mut self, vcpu: usize, intid: u32, ci: &mut C) -> Effects {
        if ci.vmcr() & lr::VMCR_VEOIM == 0 {
            return Effects::NONE;
        }
        self.bits_write(vcpu, self.at(vcpu, intid), ICACTIVER, 1 << (intid & 31), ci)
    }

    /// Which register with the state of interrupts lies at `offset`, the place of its bank, and
    /// the first of its interrupts in that bank.
    #[inline]
    fn find(&self, frame: Frame, offset: u64, size: u32) -> Option<(Register, usize, usize)> {
        let offset = frame.inner(offset);
        let (register, first) = match (offset, size) {
            (0x80..0x400, 4) => (Register::Bits(offset >> 7), (offset & 0x7f) * 8),
            (0x400..0x800, 1 | 4) => (Register::Ipriorityr, offset - 0x400),
            (0xc00..0xd00, 4) => (Register::Icfgr, (offset - 0xc00) * 4),
            (0x6000..0x8000, 4 | 8) => (Register::Irouter, (offset - 0x6000) / 8),
            _ => return None,
        };
        let at = self.place(frame, first / 32)?;
        let there = register != Register::Irouter || frame == Frame::Dist;
        let aligned = offset & u64::from(size - 1) == 0;
        (there && aligned).then_some((register, at, first as usize & 31))
    }

    /// The place of the `n`th bank in a frame: those of SGIs and PPIs are in the redistributors
    /// only, where they are alone.
    #[inline(always)]
    fn place(&self, frame: Frame, n: u64) -> Option<usize> {
        match frame {
            Frame::Dist if n > 0 => Some(self.cpus.len() + n as usize - 1),
            Frame::Redist(vcpu) if n == 0 && vcpu < self.cpus.len() => Some(vcpu),
            _ => None,
        }
    }

    /// The other registers that are not zero.
    fn control(&self, frame: Frame, offset: u64, size: u32) -> u64 {
        let spis = 32 * (self.banks.len() - self.cpus.len());
        if let Some(value) = typer(frame, offset, size, &self.affinities, spis) {
            return value;
        }
        match (frame, offset, size) {
            (Frame::Dist, 0x0, 4) => CTLR_FIXED | u64::from(self.groups),
            (Frame::Dist, 0x8, 4) | (Frame::Redist(_), 0x4, 4) => IIDR,
            (Frame::Redist(vcpu), 0xc, 4) => self.affinities.get(vcpu).copied().unwrap_or(0).into(),
            (Frame::Redist(vcpu), 0x14, 4) => match self.cpus.get(vcpu) {
                Some(cpu) if cpu.awake => 0,
                _ => WAKER_SLEEP | WAKER_CHILDREN,
            },
            (Frame::Dist, _, 4) if offset & 3 == 0 => identification(offset, 0x92),
            (Frame::Redist(_), _, 4) if offset & 3 == 0 => identification(offset, 0x93),
            _ => 0,
        }
    }

    #[inline(never)]
    fn write_other<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        frame: Frame,
        offset: u64,
        size: u32,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        if let Some((register, at, index)) = self.find(frame, offset, size) {
            let place = (register, at, index, 8 * (offset & 4));
            return self.field_write(vcpu, place, size, value, ci);
        }
        match (frame, offset, size) {
            (Frame::Dist, 0x0, 4) if u64::from(self.groups) != value & CTLR_ENABLES => {
                self.groups = (value & CTLR_ENABLES) as u32;
                self.change_all(vcpu, ci, |_| u32::MAX)
            }
            // A sleeping redistributor still forwards, as QEMU's does: bare-metal code that
            // never wakes it works there. Only the choice of one of N heeds it: the first that
            // is awake, because a choice that does not change is the easiest to reason about.
            (Frame::Redist(of), 0x14, 4) if of < self.cpus.len() => {
                if let Some(cpu) = self.cpus.get_mut(of) {
                    cpu.awake = value & WAKER_SLEEP == 0;
                }
                self.any = self.cpus.iter().position(|cpu| cpu.awake).unwrap_or(0);
                self.change_all(vcpu, ci, |bank| bank.any)
            }
            _ => Effects::NONE,
        }
    }

    /// A write of a register with one bit an interrupt. Most writes change nothing.
    #[inline(always)]
    fn bits_write<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        at: usize,
        register: u64,
        bits: u32,
        ci: &mut C,
    ) -> Effects {
        let Some(bank) = self.banks.get(at) else { return Effects::NONE };
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

    #[inline(never)]
    fn bits_change<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        at: usize,
        register: u64,
        changed: u32,
        ci: &mut C,
    ) -> Effects {
        let (any, vcpus) = (self.any, self.cpus.len());
        self.change(vcpu, at, changed, ci, |bank| match register {
            IGROUPR => bank.group ^= changed,
            ISENABLER => bank.enabled |= changed,
            ICENABLER => bank.enabled &= !changed,
            ISPENDR => bank.latch |= changed,
            ICPENDR => {
                bank.latch &= !changed;
                bank.moved &= !changed;
            }
            ISACTIVER => {
                // An SPI becomes active on the vCPU to which it is routed. One that is active has
                // its vCPU, and the priority that it runs at.
                let fresh = changed & !(bank.in_lr | bank.active);
                bank.unacknowledged |= fresh;
                for i in Bits(fresh) {
                    let target = bank.target(i, any);
                    bank.holder[i & 31] = if target < vcpus { target } else { vcpu } as u8;
                    bank.running[i & 31] = bank.priority[i & 31];
                }
                bank.active |= changed;
            }
            _ => {
                bank.active &= !changed;
                bank.unacknowledged &= !changed;
                bank.deactivated |= changed & bank.in_lr;
            }
        })
    }

    /// A write of a register with more than one bit an interrupt. `place` is what
    /// [`Vgic::find`] found, and the lowest bit of IROUTER that is written.
    fn field_write<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        place: (Register, usize, usize, u64),
        size: u32,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        let (register, at, index, shift) = place;
        let Some(bank) = self.banks.get(at) else { return Effects::NONE };
        match register {
            Register::Icfgr => {
                // The upper bit of each pair.
                let writable = if at < self.cpus.len() { !SGIS } else { u32::MAX };
                let written = (0xffff << index) & writable;
                let changed = (gather(value as u32) << index ^ bank.edge) & written;
                self.change(vcpu, at, changed, ci, |bank| bank.edge ^= changed)
            }
            Register::Irouter => {
                let written = lowest(u64::MAX, size) << shift;
                let router = bank.router(index) & !written | value << shift & written;
                let affinity = router & 0xff_00ff_ffff;
                let routed = self.affinities.iter().position(|own| u64::from(*own) == affinity);
                let routed = routed.map_or(u8::MAX, |vcpu| vcpu as u8);
                self.change(vcpu, at, 1 << index, ci, |bank| bank.set_router(index, router, routed))
            }
            _ => {
                let changed = (((1u64 << size) - 1) << index) as u32;
                self.change(vcpu, at, changed, ci, |bank| {
                    let bytes = bank.priority.iter_mut().skip(index).take(size as usize);
                    bytes.zip(value.to_le_bytes()).for_each(|(p, new)| *p = new & PRIORITY_BITS);
                })
            }
        }
    }

    /// Changes the state of `bits` in a bank by `how`, brings what comes of it into the list
    /// registers of `vcpu`, and tells the others. What lies in a list register comes back into
    /// the model first: from those of `vcpu` now, from others' when they fold them.
    fn change<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        at: usize,
        bits: u32,
        ci: &mut C,
        how: impl FnOnce(&mut Bank),
    ) -> Effects {
        let mut effects = self.mark(at, bits, RESYNC, Effects::of(vcpu));
        if effects.contains(vcpu) {
            effects |= self.absorb(vcpu, ci);
        }
        let groups = self.groups;
        if let Some(bank) = self.banks.get_mut(at) {
            how(bank);
            bank.allow(groups);
            // The physical interrupt behind one that is no longer there has to be released.
            if let Some(cpu) = self.cpus.get_mut(at)
                && (bank.pending() | bank.active | bank.in_lr) & TIMER_BIT == 0
                && cpu.timer != 0
            {
                cpu.attention |= RESYNC;
                effects |= Effects::of(at);
            }
        }
        (effects | self.notify(at, bits) | self.deliver(vcpu, ci)).without(vcpu)
    }

    /// Considers some interrupts of every bank anew.
    fn change_all<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        ci: &mut C,
        which: impl Fn(&Bank) -> u32,
    ) -> Effects {
        (0..self.banks.len()).fold(Effects::NONE, |effects, at| {
            let bits = self.banks.get(at).map_or(0, &which);
            effects | self.change(vcpu, at, bits, ci, |_| ())
        })
    }
}

impl Bank {
    /// What is pending and what is active, list registers included: those of `vcpu` as they are
    /// in `ci`, and those of others as they were written.
    fn look<C: CpuInterface>(&self, vcpu: usize, ci: &C) -> (u32, u32) {
        let (mut pending, mut active) = (self.in_lr & self.moved, self.in_lr & self.was_active);
        for i in Bits(self.in_lr).filter(|&i| usize::from(self.holder[i & 31]) == vcpu) {
            let value = ci.lr(self.slot[i & 31].into());
            let state = |bit: u64| u32::from(value & bit != 0) << i;
            pending &= !(1 << i) | state(lr::LR_PENDING);
            active = active & !(1 << i) | state(lr::LR_ACTIVE);
        }
        (self.pending() | pending, self.active | active & !self.deactivated)
    }
}

/// Sixteen bits to the upper bits of sixteen pairs.
fn spread(bits: u32) -> u32 {
    (0..16).fold(0, |pairs, i| pairs | (bits >> i & 1) << (2 * i + 1))
}

/// The upper bits of sixteen pairs.
fn gather(pairs: u32) -> u32 {
    (0..16).fold(0, |bits, i| bits | (pairs >> (2 * i + 1) & 1) << i)
}
