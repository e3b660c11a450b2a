//! Every offset of the distributor and of the redistributors, at every size: what it reads as out
//! of reset, after ones were written to it, and after zeros were. A line for each run of offsets
//! that behave alike; those that are zero throughout are left out:
//!
//! ```text
//! SCAN <frame> <size> <first> <end> <reset> <ones> <same> <zeros>
//! ```
//!
//! `same` is what the 32-bit word around shows of the same bytes after the ones. All but the size
//! is hexadecimal. The harness compares the lines with those of the bare board.

use crate::check;
use guest_rt::{boot, gic, head, mmio, println};

/// Size of a frame, in bytes.
const FRAME: usize = 0x1_0000;

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    for size in [4, 8, 2, 1] {
        scan(format_args!("dist"), gic::GICD, size);
        // All redistributors are alike, and narrow accesses are many.
        for cpu in 0..if size < 4 { 1 } else { boot::cpus() } {
            let gicr = gic::GICR + cpu * gic::GICR_STRIDE;
            scan(format_args!("rd{cpu}"), gicr, size);
            scan(format_args!("sgi{cpu}"), gicr + gic::SGI_FRAME, size);
        }
    }
    check::passed("gicscan.done");
}

fn read(address: usize, size: usize) -> u64 {
    match size {
        1 => mmio::read8(address).into(),
        2 => mmio::read16(address).into(),
        4 => mmio::read32(address).into(),
        _ => mmio::read64(address),
    }
}

fn write(address: usize, size: usize, value: u64) {
    match size {
        1 => mmio::write8(address, value as u8),
        2 => mmio::write16(address, value as u16),
        4 => mmio::write32(address, value as u32),
        _ => mmio::write64(address, value),
    }
}

fn scan(name: core::fmt::Arguments<'_>, base: usize, size: usize) {
    let (mut first, mut last) = (0, [0; 4]);
    for offset in (0..=FRAME).step_by(size) {
        let seen = if offset < FRAME { look(base + offset, size) } else { [0; 4] };
        if seen != last {
            let [reset, ones, same, zeros] = last;
            if last != [0; 4] {
                println!(
                    "SCAN {name} {size} {first:x} {offset:x} {reset:x} {ones:x} {same:x} {zeros:x}"
                );
            }
            (first, last) = (offset, seen);
        }
    }
}

fn look(address: usize, size: usize) -> [u64; 4] {
    let reset = read(address, size);
    write(address, size, !0);
    let ones = read(address, size);
    let word = u64::from(mmio::read32(address & !3)) >> (8 * (address & 3));
    write(address, size, 0);
    [reset, ones, word & (u64::MAX >> (64 - 8 * size)), read(address, size)]
}
