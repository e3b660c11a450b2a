//! Where things lie in a virtual machine: as on QEMU's `virt` board, for which guests are written.
//! The devices' places are the device room's.

pub use crate::device::vgic::{MAX_SPIS, MAX_VCPUS};
pub use crate::device::{
    GICD_BASE, GICD_SIZE, GICR_BASE, GICR_STRIDE, PHYSICAL_TIMER_INTID, UART_BASE, UART_INTID,
    UART_SIZE, VIRTUAL_TIMER_INTID,
};
use crate::memory::Ipa;

/// RAM.
pub const RAM_BASE: Ipa = Ipa::new(0x4000_0000);
