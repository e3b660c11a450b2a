//! The GICv3 that one VM sees: distributor, redistributors, and the list registers as a cache
//! of what is pending (Arm IHI 0069).
//!
//! # One lock
//!
//! A [`Vgic`] is the whole interrupt controller of one VM and has no lock of its own: the caller
//! keeps it behind *one* spin lock. Finer locks (one for the distributor, one for each vCPU) buy
//! nothing at sixteen vCPUs at most, where every operation is a few dozen instructions; they cost
//! an order between vCPUs, which an SPI whose route changes while another vCPU has it in a list
//! register has to break, and they open races when a vCPU moves between pCPUs.
//!
//! # Who knows what
//!
//! While a vCPU is *loaded* on a pCPU, the list registers of that pCPU are the truth about what
//! lies in them: the guest acknowledges and ends interrupts there without an exit. Everything
//! else, and everything of a vCPU that is not loaded, is in the model. [`Vgic::load`] and
//! [`Vgic::put`] mark the two ends, and between them an interrupt crosses in one direction by
//! [`Vgic::deliver`] and in the other by [`Vgic::sync`].
//!
//! # More interrupts than list registers
//!
//! The best pending interrupt always has a list register, the others wait, and a maintenance
//! interrupt says when there is use for another choice. Active interrupts may be without one
//! too: what the guest ends is then counted by ICH_HCR_EL2.EOIcount, or with EOImode = 1 named
//! by a trapped ICC_DIR_EL1 ([`Vgic::dir`]).
//!
//! # Another vCPU's list registers
//!
//! They can't be read from here. A guest's read of the pending or active state of an interrupt
//! that lies there shows what that vCPU's last exit or entry left. A write is applied when that
//! vCPU comes out of the guest: the returned [`Effects`] ask the caller to kick it, and
//! GICD_CTLR.RWP and GICR_CTLR.RWP read as one until then. In that window the vCPU may still
//! acknowledge an interrupt that has just been disabled, as it may with a physical GIC.

mod bank;
mod best;
mod cpu;
mod dist;
mod flow;
pub mod lr;
mod redist;
mod registers;
mod sgi;
mod slots;
#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use bank::{Bank, Bits, SpiBank};
use core::ops::{BitOr, BitOrAssign};
use cpu::Cpu;
pub use sgi::SgiRegister;
use slots::Slots;

/// Most vCPUs of a VM.
pub const MAX_VCPUS: usize = 16;
/// Most SPIs of a VM: INTID 32 to 959.
pub const MAX_SPIS: usize = 928;
/// First INTID of the PPIs.
const FIRST_PPI: u32 = 16;
/// First INTID of the SPIs.
const FIRST_SPI: u32 = 32;
/// SGIs are edge-triggered for good (GICR_ICFGR0 is read-only).
const SGIS: u32 = 0xffff;

/// Bit of [`Cpu::attention`] for its SGIs and PPIs; that of SPI bank `n` is `n + 1`.
const PRIVATE: u64 = 1;
/// Lowest bit of [`Cpu::attention`] for the banks with interrupts that found no list register.
const WAITING: u32 = 32;
/// Bit of [`Cpu::attention`]: what lies in the list registers is out of date.
const RESYNC: u64 = 1 << 63;
/// Bit of [`Cpu::attention`]: the line of something in the list registers has gone low.
const LOWERED: u64 = 1 << 62;
/// The part of [`Cpu::attention`] that needs work before the next entry.
const URGENT: u64 = RESYNC | LOWERED | 0xffff_ffff;

/// The list registers of the pCPU on which the calling vCPU is loaded: system registers in the
/// product, an array in a test.
///
/// The list registers and ICH_HCR_EL2 are the model's alone, and must be zero when first used.
/// ICH_VMCR_EL2 and ICH_AP0R/AP1R are a part of the vCPU's context and switched by its owner.
pub trait CpuInterface {
    /// ICH_VTR_EL2.ListRegs + 1: 1 to 16.
    fn lr_count(&self) -> usize;
    /// ICH_LR`index`_EL2.
    fn lr(&self, index: usize) -> u64;
    /// Writes ICH_LR`index`_EL2.
    fn set_lr(&mut self, index: usize, value: u64);
    /// ICH_ELRSR_EL2: one bit for each list register that may be overwritten without loss. It
    /// need not know yet of a `set_lr` since the guest was left.
    fn elrsr(&self) -> u32;
    /// ICH_HCR_EL2, read for EOIcount.
    fn hcr(&self) -> u64;
    /// Writes the whole of ICH_HCR_EL2.
    fn set_hcr(&mut self, value: u64);
    /// ICH_VMCR_EL2.
    fn vmcr(&self) -> u64;
    /// Makes a physical interrupt of this pCPU active (GICR_ISACTIVER0) or inactive.
    fn set_physical_active(&mut self, pintid: u16, active: bool);
}

/// The vCPUs that need attention after an operation, one bit each.
///
/// A loaded vCPU must come out of the guest and call [`Vgic::deliver`] before it goes back; one
/// that is blocked must wake; for any other there is nothing to do. The bit of the calling vCPU
/// means that it must itself call `deliver` before it enters; register accesses, which are given
/// the list registers, have done that already and never set it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
#[must_use = "the vCPUs in it wait for a kick or a wake-up"]
pub struct Effects(pub u64);

impl Effects {
    /// Nobody.
    pub const NONE: Self = Self(0);

    /// One vCPU.
    #[inline]
    pub const fn of(vcpu: usize) -> Self {
        Self(1 << (vcpu & 63))
    }

    /// Whether nobody is in it.
    #[inline]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether `vcpu` is in it.
    #[inline]
    pub const fn contains(self, vcpu: usize) -> bool {
        self.0 & Self::of(vcpu).0 != 0
    }

    /// All but `vcpu`.
    #[inline]
    pub const fn without(self, vcpu: usize) -> Self {
        Self(self.0 & !Self::of(vcpu).0)
    }
}

impl BitOr for Effects {
    type Output = Self;

    #[inline]
    fn bitor(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl BitOrAssign for Effects {
    #[inline]
    fn bitor_assign(&mut self, other: Self) {
        self.0 |= other.0;
    }
}

/// The interrupt controller of one VM. See the module's page.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vgic {
    cpus: Vec<Cpu>,
    spis: Vec<SpiBank>,
    /// GICD_CTLR.EnableGrp0 and EnableGrp1, bits 0 and 1.
    groups: u32,
}

/// One of the banks: a vCPU's own, or the `n`th of the SPIs (INTIDs from 32 × (n + 1)).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum At {
    Private(usize),
    Shared(usize),
}

impl At {
    /// Where `intid` is, as `vcpu` sees it.
    fn of(vcpu: usize, intid: u32) -> Self {
        match intid.checked_sub(FIRST_SPI) {
            None => Self::Private(vcpu),
            Some(spi) => Self::Shared(spi as usize / 32),
        }
    }
}

impl Vgic {
    /// The interrupt controller at reset, for `vcpus` vCPUs (clamped to 1..=[`MAX_VCPUS`]) and
    /// `spis` SPIs (rounded up to a multiple of 32, at most [`MAX_SPIS`]). Allocates; nothing
    /// else here does.
    pub fn new(vcpus: usize, spis: usize) -> Self {
        let banks = spis.min(MAX_SPIS).div_ceil(32);
        Self {
            cpus: (0..vcpus.clamp(1, MAX_VCPUS)).map(|_| Cpu::new()).collect(),
            spis: (0..banks).map(|_| SpiBank::new()).collect(),
            groups: 0,
        }
    }

    /// Back to the state of [`Vgic::new`]. No vCPU may be loaded: their list registers would
    /// hold what the model no longer knows.
    pub fn reset(&mut self) {
        self.cpus.fill_with(Cpu::new);
        self.spis.fill_with(SpiBank::new);
        self.groups = 0;
    }

    /// Sets the input line of the PPI `intid` (16 to 31) of `vcpu`. Other numbers do nothing.
    #[inline]
    pub fn set_level(&mut self, vcpu: usize, intid: u32, high: bool) -> Effects {
        if !(FIRST_PPI..FIRST_SPI).contains(&intid) {
            return Effects::NONE;
        }
        self.drive(At::Private(vcpu), 1 << intid, high)
    }

    /// Sets the input line of the SPI `intid` (32 and up). Other numbers do nothing.
    #[inline]
    pub fn set_spi_level(&mut self, intid: u32, high: bool) -> Effects {
        if intid < FIRST_SPI {
            return Effects::NONE;
        }
        self.drive(At::of(0, intid), 1 << (intid & 31), high)
    }

    /// The physical interrupt `pintid` fired for the PPI `intid` (16 to 31) of `vcpu`, which is
    /// loaded with the list registers `ci`, and the hypervisor has dropped its priority but left
    /// it active: it cannot fire again until the guest deactivates it, which a list register
    /// with HW=1 does without an exit. Such a PPI is not driven by [`Vgic::set_level`].
    ///
    /// The interrupt is latched. Were its line still high when the guest is done, the physical
    /// one fires again, so level semantics come from the physical GIC.
    #[inline]
    pub fn raise_hw<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        intid: u32,
        pintid: u16,
        ci: &mut C,
    ) -> Effects {
        let Some(cpu) = self.cpus.get_mut(vcpu) else {
            return Effects::NONE;
        };
        if !(FIRST_PPI..FIRST_SPI).contains(&intid) {
            return Effects::NONE;
        }
        cpu.hw |= 1 << intid;
        cpu.pintid[intid as usize & 31] = pintid;
        if cpu.signal(intid, lr::hw(pintid), ci) {
            return Effects::NONE;
        }
        cpu.private.latch |= 1 << intid;
        cpu.attention |= PRIVATE;
        self.deliver(vcpu, ci)
    }

    /// Whether the physical interrupt behind the PPI `intid` of `vcpu` is on its way through the
    /// guest, and so must be active on the pCPU on which the vCPU is loaded. [`Vgic::load`] and
    /// [`Vgic::put`] see to that themselves.
    pub fn hw_in_flight(&self, vcpu: usize, intid: u32) -> bool {
        let bit = 1u32.checked_shl(intid).unwrap_or(0);
        self.cpus.get(vcpu).is_some_and(|cpu| cpu.in_flight() & bit != 0)
    }

    /// Whether an interrupt waits that would end a WFI of `vcpu`, which is **not loaded**:
    /// pending, enabled, and neither masked by ICC_PMR_EL1 nor by a disabled group, as `vmcr`
    /// (its ICH_VMCR_EL2) says. PSTATE.I and F do not matter to a WFI.
    pub fn has_deliverable(&self, vcpu: usize, vmcr: u64) -> bool {
        let Some(cpu) = self.cpus.get(vcpu) else {
            return false;
        };
        Bits(cpu.banks()).any(|n| {
            let Some((bank, mine)) = self.candidates(vcpu, n) else {
                return false;
            };
            Bits(bank.deliverable() & mine)
                .any(|i| lr::unmasked(vmcr, bank.priority[i & 31], bank.group & (1 << i) != 0))
        })
    }

    /// As [`Vgic::has_deliverable`], for a `vcpu` that is **loaded** with the list registers
    /// `ci`: so what lies there counts too.
    pub fn has_deliverable_loaded<C: CpuInterface>(&self, vcpu: usize, ci: &C) -> bool {
        let vmcr = ci.vmcr();
        let used = self.cpus.get(vcpu).map_or(0, |cpu| cpu.slots.used);
        let signalled = Bits(used).any(|i| {
            let value = ci.lr(i);
            value & (lr::LR_PENDING | lr::LR_ACTIVE) == lr::LR_PENDING
                && lr::unmasked(vmcr, lr::priority(value), value & lr::LR_GROUP1 != 0)
        });
        signalled || self.has_deliverable(vcpu, vmcr)
    }

    /// Bank `n` in the numbering of [`Cpu::attention`], and which of its interrupts go to `vcpu`.
    fn candidates(&self, vcpu: usize, n: usize) -> Option<(&Bank, u32)> {
        match n.checked_sub(1) {
            None => self.cpus.get(vcpu).map(|cpu| (&cpu.private, !0)),
            Some(n) => self.spis.get(n).map(|spi| {
                let pending = spi.bank.deliverable();
                let mine = Bits(pending).filter(|&i| usize::from(spi.target[i & 31]) == vcpu);
                (&spi.bank, mine.fold(0, |mask, i| mask | 1 << i))
            }),
        }
    }

    /// The bank at a place, if there is one.
    #[inline]
    fn bank_mut(&mut self, at: At) -> Option<&mut Bank> {
        match at {
            At::Private(vcpu) => self.cpus.get_mut(vcpu).map(|cpu| &mut cpu.private),
            At::Shared(n) => self.spis.get_mut(n).map(|spi| &mut spi.bank),
        }
    }

    /// The bank at a place, if there is one.
    #[inline]
    fn bank(&self, at: At) -> Option<&Bank> {
        match at {
            At::Private(vcpu) => self.cpus.get(vcpu).map(|cpu| &cpu.private),
            At::Shared(n) => self.spis.get(n).map(|spi| &spi.bank),
        }
    }

    /// Sets one input line.
    #[inline]
    fn drive(&mut self, at: At, bit: u32, high: bool) -> Effects {
        let Some(bank) = self.bank_mut(at) else {
            return Effects::NONE;
        };
        if (bank.level & bit != 0) == high {
            return Effects::NONE;
        }
        bank.level ^= bit;
        if high {
            bank.latch |= bit & bank.edge;
            self.notify(at, bit)
        } else if bank.edge & bit == 0 {
            self.mark(at, bit, LOWERED)
        } else {
            Effects::NONE
        }
    }

    /// Tells the vCPUs concerned that some of `bits` may have become deliverable.
    #[inline]
    fn notify(&mut self, at: At, bits: u32) -> Effects {
        match at {
            At::Private(vcpu) => {
                let Some(cpu) = self.cpus.get_mut(vcpu) else {
                    return Effects::NONE;
                };
                let bank = &cpu.private;
                if (bank.deliverable() | bank.renewed()) & bits == 0 {
                    return Effects::NONE;
                }
                cpu.attention |= PRIVATE;
                Effects::of(vcpu)
            }
            At::Shared(n) => self.notify_spis(n, bits),
        }
    }

    fn notify_spis(&mut self, n: usize, bits: u32) -> Effects {
        let Self { cpus, spis, .. } = self;
        let Some(spi) = spis.get_mut(n) else {
            return Effects::NONE;
        };
        let renewed = spi.bank.renewed();
        let mut effects = Effects::NONE;
        for i in Bits((spi.bank.deliverable() | renewed) & bits) {
            let vcpu =
                if renewed & (1 << i) != 0 { spi.holder[i & 31] } else { spi.target[i & 31] };
            if let Some(cpu) = cpus.get_mut(usize::from(vcpu)) {
                cpu.attention |= 2 << n;
                effects |= Effects::of(usize::from(vcpu));
            }
        }
        effects
    }

    /// Asks the vCPUs that have some of `bits` in a list register to look at it: [`RESYNC`] or
    /// [`LOWERED`].
    fn mark(&mut self, at: At, bits: u32, what: u64) -> Effects {
        let mut effects = Effects::NONE;
        match at {
            At::Private(vcpu) => {
                if let Some(cpu) = self.cpus.get_mut(vcpu)
                    && cpu.private.in_lr & bits != 0
                {
                    cpu.attention |= what;
                    effects = Effects::of(vcpu);
                }
            }
            At::Shared(n) => {
                let Self { cpus, spis, .. } = self;
                let Some(spi) = spis.get(n) else {
                    return effects;
                };
                for i in Bits(spi.bank.in_lr & bits) {
                    let vcpu = usize::from(spi.holder[i & 31]);
                    if let Some(cpu) = cpus.get_mut(vcpu) {
                        cpu.attention |= what;
                        effects |= Effects::of(vcpu);
                    }
                }
            }
        }
        effects
    }

    /// Calls `f` for each list register in use that holds one of `bits`, with its owner and its
    /// bit in the owner's masks.
    fn each_slot(&mut self, at: At, bits: u32, mut f: impl FnMut(&mut Slots, u32)) {
        let (first, cpus) = match at {
            At::Private(vcpu) => (0, self.cpus.get_mut(vcpu..=vcpu)),
            At::Shared(n) => (FIRST_SPI + 32 * n as u32, self.cpus.get_mut(..)),
        };
        for cpu in cpus.into_iter().flatten() {
            for i in Bits(cpu.slots.used) {
                let index = lr::intid(cpu.slots.values[i & 15]).wrapping_sub(first);
                if index < 32 && bits & (1 << index) != 0 {
                    f(&mut cpu.slots, 1 << i);
                }
            }
        }
    }
}
