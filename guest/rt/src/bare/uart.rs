//! The PL011 UART (Arm DDI 0183), polled for output. Input by interrupt is for guests that want it.

use crate::{arch, mmio, mmu};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicBool, Ordering};

/// Where the board has its UART.
pub const BASE: usize = 0x0900_0000;
/// Its interrupt: SPI 1.
pub const INTID: u32 = 33;

/// Data register: a write sends a byte, a read takes one from the receive FIFO.
pub const DR: usize = BASE;
/// Flag register.
pub const FR: usize = BASE + 0x18;
/// Line control: FIFO enable, word length.
pub const LCR_H: usize = BASE + 0x2c;
/// Control: enable bits.
pub const CR: usize = BASE + 0x30;
/// Interrupt mask: a one lets the interrupt through.
pub const IMSC: usize = BASE + 0x38;
/// Masked interrupt status.
pub const MIS: usize = BASE + 0x40;
/// Interrupt clear.
pub const ICR: usize = BASE + 0x44;

/// FR: transmit FIFO full.
pub const FR_TXFF: u32 = 1 << 5;
/// FR: receive FIFO empty.
pub const FR_RXFE: u32 = 1 << 4;
/// IMSC, MIS, ICR: the receive FIFO has reached its level.
pub const INT_RX: u32 = 1 << 4;
/// IMSC, MIS, ICR: something lies in the receive FIFO and nothing more came for a while.
pub const INT_RT: u32 = 1 << 6;

/// Sends one byte, waiting while the FIFO is full.
pub fn put(byte: u8) {
    while mmio::read32(FR) & FR_TXFF != 0 {
        arch::spin();
    }
    mmio::write32(DR, byte.into());
}

/// Takes a received byte, if there is one.
pub fn get() -> Option<u8> {
    (mmio::read32(FR) & FR_RXFE == 0).then(|| mmio::read32(DR) as u8)
}

/// Lets the UART interrupt when bytes have come in.
pub fn enable_receive_interrupt() {
    mmio::write32(LCR_H, 0x70); // 8 bits, FIFOs on
    mmio::write32(CR, 0x301); // receive, transmit, UART on
    mmio::write32(ICR, 0x7ff);
    mmio::write32(IMSC, INT_RX | INT_RT);
}

struct Uart;

impl Write for Uart {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if byte == b'\n' {
                put(b'\r');
            }
            put(byte);
        }
        Ok(())
    }
}

/// Held by the CPU that prints, so that the lines of several CPUs don't mix.
static LOCK: AtomicBool = AtomicBool::new(false);

/// What [`print!`] calls. IRQs are masked meanwhile: a handler that prints would wait for ever for
/// the lock of the code it interrupted.
pub fn print(arguments: fmt::Arguments) {
    arch::without_irqs(|| {
        // Exclusive accesses need the MMU (they are for Normal memory), and before it is on there
        // is only one CPU anyway.
        let shared = mmu::is_on();
        while shared && LOCK.swap(true, Ordering::Acquire) {
            arch::spin();
        }
        // `Uart` never fails.
        let _ = Uart.write_fmt(arguments);
        if shared {
            LOCK.store(false, Ordering::Release);
        }
    });
}

/// Prints to the UART; one call is never torn by another CPU's.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::uart::print(format_args!($($argument)*)) };
}

/// Prints a line to the UART.
#[macro_export]
macro_rules! println {
    ($($argument:tt)*) => {
        $crate::uart::print(format_args!("{}\n", format_args!($($argument)*)))
    };
}
