//! What a guest sees: pure state machines over register reads and writes, and the memory map
//! in which a guest finds them, which is that of QEMU's `virt` board.

pub mod calls;
pub mod pl011;
pub mod psci;
#[cfg(test)]
mod tests;
pub mod timer;
pub mod trng;
pub mod vgic;

use crate::memory::Ipa;
use vgic::Frame;

/// IPA of the distributor.
pub const GICD_BASE: u64 = 0x0800_0000;
/// Size of the distributor, in bytes.
pub const GICD_SIZE: u64 = 0x1_0000;
/// IPA of vCPU 0's redistributor; the others follow.
pub const GICR_BASE: u64 = 0x080a_0000;
/// Size of one redistributor, in bytes: the frames RD_base and SGI_base.
pub const GICR_STRIDE: u64 = 0x2_0000;
/// IPA of the PL011.
pub const UART_BASE: u64 = 0x0900_0000;
/// Size of the PL011, in bytes.
pub const UART_SIZE: u64 = 0x1000;

/// IPA of the page with the vCPUs' stolen time, where QEMU's board has it too.
pub const STOLEN_TIME_BASE: u64 = 0x090a_0000;
/// Size of one vCPU's structure in it, in bytes (Arm DEN0057: aligned to 64).
pub const STOLEN_TIME_STRIDE: u64 = 64;

/// INTID of the PL011: SPI 1.
pub const UART_INTID: u32 = 33;
/// INTID of the virtual timer's PPI.
pub const VIRTUAL_TIMER_INTID: u32 = 27;
/// INTID of the physical timer's PPI.
pub const PHYSICAL_TIMER_INTID: u32 = 30;

/// The device register at an IPA.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target {
    /// The interrupt controller: which of its frames, and the offset in it.
    Gic(Frame, u64),
    /// The PL011, and the offset in it.
    Uart(u64),
    /// No device.
    None,
}

/// Finds the device register at `ipa`, for a VM of `vcpus` vCPUs.
#[inline]
pub fn route(ipa: Ipa, vcpus: usize) -> Target {
    let ipa = ipa.get();
    let redist = ipa.wrapping_sub(GICR_BASE);
    if redist < vcpus as u64 * GICR_STRIDE {
        Target::Gic(Frame::Redist((redist / GICR_STRIDE) as usize), redist % GICR_STRIDE)
    } else if ipa.wrapping_sub(UART_BASE) < UART_SIZE {
        Target::Uart(ipa - UART_BASE)
    } else if ipa.wrapping_sub(GICD_BASE) < GICD_SIZE {
        Target::Gic(Frame::Dist, ipa - GICD_BASE)
    } else {
        Target::None
    }
}
