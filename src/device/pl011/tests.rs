use super::*;
use std::vec::Vec;

/// A UART with FIFOs and the receive interrupt on.
fn uart() -> Pl011 {
    let mut uart = Pl011::new();
    uart.write(LCR_H, 4, 0x70);
    uart.write(IMSC, 4, INT_RX.into());
    uart
}

fn drain(uart: &mut Pl011) -> Vec<u8> {
    let mut bytes = Vec::new();
    while uart.read(FR, 4).0 & FR_RXFE == 0 {
        bytes.push(uart.read(DR, 4).0 as u8);
    }
    bytes
}

#[test]
fn a_written_byte_goes_out_in_every_access_size() {
    for size in [1, 2, 4] {
        let mut uart = Pl011::new();
        assert_eq!(uart.write(DR, size, 0x141), (Some(b'A'), None));
        assert_eq!(uart.read(RIS, size).0, u32::from(INT_TX));
    }
}

#[test]
fn the_transmitter_is_always_ready() {
    let mut uart = Pl011::new();
    assert_eq!(uart.read(FR, 2).0, FR_TXFE | FR_RXFE);
    uart.write(DR, 1, 0x41);
    assert_eq!(uart.read(FR, 1).0, FR_TXFE | FR_RXFE);
}

#[test]
fn the_transmit_interrupt_follows_the_mask_and_is_cleared() {
    let mut uart = Pl011::new();
    assert_eq!(uart.write(IMSC, 2, INT_TX.into()), (None, None));
    assert_eq!(uart.write(DR, 1, 0x41), (Some(0x41), Some(true)));
    assert_eq!(uart.write(DR, 1, 0x42), (Some(0x42), None));
    assert_eq!(uart.read(MIS, 2).0, u32::from(INT_TX));
    assert_eq!(uart.write(ICR, 2, INT_TX.into()), (None, Some(false)));
    assert_eq!(uart.write(DR, 1, 0x43), (Some(0x43), Some(true)));
    assert_eq!(uart.write(IMSC, 2, 0), (None, Some(false)));
    assert_eq!(uart.read(MIS, 2).0, 0);
    assert_eq!(uart.read(RIS, 2).0, u32::from(INT_TX));
}

#[test]
fn received_bytes_come_out_in_order_and_hold_the_line() {
    let mut uart = uart();
    assert_eq!(uart.receive(1), Some(true));
    assert_eq!(uart.receive(2), None);
    assert_eq!(uart.read(DR, 4), (1, None));
    assert_eq!(uart.read(DR, 4), (2, Some(false)));
    assert_eq!(uart.read(FR, 4).0 & FR_RXFE, FR_RXFE);
}

#[test]
fn the_fifo_takes_sixteen_bytes_and_wraps() {
    let mut uart = uart();
    for round in 0..5u8 {
        let bytes: Vec<u8> = (0..16).map(|i| round * 16 + i).collect();
        for &byte in &bytes {
            assert!(uart.room() > 0);
            uart.receive(byte);
        }
        assert_eq!(uart.room(), 0);
        assert_eq!(uart.read(FR, 4).0, FR_TXFE | FR_RXFF);
        assert_eq!(drain(&mut uart), bytes);
        uart.receive(0);
        drain(&mut uart);
    }
}

#[test]
fn without_fen_there_is_room_for_one() {
    let mut uart = Pl011::new();
    uart.receive(7);
    assert_eq!(uart.room(), 0);
    assert_eq!(uart.read(FR, 4).0, FR_TXFE | FR_RXFF);
    assert_eq!(drain(&mut uart), [7]);
}

#[test]
fn an_overrun_is_reported_until_a_byte_finds_room() {
    let mut uart = uart();
    uart.write(IMSC, 4, INT_OVERRUN.into());
    for byte in 0..16 {
        assert_eq!(uart.receive(byte), None);
    }
    assert_eq!(uart.receive(99), Some(true));
    assert_eq!(uart.read(RSR, 4).0, u32::from(RSR_OVERRUN));
    assert_eq!(uart.read(DR, 4).0, DR_OVERRUN);
    assert_eq!(uart.read(DR, 1).0, 1);
    uart.receive(16);
    assert_eq!(uart.read(DR, 4).0, 2);
    assert_eq!(uart.read(RSR, 4).0, 0);
    assert_eq!(drain(&mut uart).last(), Some(&16));
}

#[test]
fn an_interrupt_cleared_too_early_comes_again_with_the_next_byte() {
    let mut uart = uart();
    uart.receive(1);
    assert_eq!(uart.write(ICR, 4, INT_RX.into()).1, Some(false));
    assert_eq!(uart.receive(2), Some(true));
}

#[test]
fn switching_the_fifo_empties_it() {
    let mut uart = uart();
    uart.receive(1);
    uart.write(LCR_H, 4, 0x60);
    assert_eq!(uart.read(FR, 4).0, FR_TXFE | FR_RXFE);
}

#[test]
fn registers_keep_what_they_have_bits_for() {
    const IBRD: u64 = 0x24;
    const FBRD: u64 = 0x28;
    const CR: u64 = 0x30;
    const IFLS: u64 = 0x34;
    let mut uart = Pl011::new();
    for (register, reset, bits) in [
        (ILPR, 0, 0xff),
        (IBRD, 0, 0xffff),
        (FBRD, 0, 0x3f),
        (LCR_H, 0, 0xff),
        (CR, 0x300, 0xffff),
        (IFLS, 0x12, 0x3f),
        (IMSC, 0, 0x7ff),
        (DMACR, 0, 7),
    ] {
        assert_eq!(uart.read(register, 4).0, reset, "{register:#x}");
        uart.write(register, 4, u32::MAX);
        assert_eq!(uart.read(register, 4).0, bits, "{register:#x}");
    }
}

#[test]
fn identification_is_that_of_a_pl011() {
    let mut uart = Pl011::new();
    let id: Vec<u32> = (0..8).map(|i| uart.read(0xfe0 + 4 * i, 4).0).collect();
    assert_eq!(id, [0x11, 0x10, 0x14, 0, 0x0d, 0xf0, 0x05, 0xb1]);
}

#[test]
fn odd_accesses_read_as_zero_and_do_nothing() {
    let mut uart = uart();
    uart.receive(1);
    let before = uart.clone();
    for (offset, size) in [(DR, 8), (DR, 0), (DR + 1, 1), (0x4c, 4), (0xfff, 1), (u64::MAX, 4)] {
        assert_eq!(uart.read(offset, size), (0, None));
        assert_eq!(uart.write(offset, size, u32::MAX), (None, None));
    }
    assert_eq!(uart, before);
}

#[test]
fn random_traffic_keeps_line_and_flags_true() {
    use proptest::prelude::*;
    let access = (0u64..0x50, prop::sample::select(&[1u32, 2, 4][..]), any::<u32>(), 0..3u8);
    let most = if cfg!(miri) { 20 } else { 200 };
    let config = ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 256 },
        failure_persistence: None,
        ..Default::default()
    };
    proptest!(config, |(accesses in prop::collection::vec(access, 1..most))| {
        let mut uart = Pl011::new();
        let mut line = false;
        for (offset, size, value, kind) in accesses {
            let change = match kind {
                0 => uart.read(offset & !3, size).1,
                1 => uart.write(offset & !3, size, value).1,
                _ => uart.receive(value as u8),
            };
            prop_assert!(change != Some(line));
            line = change.unwrap_or(line);
            prop_assert_eq!(line, uart.read(MIS, 4).0 != 0);
            let flags = uart.read(FR, 4).0;
            prop_assert_eq!(flags & FR_RXFF != 0, uart.room() == 0);
        }
    });
}
