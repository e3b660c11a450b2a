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
//! They can't be read from here. A register access that concerns what lies there asks their vCPU
//! to come out of its guest and fold them ([`Effects`]); until it has, the access is not done
//! ([`Vgic::awaits`]). What is changed is noted and applied as they are folded; what is read is
//! what they then hold. So an access takes effect on each vCPU's interrupts at one moment between
//! its start and its end, and nothing is ever outstanding (GICD_CTLR.RWP and GICR_CTLR.RWP read
//! as zero). Of several vCPUs these may be several moments: a register is no snapshot of all,
//! which IHI 0069 doesn't ask for.

mod bank;
mod best;
mod cpu;
mod flow;
pub mod lr;
mod registers;
mod report;
mod sgi;
#[cfg(test)]
mod tests;

use super::VIRTUAL_TIMER_INTID;
use alloc::vec::Vec;
use bank::{Bank, Bits};
use core::ops::{BitOr, BitOrAssign};
use cpu::Cpu;
pub use registers::{Frame, typer};
pub use sgi::SgiRegister;

/// Most vCPUs of a VM.
pub const MAX_VCPUS: usize = 16;
/// Most SPIs of a VM: INTID 32 to 991.
pub const MAX_SPIS: usize = 960;
/// First INTID of the PPIs.
const FIRST_PPI: u32 = 16;
/// SGIs are edge-triggered for good (GICR_ICFGR0 is read-only).
const SGIS: u32 = 0xffff;
/// The PPI with a physical interrupt behind it.
const TIMER: u32 = VIRTUAL_TIMER_INTID;
const TIMER_BIT: u32 = 1 << TIMER;

/// Lowest bit of [`Cpu::attention`] for the banks with interrupts that found no list register.
const WAITING: u32 = 32;
/// Bit of [`Cpu::attention`]: what lies in the list registers is out of date.
const RESYNC: u64 = 1 << 31;
/// Bit of [`Cpu::attention`]: the line of something in the list registers has gone low.
const LOWERED: u64 = 1 << 63;
/// The part of [`Cpu::attention`] that needs work before the next entry.
const URGENT: u64 = LOWERED | 0xffff_ffff;

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
///
/// A bank is found by its place: first those of the vCPUs' SGIs and PPIs, then those of the SPIs.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Vgic {
    cpus: Vec<Cpu>,
    banks: Vec<Bank>,
    /// GICD_CTLR.EnableGrp0 and EnableGrp1, bits 0 and 1.
    groups: u32,
    /// The vCPU that takes SPIs of the one-of-N kind.
    any: usize,
    /// The vCPUs' affinities.
    affinities: Vec<u32>,
    /// The bits of an SGI of which one tells that its TargetList is not simply a mask of vCPUs.
    indirect: u64,
}

impl Vgic {
    /// The interrupt controller at reset, for vCPUs of these affinities (at most [`MAX_VCPUS`];
    /// Aff2 to Aff0, which is less than 16) and `spis` SPIs (a multiple of 32, at most
    /// [`MAX_SPIS`]). Allocates; nothing else here does.
    pub fn new(affinities: &[u32], spis: usize) -> Self {
        let affinities: Vec<u32> = affinities.iter().copied().take(MAX_VCPUS).collect();
        let banks = affinities.len() + spis.min(MAX_SPIS) / 32;
        let mut vgic = Self {
            cpus: alloc::vec![Cpu::default(); affinities.len()],
            banks: alloc::vec![Bank::default(); banks],
            groups: 0,
            any: 0,
            indirect: sgi::indirect(&affinities),
            affinities,
        };
        vgic.reset();
        vgic
    }

    /// Back to the state of [`Vgic::new`]. No vCPU may be loaded: their list registers would
    /// hold what the model no longer knows.
    pub fn reset(&mut self) {
        let vcpus = self.cpus.len();
        self.cpus.fill_with(Cpu::default);
        // IROUTER is UNKNOWN at reset: the first vCPU suits those who never write it.
        let first = self.affinities.first().copied().unwrap_or(0);
        for (at, bank) in self.banks.iter_mut().enumerate() {
            *bank = if at < vcpus { Bank::new(at, 0, SGIS) } else { Bank::new(0, first, 0) };
        }
        (self.groups, self.any) = (0, 0);
    }

    /// Sets the input line of `intid`: a PPI (16 to 31) of `vcpu`, or an SPI. Other numbers do
    /// nothing.
    #[inline]
    pub fn set_level(&mut self, vcpu: usize, intid: u32, high: bool) -> Effects {
        let (at, bit) = (self.at(vcpu, intid), 1 << (intid & 31));
        let Some(bank) = self.banks.get_mut(at) else { return Effects::NONE };
        if (bank.level & bit != 0) == high || intid < FIRST_PPI || vcpu >= self.cpus.len() {
            return Effects::NONE;
        }
        bank.level ^= bit;
        if high {
            bank.latch |= bit & bank.edge;
            self.notify(at, bit)
        } else {
            let levels = !bank.edge;
            self.mark(at, bit & levels, LOWERED, Effects::NONE)
        }
    }

    /// The physical interrupt `pintid` fired for the virtual timer of `vcpu`, which is loaded
    /// with the list registers `ci`, and the hypervisor has dropped its priority but left it
    /// active: it cannot fire again until the guest deactivates it, which a list register with
    /// HW=1 does without an exit.
    ///
    /// Its line is taken to be high until the guest deactivates it (were it still high then, the
    /// physical one fires again) or [`Vgic::set_timer`] says otherwise.
    #[inline]
    pub fn raise_timer<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        pintid: u16,
        ci: &mut C,
    ) -> Effects {
        let (Some(cpu), Some(bank)) = (self.cpus.get_mut(vcpu), self.banks.get_mut(vcpu)) else {
            return Effects::NONE;
        };
        if cpu.signal(bank, TIMER, lr::hw(pintid), ci) {
            cpu.timer = lr::hw(pintid);
            bank.level |= TIMER_BIT;
            return Effects::NONE;
        }
        self.raise_slowly(vcpu, pintid, ci)
    }

    #[inline(never)]
    fn raise_slowly<C: CpuInterface>(&mut self, vcpu: usize, pintid: u16, ci: &mut C) -> Effects {
        // The one before may still lie in a list register, done with.
        let effects = self.reap(vcpu, ci);
        if let Some(cpu) = self.cpus.get_mut(vcpu) {
            cpu.timer = lr::hw(pintid);
        }
        (effects | self.set_level(vcpu, TIMER, true) | self.deliver(vcpu, ci)).without(vcpu)
    }

    /// The line of the virtual timer of `vcpu`, which is loaded, was found to have changed while
    /// its interrupt is on its way: the guest has moved or stopped it. What is pending for a low
    /// line is withdrawn. Whether the interrupt is on its way still.
    pub fn set_timer<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        high: bool,
        ci: &mut C,
    ) -> (bool, Effects) {
        let (Some(cpu), Some(bank)) = (self.cpus.get_mut(vcpu), self.banks.get_mut(vcpu)) else {
            return (false, Effects::NONE);
        };
        bank.level = bank.level & !TIMER_BIT | u32::from(high) << TIMER;
        if bank.in_lr & TIMER_BIT != 0 {
            let value = ci.lr(bank.slot[TIMER as usize & 31].into());
            if !lr::is_valid(value) {
                return (false, Effects::NONE);
            }
            if high || value & lr::LR_ACTIVE != 0 {
                return (true, Effects::NONE);
            }
        }
        cpu.attention |= RESYNC;
        let effects = self.deliver(vcpu, ci);
        (self.cpus.get(vcpu).is_some_and(|cpu| cpu.timer != 0), effects)
    }

    /// Whether an interrupt waits that would end a WFI of `vcpu`, which is loaded with the list
    /// registers `ci`: pending, enabled, and neither masked by ICC_PMR_EL1 nor by a disabled
    /// group. PSTATE.I and F do not matter to a WFI.
    pub fn has_deliverable<C: CpuInterface>(&self, vcpu: usize, ci: &C) -> bool {
        let Some(cpu) = self.cpus.get(vcpu) else { return false };
        let vmcr = ci.vmcr();
        let signalled = Bits(cpu.used).any(|slot| {
            let value = ci.lr(slot);
            value & (lr::LR_PENDING | lr::LR_ACTIVE) == lr::LR_PENDING
                && lr::unmasked(vmcr, lr::priority(value), value & lr::LR_GROUP1 != 0)
        });
        signalled
            || Bits(cpu.banks()).any(|n| {
                let bank = self.banks.get(self.at(vcpu, 32 * n as u32));
                bank.is_some_and(|bank| {
                    Bits(bank.deliverable()).any(|i| {
                        bank.target(i, self.any) == vcpu
                            && lr::unmasked(vmcr, bank.priority[i & 31], bank.group >> i & 1 != 0)
                    })
                })
            })
    }

    /// Whether an access of `vcpu` to a register still waits for another vCPU to fold its list
    /// registers. Until it does not, `vcpu` stays out of its guest; that it calls
    /// [`Vgic::deliver`] meanwhile keeps two that wait for each other from waiting for ever.
    pub fn awaits(&self, vcpu: usize) -> bool {
        self.cpus.iter().any(|cpu| Effects(cpu.awaited_by).contains(vcpu))
    }

    /// The place of the bank of `intid`, as `vcpu` sees it.
    #[inline]
    fn at(&self, vcpu: usize, intid: u32) -> usize {
        match intid as usize / 32 {
            0 => vcpu,
            n => self.cpus.len() + n - 1,
        }
    }

    /// Tells the vCPUs concerned that there may be work with some of `bits`: what is deliverable,
    /// or active without a list register.
    #[inline]
    fn notify(&mut self, at: usize, bits: u32) -> Effects {
        let Self { cpus, banks, any, .. } = self;
        // The number of the bank in `Cpu::attention`.
        let n = (at + 1).saturating_sub(cpus.len());
        let mut effects = Effects::NONE;
        if let Some(bank) = banks.get(at) {
            let held = bank.renewed() | bank.active & !bank.in_lr;
            for i in Bits((bank.deliverable() | held) & bits) {
                let is_held = held >> i & 1 != 0;
                let vcpu = if is_held { bank.holder[i & 31].into() } else { bank.target(i, *any) };
                if let Some(cpu) = cpus.get_mut(vcpu) {
                    cpu.attention |= 1 << n;
                    effects |= Effects::of(vcpu);
                }
            }
        }
        effects
    }

    /// Asks the vCPUs that have some of `bits` in a list register to look at it, [`RESYNC`] or
    /// [`LOWERED`], and notes who waits until they have.
    fn mark(&mut self, at: usize, bits: u32, what: u64, waits: Effects) -> Effects {
        let Self { cpus, banks, .. } = self;
        let mut effects = Effects::NONE;
        if let Some(bank) = banks.get(at) {
            for i in Bits(bank.in_lr & bits) {
                let holder = usize::from(bank.holder[i & 31]);
                if let Some(cpu) = cpus.get_mut(holder) {
                    cpu.attention |= what;
                    cpu.awaited_by |= waits.0;
                    effects |= Effects::of(holder);
                }
            }
        }
        effects
    }
}
