//! The machine's UART, a PL011 (Arm DDI 0183): the console's byte device.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};
use tock_registers::{register_bitfields, register_structs};

use crate::memory::Va;

register_bitfields! {u32,
    Flags [
        /// Busy: bytes are on their way out.
        BUSY OFFSET(3) NUMBITS(1) [],
        /// Transmit FIFO full.
        TXFF OFFSET(5) NUMBITS(1) [],
        /// Receive FIFO empty.
        RXFE OFFSET(4) NUMBITS(1) [],
    ],
    LineControl [
        /// FIFOs enabled.
        FEN OFFSET(4) NUMBITS(1) [],
        /// Word length: 3 is 8 bits.
        WLEN OFFSET(5) NUMBITS(2) [Eight = 3],
    ],
    Control [
        UARTEN OFFSET(0) NUMBITS(1) [],
        TXE OFFSET(8) NUMBITS(1) [],
        RXE OFFSET(9) NUMBITS(1) [],
    ],
    Interrupts [
        /// Receive level.
        RX OFFSET(4) NUMBITS(1) [],
        /// Transmit level.
        TX OFFSET(5) NUMBITS(1) [],
        /// Receive timeout: fewer bytes than the level wait.
        RT OFFSET(6) NUMBITS(1) [],
    ],
}

register_structs! {
    #[expect(non_snake_case, reason = "the manual's names")]
    Registers {
        (0x000 => DR: ReadWrite<u32>),
        (0x004 => _reserved0),
        (0x018 => FR: ReadOnly<u32, Flags::Register>),
        (0x01c => _reserved1),
        (0x02c => LCR_H: ReadWrite<u32, LineControl::Register>),
        (0x030 => CR: ReadWrite<u32, Control::Register>),
        (0x034 => IFLS: ReadWrite<u32>),
        (0x038 => IMSC: ReadWrite<u32, Interrupts::Register>),
        (0x03c => _reserved2),
        (0x044 => ICR: WriteOnly<u32>),
        (0x048 => @END),
    }
}

/// A mapped PL011.
#[derive(Clone, Copy)]
pub struct Uart {
    registers: &'static Registers,
}

// SAFETY: registers are accessed by single volatile loads and stores; who may do so at a time is
// the console lock's business.
unsafe impl Send for Uart {}
// SAFETY: as above.
unsafe impl Sync for Uart {}

impl Uart {
    /// Takes the UART whose registers are mapped at `base`, and turns it on as firmware set its
    /// rate: 8 bits, FIFOs, interrupts for what is received.
    ///
    /// # Safety
    /// `base` is the mapping, as device memory, of a PL011's registers, for good.
    pub unsafe fn new(base: Va) -> Self {
        // SAFETY: as the caller promises.
        let registers = unsafe { &*(base.get() as *const Registers) };
        registers.LCR_H.write(LineControl::FEN::SET + LineControl::WLEN::Eight);
        registers.ICR.set(0x7ff);
        registers.IMSC.write(Interrupts::RX::SET + Interrupts::RT::SET);
        registers.CR.write(Control::UARTEN::SET + Control::TXE::SET + Control::RXE::SET);
        Self { registers }
    }

    /// Sends `byte` if there is room for it.
    pub fn try_send(&self, byte: u8) -> bool {
        if self.registers.FR.is_set(Flags::TXFF) {
            return false;
        }
        self.registers.DR.set(byte.into());
        true
    }

    /// Whether bytes that were sent are still on their way.
    pub fn is_busy(&self) -> bool {
        self.registers.FR.is_set(Flags::BUSY)
    }

    /// The next received byte.
    pub fn receive(&self) -> Option<u8> {
        (!self.registers.FR.is_set(Flags::RXFE)).then(|| self.registers.DR.get() as u8)
    }

    /// Whether the transmit interrupt is wanted: something waits to be sent.
    pub fn want_transmit(&self, wanted: bool) {
        let transmit = if wanted { Interrupts::TX::SET } else { Interrupts::TX::CLEAR };
        self.registers.IMSC.write(Interrupts::RX::SET + Interrupts::RT::SET + transmit);
    }
}
