//! Where things lie in a virtual machine: as on QEMU's `virt` board, for which guests are written.

use crate::memory::Ipa;

/// The most vCPUs that a VM may have.
pub const MAX_VCPUS: usize = 16;

/// GICv3 distributor.
pub const GICD_BASE: Ipa = Ipa::new(0x0800_0000);
/// Bytes of the distributor's registers.
pub const GICD_SIZE: u64 = 0x1_0000;
/// GICv3 redistributors, one behind the other in the order of the vCPUs.
pub const GICR_BASE: Ipa = Ipa::new(0x080a_0000);
/// Bytes of one vCPU's redistributor: its RD and its SGI frame.
pub const GICR_SIZE: u64 = 0x2_0000;
/// PL011.
pub const UART_BASE: Ipa = Ipa::new(0x0900_0000);
/// Bytes of the PL011's registers.
pub const UART_SIZE: u64 = 0x1000;
/// The PL011's interrupt: SPI 1.
pub const UART_INTID: u32 = 33;
/// RAM.
pub const RAM_BASE: Ipa = Ipa::new(0x4000_0000);

/// Non-secure physical timer's PPI.
pub const PHYSICAL_TIMER_INTID: u32 = 30;
/// Virtual timer's PPI.
pub const VIRTUAL_TIMER_INTID: u32 = 27;
