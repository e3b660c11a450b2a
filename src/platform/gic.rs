//! The machine's GICv3 (IHI 0069), as far as EL2 uses it: its own few interrupts, the kicks, and
//! the physical side of the guests' virtual timer.
//!
//! EOImode is 1: EOIR drops the priority, DIR deactivates. EL2 deactivates its own interrupts; the
//! virtual timer's stays active until the guest deactivates it through its list register (HW=1),
//! so that a level that is still up doesn't interrupt again and again.

use alloc::vec::Vec;

use aarch64_cpu::registers::{ICC_SRE_EL2, MPIDR_EL1};
use spin::Once;
use thiserror::Error;
use tock_registers::interfaces::{Readable, Writeable};

use crate::el2::regs::{
    ICC_BPR1_EL1, ICC_CTLR_EL1, ICC_DIR_EL1, ICC_EOIR1_EL1, ICC_HPPIR1_EL1, ICC_IAR1_EL1,
    ICC_IGRPEN1_EL1, ICC_PMR_EL1, ICC_SGI1R_EL1,
};
use crate::el2::{cache, percpu, smp};
use crate::memory::{Pa, Va};

/// The SGI by which one pCPU asks another to come out of its guest.
pub const KICK: u32 = 0;
/// From here on an acknowledge read found nothing (1020–1023).
const SPECIAL: u32 = 1020;
/// Priority of what guests can bring about: kicks, their timers, maintenance of list registers.
const PRIORITY: u32 = 0xa0;
/// And of EL2's own timer and the UART, which come before these: an exit takes one interrupt, and no
/// guest may keep the end of its slice waiting, or the operator. None preempts another: EL2 runs
/// with interrupts masked.
const URGENT: u32 = 0x80;

// Offsets, IHI 0069 12.8 and 12.10.
const GICD_CTLR: u64 = 0x0000;
const GICD_TYPER: u64 = 0x0004;
const GICD_IGROUPR: u64 = 0x0080;
const GICD_ISENABLER: u64 = 0x0100;
const GICD_ICENABLER: u64 = 0x0180;
const GICD_IPRIORITYR: u64 = 0x0400;
const GICD_IROUTER: u64 = 0x6000;
const GICR_TYPER: u64 = 0x0008;
const GICR_WAKER: u64 = 0x0014;
const SGI_FRAME: u64 = 0x1_0000;
const GICR_IGROUPR0: u64 = SGI_FRAME + 0x0080;
const GICR_ISENABLER0: u64 = SGI_FRAME + 0x0100;
const GICR_ICENABLER0: u64 = SGI_FRAME + 0x0180;
const GICR_ISACTIVER0: u64 = SGI_FRAME + 0x0300;
const GICR_ICACTIVER0: u64 = SGI_FRAME + 0x0380;
const GICR_IPRIORITYR: u64 = SGI_FRAME + 0x0400;

/// GICD_CTLR as Non-secure state, or a GIC without security, sees it: EnableGrp1 (bit 1; the alias
/// EnableGrp1A in the Non-secure view) and affinity routing (bit 4).
const CTLR_ENABLE: u32 = 1 << 1 | 1 << 4;
/// GICD_CTLR.RWP: a write is still on its way.
const CTLR_RWP: u32 = 1 << 31;
const WAKER_SLEEP: u32 = 1 << 1;
const WAKER_ASLEEP: u32 = 1 << 2;
const TYPER_VLPIS: u64 = 1 << 1;
const TYPER_LAST: u64 = 1 << 4;

/// A mapped block of GIC registers, with where it is in physical memory.
#[derive(Clone, Copy, Debug)]
pub struct Block {
    /// Where it is mapped.
    pub va: Va,
    /// Where it is.
    pub pa: Pa,
    /// Its length in bytes.
    pub length: u64,
}

impl Block {
    fn read(&self, offset: u64) -> u32 {
        // SAFETY: a register of the mapped GIC frames: callers give offsets that are multiples of 4.
        unsafe { (self.va.wrapping_add(offset).get() as *const u32).read_volatile() }
    }

    fn write(&self, offset: u64, value: u32) {
        write32(self.va.wrapping_add(offset), value);
    }

    /// Waits until `bit` of a register is clear.
    fn wait_for(&self, offset: u64, bit: u32) {
        while self.read(offset) & bit != 0 {
            cache::yield_now();
        }
    }

    /// A write that only Secure state may make. Under firmware it did it before us, or the GIC has
    /// no security; if this very image was entered at EL3, its monitor does it (head.rs).
    fn write_secure(&self, offset: u64, value: u32) {
        if smp::entered_at_el3() {
            smp::el3_poke(self.pa.wrapping_add(offset), value);
        } else {
            self.write(offset, value);
        }
    }
}

fn write32(at: Va, value: u32) {
    // SAFETY: callers give addresses of the mapped GIC frames, 4-byte aligned, and interrupt
    // configuration touches no memory.
    unsafe { (at.get() as *mut u32).write_volatile(value) }
}

/// No redistributor is for the CPU with these affinity fields of MPIDR_EL1.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Error)]
#[error("no redistributor is for the CPU of affinity {0:#x}")]
pub struct NoRedistributor(u64);

/// Where the GIC is, and the PPIs that each pCPU enables, EL2's own timer first.
struct Gic {
    distributor: Block,
    redistributors: Vec<Block>,
    ppis: [u32; 3],
}

static GIC: Once<Gic> = Once::new();

/// Sets up the distributor, every SPI Group 1 and off, and remembers what each pCPU needs: among the
/// PPIs EL2's own timer comes first.
pub fn init(distributor: Block, redistributors: Vec<Block>, ppis: [u32; 3]) {
    let block = &GIC.call_once(|| Gic { distributor, redistributors, ppis }).distributor;
    // Groups off; affinity routing stays as it is (clearing it is UNPREDICTABLE).
    block.write(GICD_CTLR, block.read(GICD_CTLR) & !0b11);
    block.wait_for(GICD_CTLR, CTLR_RWP);
    let words = u64::from(block.read(GICD_TYPER) & 0x1f) + 1;
    for word in 1..words {
        block.write(GICD_ICENABLER + 4 * word, !0);
        block.write_secure(GICD_IGROUPR + 4 * word, !0);
    }
    for word in 8..words * 8 {
        block.write(GICD_IPRIORITYR + 4 * word, URGENT * 0x0101_0101);
    }
    // In the secure view of a GIC with security, Group 1 Non-secure is enabled by the alias too.
    block.write_secure(GICD_CTLR, 1 << 4 | 1 << 5 | 1 << 1);
    block.write(GICD_CTLR, CTLR_ENABLE);
    block.wait_for(GICD_CTLR, CTLR_RWP);
}

/// Finds this CPU's redistributor, wakes it, and turns on its CPU interface with the PPIs enabled,
/// and the kick. After [`init`].
pub fn init_cpu() -> Result<(), NoRedistributor> {
    let mpidr = MPIDR_EL1.get() & percpu::AFFINITY;
    let none = NoRedistributor(mpidr);
    let gic = GIC.get().ok_or(none)?;
    let block = find(&gic.redistributors, mpidr).ok_or(none)?;
    percpu::this().redistributor.set(block.va);
    percpu::this().kick.set(kick_of(mpidr));
    block.write_secure(GICR_WAKER, block.read(GICR_WAKER) & !WAKER_SLEEP);
    block.wait_for(GICR_WAKER, WAKER_ASLEEP);
    block.write(GICR_ICENABLER0, !0);
    block.write(GICR_ICACTIVER0, !0);
    block.write_secure(GICR_IGROUPR0, !0);
    let own = gic.ppis[0] & 31;
    for word in 0..8 {
        let change = if own / 4 == word { (PRIORITY ^ URGENT) << (own % 4 * 8) } else { 0 };
        let priorities = (PRIORITY * 0x0101_0101) ^ change;
        block.write(GICR_IPRIORITYR + 4 * u64::from(word), priorities);
    }
    let enabled = gic.ppis.iter().fold(1 << KICK, |bits, ppi| bits | 1u32 << (ppi & 31));
    block.write(GICR_ISENABLER0, enabled);

    // SRE and Enable: system registers here, and EL1 may have its (virtual) ones.
    ICC_SRE_EL2.set(0xf);
    cache::isb();
    ICC_PMR_EL1.set(0xff);
    ICC_BPR1_EL1.set(0);
    ICC_CTLR_EL1.set(1 << 1);
    ICC_IGRPEN1_EL1.set(1);
    cache::isb();
    Ok(())
}

/// The redistributor frames of the CPU with this affinity: GICR_TYPER bits 63:32 name it.
fn find(regions: &[Block], mpidr: u64) -> Option<Block> {
    let affinity = (mpidr & 0xff_ffff) | (mpidr >> 32 & 0xff) << 24;
    for region in regions {
        let mut offset = 0;
        while offset < region.length {
            let low = u64::from(region.read(offset + GICR_TYPER));
            let high = u64::from(region.read(offset + GICR_TYPER + 4));
            // GICv4 has two more frames of 64 KiB.
            let size = if low & TYPER_VLPIS != 0 { 0x4_0000 } else { 0x2_0000 };
            if high == affinity {
                let (va, pa) = (region.va.wrapping_add(offset), region.pa.wrapping_add(offset));
                return Some(Block { va, pa, length: size });
            }
            if low & TYPER_LAST != 0 {
                break;
            }
            offset += size;
        }
    }
    None
}

/// Enables SPI `intid` and routes it to this CPU.
pub fn enable_spi(intid: u32) {
    let Some(Gic { distributor, .. }) = GIC.get() else { return };
    let affinity = MPIDR_EL1.get() & percpu::AFFINITY;
    let route = GICD_IROUTER + 8 * u64::from(intid);
    distributor.write(route, affinity as u32);
    distributor.write(route + 4, (affinity >> 32) as u32);
    distributor.write(GICD_ISENABLER + u64::from(intid / 32) * 4, 1 << (intid % 32));
}

/// Disables SPI `intid`: while its device isn't served, it would interrupt again and again.
pub fn disable_spi(intid: u32) {
    let Some(Gic { distributor, .. }) = GIC.get() else { return };
    distributor.write(GICD_ICENABLER + u64::from(intid / 32) * 4, 1 << (intid % 32));
}

/// Acknowledges the most important pending interrupt, if there is one.
#[inline(always)]
pub fn acknowledge() -> Option<u32> {
    let intid = ICC_IAR1_EL1.get() as u32 & 0xff_ffff;
    (intid < SPECIAL).then_some(intid)
}

/// The interrupt that [`acknowledge`] would take; a number from 1020 on, if none.
pub fn pending() -> u32 {
    ICC_HPPIR1_EL1.get() as u32 & 0xff_ffff
}

/// Drops the running priority: the interrupt stays active until it is deactivated.
#[inline(always)]
pub fn drop_priority(intid: u32) {
    ICC_EOIR1_EL1.set(intid.into());
}

/// Ends an interrupt that EL2 has handled.
#[inline(always)]
pub fn complete(intid: u32) {
    ICC_EOIR1_EL1.set(intid.into());
    ICC_DIR_EL1.set(intid.into());
}

/// Makes PPI `intid` of this CPU active or inactive: what the vCPU that is loaded left of it.
#[inline(always)]
pub fn set_active(intid: u32, active: bool) {
    let register = if active { GICR_ISACTIVER0 } else { GICR_ICACTIVER0 };
    write32(percpu::this().redistributor.get().wrapping_add(register), 1 << (intid & 31));
}

/// Sends the kick to pCPU `id`.
#[inline(always)]
pub fn kick(id: usize) {
    let Some(target) = percpu::block(id) else { return };
    // What was posted is visible before the SGI arrives.
    cache::dsb_ishst();
    ICC_SGI1R_EL1.set(target.kick.get());
    cache::isb();
}

/// The value of ICC_SGI1R_EL1 that kicks the pCPU of these affinity fields (IHI 0069 12.2.19): Aff3,
/// RS, Aff2, INTID, Aff1, target list of 16.
fn kick_of(mpidr: u64) -> u64 {
    let aff = |n: u32| mpidr >> n & 0xff;
    let (list, range) = (1u64 << (mpidr & 0xf), mpidr >> 4 & 0xf);
    aff(32) << 48 | range << 44 | aff(16) << 32 | u64::from(KICK) << 24 | aff(8) << 16 | list
}
