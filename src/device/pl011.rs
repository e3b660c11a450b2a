//! A PL011 (Arm DDI 0183) as QEMU's `virt` shows it: what is written is sent at once, so the
//! transmitter is always empty; the receiver has a FIFO of 16 bytes, or one without LCR_H.FEN,
//! and its interrupt comes with the first byte, whatever IFLS says.

#[cfg(test)]
mod tests;

const DR: u64 = 0x00;
const RSR: u64 = 0x04;
const FR: u64 = 0x18;
const ILPR: u64 = 0x20;
const LCR_H: u64 = 0x2c;
const IMSC: u64 = 0x38;
const RIS: u64 = 0x3c;
const MIS: u64 = 0x40;
const ICR: u64 = 0x44;
const DMACR: u64 = 0x48;
const PERIPH_ID0: u64 = 0xfe0;

/// What can be written of UARTILPR, IBRD, FBRD, LCR_H, CR, IFLS, IMSC, RIS, MIS, ICR and DMACR, which
/// follow each other.
const WRITABLE: [u16; 11] = [0xff, !0, 0x3f, 0xff, !0, 0x3f, INT_ALL, 0, 0, 0, 7];
/// What they are at reset.
const RESET: [u16; 11] = [0, 0, 0, 0, 0x300, 0x12, 0, 0, 0, 0, 0];

/// The place of one of them among them.
const fn place(register: u64) -> usize {
    (register - ILPR) as usize / 4
}

/// UARTDR.OE: a byte was lost before this one was read.
const DR_OVERRUN: u32 = 1 << 11;
/// UARTRSR.OE.
const RSR_OVERRUN: u8 = 1 << 3;
/// UARTFR.TXFE: the transmit FIFO is empty.
const FR_TXFE: u32 = 1 << 7;
/// UARTFR.RXFF: the receive FIFO is full.
const FR_RXFF: u32 = 1 << 6;
/// UARTFR.RXFE: the receive FIFO is empty.
const FR_RXFE: u32 = 1 << 4;
/// UARTLCR_H.FEN: FIFOs on.
const LCR_FEN: u16 = 1 << 4;
/// UARTRIS.OERIS: overrun.
const INT_OVERRUN: u16 = 1 << 10;
/// UARTRIS.TXRIS: transmit.
const INT_TX: u16 = 1 << 5;
/// UARTRIS.RXRIS: receive.
const INT_RX: u16 = 1 << 4;
/// All interrupts there are.
const INT_ALL: u16 = 0x7ff;

/// UARTPeriphID0..3 and UARTPCellID0..3, those of QEMU's: revision 1, a FIFO of 16.
const IDENTIFICATION: [u8; 8] = [0x11, 0x10, 0x14, 0x00, 0x0d, 0xf0, 0x05, 0xb1];
/// Depth of the receive FIFO, in bytes.
const DEPTH: usize = 16;

/// A change of the interrupt line, or `None` where it stays.
pub type Line = Option<bool>;

/// The registers and the receive FIFO.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Pl011 {
    fifo: [u8; DEPTH],
    head: usize,
    count: usize,
    /// A byte was lost since the last one that found room.
    overrun: bool,
    rsr: u8,
    /// What was written to the registers of [`WRITABLE`].
    written: [u16; 11],
    ris: u16,
}

impl Pl011 {
    /// The state at reset.
    #[expect(clippy::new_without_default, reason = "a state at reset is no default")]
    pub const fn new() -> Self {
        Self { fifo: [0; DEPTH], head: 0, count: 0, overrun: false, rsr: 0, written: RESET, ris: 0 }
    }

    /// The level of the interrupt line.
    #[inline]
    pub const fn line(&self) -> bool {
        self.masked() != 0
    }

    /// UARTMIS: what interrupts, of what there is.
    #[inline]
    const fn masked(&self) -> u16 {
        self.ris & self.written[place(IMSC)]
    }

    /// How many bytes [`Pl011::receive`] takes before it loses one.
    #[inline]
    pub const fn room(&self) -> usize {
        self.depth().saturating_sub(self.count)
    }

    /// A byte comes in over the wire. Without room it is lost, and the guest is told.
    pub fn receive(&mut self, byte: u8) -> Line {
        self.watch(|uart| {
            if uart.room() == 0 {
                uart.overrun = true;
                uart.rsr |= RSR_OVERRUN;
                uart.ris |= INT_OVERRUN;
                return;
            }
            uart.overrun = false;
            uart.fifo[(uart.head + uart.count) % DEPTH] = byte;
            uart.count += 1;
            uart.ris |= INT_RX;
        })
    }

    /// A read of `size` bytes (1, 2 or 4) at `offset`: the value, and what became of the line.
    /// Any other size, and an offset inside a register, reads as zero.
    #[inline]
    pub fn read(&mut self, offset: u64, size: u32) -> (u32, Line) {
        let mask = match size {
            1 => 0xff,
            2 => 0xffff,
            4 => u32::MAX,
            _ => return (0, None),
        };
        let value = match offset {
            FR => self.flags(),
            DR => {
                let mut value = 0;
                let line = self.watch(|uart| value = uart.take());
                return (value & mask, line);
            }
            RSR => self.rsr.into(),
            RIS => self.ris.into(),
            MIS => self.masked().into(),
            ILPR..=DMACR if offset & 3 == 0 => self.written[place(offset)].into(),
            PERIPH_ID0..0x1000 if offset & 3 == 0 => {
                IDENTIFICATION[(offset - PERIPH_ID0) as usize / 4 % 8].into()
            }
            _ => 0,
        };
        (value & mask, None)
    }

    /// A write of `size` bytes (1, 2 or 4) at `offset`: the byte that goes out over the wire, if
    /// any, and what became of the line. Any other size, and an offset inside a register, does
    /// nothing.
    #[inline]
    pub fn write(&mut self, offset: u64, size: u32, value: u32) -> (Option<u8>, Line) {
        if !matches!(size, 1 | 2 | 4) {
            return (None, None);
        }
        if offset == DR {
            let line = self.watch(|uart| uart.ris |= INT_TX);
            return (Some(value as u8), line);
        }
        (None, self.watch(|uart| uart.set(offset, value)))
    }

    fn set(&mut self, offset: u64, value: u32) {
        let value = value as u16;
        match offset {
            RSR => self.rsr = 0,
            ICR => self.ris &= !value,
            ILPR..=DMACR if offset & 3 == 0 => {
                let place = place(offset);
                // The FIFOs are emptied when they are switched on or off.
                if offset == LCR_H && (self.written[place] ^ value) & LCR_FEN != 0 {
                    self.head = 0;
                    self.count = 0;
                }
                self.written[place] = value & WRITABLE[place];
            }
            _ => {}
        }
    }

    /// UARTFR: the transmitter is empty and idle.
    #[inline]
    const fn flags(&self) -> u32 {
        let empty = if self.count == 0 { FR_RXFE } else { 0 };
        let full = if self.room() == 0 { FR_RXFF } else { 0 };
        FR_TXFE | empty | full
    }

    /// UARTDR: the next byte. From an empty FIFO, what the next one will overwrite, as QEMU does.
    fn take(&mut self) -> u32 {
        let lost = if self.overrun { DR_OVERRUN } else { 0 };
        let value = u32::from(self.fifo[self.head % DEPTH]) | lost;
        if self.count != 0 {
            self.count -= 1;
            self.head = (self.head + 1) % DEPTH;
        }
        if self.count == 0 {
            self.ris &= !INT_RX;
        }
        self.rsr = (value >> 8) as u8;
        value
    }

    const fn depth(&self) -> usize {
        if self.written[place(LCR_H)] & LCR_FEN != 0 { DEPTH } else { 1 }
    }

    #[inline]
    fn watch(&mut self, change: impl FnOnce(&mut Self)) -> Line {
        let before = self.line();
        change(self);
        let after = self.line();
        (before != after).then_some(after)
    }
}
