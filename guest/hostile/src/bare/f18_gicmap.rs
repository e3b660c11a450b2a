//! The frames of the GIC: every word, and at other widths, misaligned, at the limit of the INTIDs,
//! past it, and past the frames (XSA-94).

use crate::tools::saw;
use crate::variant;
use guest_rt::vectors::expect_fault;
use guest_rt::{boot, gic, mmio};
use probes::check;

const FRAME: usize = 0x1_0000;

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

/// Reads and writes one register; its fault, as ESR_EL1 has it.
fn touch(address: usize, size: usize) -> [Option<u64>; 2] {
    let first = expect_fault(|| {
        read(address, size);
    });
    let second = expect_fault(|| write(address, size, !0));
    [first, second].map(|fault| fault.map(|fault| fault.esr))
}

/// The attack.
pub fn attack() {
    let frames = [("dist", gic::GICD), ("rd", gic::GICR), ("sgi", gic::GICR + gic::SGI_FRAME)];
    for (name, frame) in frames {
        // All words; each fourth of them written with ones and zeros.
        for offset in (0..FRAME).step_by(4) {
            mmio::read32(frame + offset);
            if offset % 16 == 0 {
                mmio::write32(frame + offset, !0);
                mmio::write32(frame + offset, 0);
            }
        }
        check::passed(&variant!("gicmap.{name}-words"));
        // A register of each kind, and what is reserved, at each width.
        for size in [1, 2, 4, 8] {
            for offset in [
                0, 4, 8, 0x10, 0x80, 0x104, 0x200, 0x304, 0x420, 0xc08, 0x6140, 0x7fd8, 0x8000,
                0xbff8, 0xffd0, 0xffe8, 0xfff8,
            ] {
                let at = offset & !(size - 1);
                saw(
                    &variant!("gicmap.{name}-{size}-{at:x}"),
                    format_args!("{:x?}", touch(frame + at, size)),
                );
            }
        }
        // Not a multiple of the size. (By the book an alignment fault, as in all Device memory,
        // before any hypervisor sees it; QEMU 7.2 has none there.)
        for size in [2, 4, 8] {
            for offset in [1, size / 2, size - 1] {
                saw(
                    &variant!("gicmap.{name}-{size}-misaligned-{offset}"),
                    format_args!("{:x?}", touch(frame + 0x400 + offset, size)),
                );
            }
        }
    }
    limit();
    // Past the last redistributor, before the first, past the distributor.
    let last = gic::GICR + boot::cpus() * gic::GICR_STRIDE;
    for (name, address) in [
        ("past-the-redistributors", last),
        ("far-past-the-redistributors", last + 0x1_0000),
        ("past-the-distributor", gic::GICD + FRAME + 0x8000),
    ] {
        saw(&variant!("gicmap.{name}"), format_args!("{:x?}", touch(address, 4)));
    }
}

/// INTIDs that don't exist: their registers are zero, whatever is written.
fn limit() {
    let after = 32 * (gic::last_spi_register() + 2);
    for (at, intid) in [
        ("first", after),
        ("last-of-first", after + 31),
        ("992", 992),
        ("1019", 1019),
        ("1020", 1020),
        ("1023", 1023),
    ] {
        for (name, register) in [
            ("igroupr", gic::IGROUPR),
            ("isenabler", gic::ISENABLER),
            ("ispendr", gic::ISPENDR),
            ("isactiver", gic::ISACTIVER),
        ] {
            let address = gic::GICD + register + intid / 32 * 4;
            mmio::write32(address, !0);
            let name = variant!("gicmap.{name}-of-{at}");
            check::equal(&name, mmio::read32(address), 0);
        }
        let priority = gic::GICD + gic::IPRIORITYR + intid;
        mmio::write8(priority, 0x50);
        check::equal(&variant!("gicmap.ipriorityr-of-{at}"), mmio::read8(priority), 0);
        let route = gic::GICD + 0x6000 + 8 * intid;
        if intid < 1020 {
            mmio::write64(route, 1);
            check::equal(&variant!("gicmap.irouter-of-{at}"), mmio::read64(route), 0);
        }
    }
}
