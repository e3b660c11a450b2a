//! The UART: all its registers (Arm DDI 0183, chapter 3), by accesses of every width.

use crate::{check, irq};
use guest_rt::{gic, mmio, uart};

const RIS: usize = uart::BASE + 0x3c;
const IBRD: usize = uart::BASE + 0x24;
const FBRD: usize = uart::BASE + 0x28;
const IFLS: usize = uart::BASE + 0x34;
const DMACR: usize = uart::BASE + 0x48;
/// The transmit interrupt.
const INT_TX: u32 = 1 << 5;

/// The probe.
pub fn run() {
    irq::init();
    identification();
    keeps();
    flags();
    transmit_interrupt();
    widths();
    check::end();
}

fn identification() {
    let read = |offset| mmio::read32(uart::BASE + offset) & 0xff;
    check::equal("pl011.part", (read(0xfe0), read(0xfe4) & 0xf), (0x11, 0x0));
    check::equal("pl011.designer", (read(0xfe4) >> 4, read(0xfe8) & 0xf), (1, 4));
    check::equal(
        "pl011.cell",
        [read(0xff0), read(0xff4), read(0xff8), read(0xffc)],
        [0x0d, 0xf0, 0x05, 0xb1],
    );
    mmio::write32(uart::BASE + 0xff0, 0x77);
    check::equal("pl011.cell-read-only", read(0xff0), 0x0d);
}

fn keeps() {
    for (name, register, value) in [
        ("pl011.keeps-ibrd", IBRD, 0x1234),
        ("pl011.keeps-fbrd", FBRD, 0x2a),
        ("pl011.keeps-lcr_h", uart::LCR_H, 0x70),
        ("pl011.keeps-cr", uart::CR, 0x301),
        ("pl011.keeps-ifls", IFLS, 0x1b),
        ("pl011.keeps-imsc", uart::IMSC, 0x050),
        ("pl011.keeps-imsc-0", uart::IMSC, 0),
    ] {
        mmio::write32(register, value);
        check::equal(name, mmio::read32(register), value);
    }
    mmio::write32(DMACR, 0);
    check::equal("pl011.dmacr", mmio::read32(DMACR), 0);
    // Receive status (offset 4): no errors, and a write clears them.
    mmio::write32(uart::BASE + 4, 0xff);
    check::equal("pl011.no-errors", mmio::read32(uart::BASE + 4), 0);
}

fn flags() {
    let ready = irq::wait_for(1000, || mmio::read32(uart::FR) & (1 << 3 | uart::FR_TXFF) == 0);
    check::that("pl011.becomes-idle", ready, "BUSY and TXFF low within a second");
    let flags = mmio::read32(uart::FR);
    check::equal("pl011.nothing-received", flags & uart::FR_RXFE, uart::FR_RXFE);
    check::equal("pl011.transmitter-empty", flags >> 7 & 1, 1);
}

/// The transmit interrupt: raw after characters went out, delivered if unmasked, cleared by ICR.
fn transmit_interrupt() {
    irq::hook(|intid| {
        if intid == uart::INTID {
            mmio::write32(uart::ICR, INT_TX);
            mmio::write32(uart::IMSC, 0);
        }
    });
    mmio::write32(uart::ICR, 0x7ff);
    check::equal("pl011.cleared", mmio::read32(RIS) & INT_TX, 0);
    gic::enable(uart::INTID);
    irq::forget();
    for byte in b"sixteen and more characters, to fill the FIFO and have it drained\r\n" {
        uart::put(*byte);
    }
    let raw = irq::wait_for(1000, || mmio::read32(RIS) & INT_TX != 0);
    check::that("pl011.transmit-raw", raw, "RIS.TX within a second");
    check::equal("pl011.transmit-masked", mmio::read32(uart::MIS) & INT_TX, 0);
    irq::let_in();
    check::equal("pl011.masked-not-taken", irq::count(), 0);
    mmio::write32(uart::IMSC, INT_TX);
    check::equal("pl011.transmit-unmasked", mmio::read32(uart::MIS) & INT_TX, INT_TX);
    irq::let_in();
    check::equal("pl011.transmit-interrupt", (irq::count(), irq::nth(0)), (1, uart::INTID));
    mmio::write32(uart::IMSC, 0);
    irq::unhook();
}

fn widths() {
    mmio::write32(IBRD, 0x1234);
    check::equal("pl011.read16", mmio::read16(IBRD), 0x1234);
    check::equal("pl011.read8", mmio::read8(IBRD), 0x34);
    mmio::write16(IBRD, 0x5678);
    check::equal("pl011.write16", mmio::read32(IBRD), 0x5678);
    mmio::write8(FBRD, 0x15);
    check::equal("pl011.write8", mmio::read32(FBRD), 0x15);
    mmio::write8(uart::DR, b'8');
    mmio::write16(uart::DR, u16::from(b'1'));
    mmio::write32(uart::DR, u32::from(b'3'));
    guest_rt::println!(" (three characters by three widths)");
    check::passed("pl011.characters");
}
