//! The interrupt controller, GICv3 (Arm IHI 0069).
//!
//! The *distributor* routes shared interrupts (SPI, 32 and up). Each CPU has a *redistributor* for
//! its private ones (SGI 0–15, PPI 16–31), and a *CPU interface* in system registers, by which it
//! takes an interrupt and says that it is done.

use crate::{arch, mmio, mrs, msr, smp};

/// The distributor.
pub const GICD: usize = 0x0800_0000;
/// The first CPU's redistributor.
pub const GICR: usize = 0x080a_0000;
/// From one CPU's redistributor to the next one's.
pub const GICR_STRIDE: usize = 0x2_0000;
/// From a redistributor's first frame to that of its SGIs and PPIs.
pub const SGI_FRAME: usize = 0x1_0000;

/// GICD_CTLR.
pub const GICD_CTLR: usize = GICD;
/// GICD_TYPER.
pub const GICD_TYPER: usize = GICD + 4;
/// GICR_TYPER's offset in a redistributor.
pub const GICR_TYPER: usize = 8;
/// GICR_WAKER's offset in a redistributor.
pub const GICR_WAKER: usize = 0x14;

/// Offsets that distributor and SGI frame have in common; one bit an interrupt.
pub const IGROUPR: usize = 0x80;
/// Set-enable.
pub const ISENABLER: usize = 0x100;
/// Clear-enable.
pub const ICENABLER: usize = 0x180;
/// Set-pending.
pub const ISPENDR: usize = 0x200;
/// Clear-pending.
pub const ICPENDR: usize = 0x280;
/// Set-active.
pub const ISACTIVER: usize = 0x300;
/// Clear-active.
pub const ICACTIVER: usize = 0x380;
/// Priority, one byte an interrupt: lower is more urgent.
pub const IPRIORITYR: usize = 0x400;
/// Configuration, two bits an interrupt: 0b10 is edge.
pub const ICFGR: usize = 0xc00;

/// What the CPU interface answers when no interrupt is there.
pub const NONE: u32 = 1023;
/// The priority that [`enable`] gives.
pub const PRIORITY: u8 = 0xa0;

/// Sets the distributor up: affinity routing (ARE, bit 4), both groups on (bits 1 and 0).
pub fn init_distributor() {
    mmio::write32(GICD_CTLR, 1 << 4);
    wait_for_writes();
    for n in 1..=last_spi_register() {
        mmio::write32(GICD + IGROUPR + 4 * n, !0);
        mmio::write32(GICD + ICENABLER + 4 * n, !0);
    }
    mmio::write32(GICD_CTLR, 1 << 4 | 0b11);
    wait_for_writes();
}

/// The number of the last 32-bit register of SPIs: GICD_TYPER.ITLinesNumber.
pub fn last_spi_register() -> usize {
    (mmio::read32(GICD_TYPER) & 31) as usize
}

/// Waits for GICD_CTLR.RWP to fall.
fn wait_for_writes() {
    while mmio::read32(GICD_CTLR) & 1 << 31 != 0 {
        arch::spin();
    }
}

/// This CPU's redistributor.
pub fn redistributor() -> usize {
    GICR + arch::cpu() * GICR_STRIDE
}

/// Sets this CPU's redistributor and CPU interface up, for Group 1.
pub fn init_cpu() {
    let gicr = redistributor();
    // ProcessorSleep (bit 1) off, then wait until ChildrenAsleep (bit 2) falls.
    mmio::write32(gicr + GICR_WAKER, mmio::read32(gicr + GICR_WAKER) & !2);
    while mmio::read32(gicr + GICR_WAKER) & 4 != 0 {
        arch::spin();
    }
    mmio::write32(gicr + SGI_FRAME + IGROUPR, !0);
    mmio::write32(gicr + SGI_FRAME + ICENABLER, !0);
    msr!(ICC_SRE_EL1, mrs!(ICC_SRE_EL1) | 1);
    arch::isb();
    msr!(ICC_PMR_EL1, 0xff); // let every priority through
    msr!(ICC_BPR1_EL1, 0);
    msr!(ICC_CTLR_EL1, 0); // EOImode = 0: one write ends an interrupt
    msr!(ICC_IGRPEN1_EL1, 1);
    arch::isb();
}

/// The frame that has the registers of an interrupt.
fn frame(intid: u32) -> usize {
    if intid < 32 { redistributor() + SGI_FRAME } else { GICD }
}

/// Writes an interrupt's bit to one of the registers with a bit for each.
pub fn set_bit(register: usize, intid: u32) {
    let address = frame(intid) + register + intid as usize / 32 * 4;
    mmio::write32(address, 1 << (intid % 32));
}

/// Reads an interrupt's bit from one of the registers with a bit for each.
pub fn bit(register: usize, intid: u32) -> bool {
    let address = frame(intid) + register + intid as usize / 32 * 4;
    mmio::read32(address) >> (intid % 32) & 1 != 0
}

/// Sets an interrupt's priority; lower is more urgent.
pub fn set_priority(intid: u32, priority: u8) {
    mmio::write8(frame(intid) + IPRIORITYR + intid as usize, priority);
}

/// Routes an SPI to a CPU.
pub fn route(intid: u32, cpu: usize) {
    mmio::write64(GICD + 0x6000 + 8 * intid as usize, smp::affinity(cpu));
}

/// Enables an interrupt, for this CPU.
pub fn enable(intid: u32) {
    set_priority(intid, PRIORITY);
    if intid >= 32 {
        route(intid, arch::cpu());
    }
    set_bit(ISENABLER, intid);
}

/// Disables an interrupt.
pub fn disable(intid: u32) {
    set_bit(ICENABLER, intid);
    wait_for_writes();
}

/// Takes the most urgent pending interrupt of Group 1; it is active from then on.
#[inline(always)]
pub fn acknowledge() -> u32 {
    let intid = mrs!(ICC_IAR1_EL1) as u32 & 0xff_ffff;
    arch::dsb();
    intid
}

/// Ends an interrupt: others of its priority may come again.
#[inline(always)]
pub fn end(intid: u32) {
    msr!(ICC_EOIR1_EL1, u64::from(intid));
    arch::isb();
}

/// Sends software interrupt `sgi` to the CPUs in a mask, bit n for CPU n: one write for each
/// cluster, the CPUs that have all but Aff0 in common.
pub fn send_sgi(sgi: u32, cpus: u16) {
    arch::dsb(); // what it announces is visible before it
    let mut left = cpus;
    while left != 0 {
        let cluster = smp::affinity(left.trailing_zeros() as usize) & !0xff;
        let mut list = 0;
        for cpu in (0..16).filter(|cpu| cpus >> cpu & 1 != 0) {
            let affinity = smp::affinity(cpu);
            if affinity & !0xff == cluster {
                list |= 1 << (affinity & 0xf);
                left &= !(1 << cpu);
            }
        }
        // Aff3 in bits 55:48, Aff2 in 39:32, Aff1 in 23:16.
        let aff = |level: u32| cluster >> level & 0xff;
        let cluster = aff(32) << 48 | aff(16) << 32 | aff(8) << 16;
        msr!(ICC_SGI1R_EL1, cluster | u64::from(sgi) << 24 | list);
    }
    arch::isb();
}
