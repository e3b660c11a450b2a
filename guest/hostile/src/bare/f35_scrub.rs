//! Family 35: a new VM looks for its predecessor's words: in memory (each life does, before
//! anything else), and in what else outlives one. With `resets` it spoils all of it and resets
//! itself, until somebody types `q`.

use crate::{stores, tools};
use core::arch::asm;
use guest_rt::{arch, gic, mmio, mrs, msr, psci, uart};
use probes::{check, scan};

const SPOILT: u64 = 0x5ec2_e7c0_ffee_5ec2;
/// GICD_IROUTER, and an SPI that nothing uses.
const IROUTER: usize = gic::GICD + 0x6000;
const SPI: usize = 40;

/// Registers that hold what software put there: TPIDR_EL0, TPIDRRO_EL0, TPIDR_EL1, CONTEXTIDR_EL1,
/// AFSR0_EL1, AFSR1_EL1, FAR_EL1, PAR_EL1, SP_EL0, AMAIR_EL1, CSSELR_EL1, CNTKCTL_EL1, MDSCR_EL1,
/// CNTP_CVAL_EL0, DBGBVR0_EL1, DBGWVR0_EL1, TTBR1_EL1.
const REGISTERS: [scan::Encoding; 17] = [
    scan::encoding(3, 3, 13, 0, 2),
    scan::encoding(3, 3, 13, 0, 3),
    scan::encoding(3, 0, 13, 0, 4),
    scan::encoding(3, 0, 13, 0, 1),
    scan::encoding(3, 0, 5, 1, 0),
    scan::encoding(3, 0, 5, 1, 1),
    scan::encoding(3, 0, 6, 0, 0),
    scan::encoding(3, 0, 7, 4, 0),
    scan::encoding(3, 0, 4, 1, 0),
    scan::encoding(3, 0, 10, 3, 0),
    scan::encoding(3, 2, 0, 0, 0),
    scan::encoding(3, 0, 14, 1, 0),
    scan::encoding(2, 0, 0, 2, 2),
    scan::encoding(3, 3, 14, 2, 2),
    scan::encoding(2, 0, 0, 0, 4),
    scan::encoding(2, 0, 0, 0, 6),
    scan::encoding(3, 0, 2, 0, 1),
];

/// All V registers by OR, both halves, and FPSR and FPCR.
fn vectors() -> u64 {
    let (low, high): (u64, u64);
    // SAFETY: this program is compiled without V registers.
    unsafe {
        asm!(".arch_extension fp", ".arch_extension simd",
            ".irp n, 1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "orr v0.16b, v0.16b, v\\n\\().16b",
            ".endr",
            "fmov {0}, d0", "fmov {1}, v0.d[1]", out(reg) low, out(reg) high);
    }
    low | high | mrs!(S3_3_C4_C4_1) | mrs!(S3_3_C4_C4_0)
}

fn spoil_vectors() {
    // SAFETY: as above.
    unsafe {
        asm!(".arch_extension fp", ".arch_extension simd",
            ".irp n, 0,1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17,18,19,20,21,22,23,24,25,26,27,28,29,30,31",
            "dup v\\n\\().2d, {0}",
            ".endr", "msr S3_3_C4_C4_1, {1}", in(reg) SPOILT, in(reg) 0x1f_u64);
    }
}

/// The attack.
pub fn attack() {
    // Before anything of this program has used them.
    let found = REGISTERS.map(|register| scan::try_read(register).unwrap_or(0));
    for (register, found) in REGISTERS.into_iter().zip(found) {
        check::equal(&crate::variant!("scrub.{}", scan::Name(register)), found, 0);
    }
    msr!(CPACR_EL1, 3 << 20);
    arch::isb();
    check::equal("scrub.v", vectors(), 0);
    devices();
    if !stores::another_life() {
        return;
    }
    check::end();
    spoil();
    psci::system_reset();
}

/// What the devices keep.
fn devices() {
    let gicr = gic::redistributor() + gic::SGI_FRAME;
    for (name, address, fresh) in [
        ("priorities", gic::GICD + gic::IPRIORITYR + SPI, 0),
        ("router", IROUTER + 8 * SPI, 0),
        ("configuration", gic::GICD + gic::ICFGR + 8, 0),
        ("pending", gic::GICD + gic::ISPENDR + 4, 0),
        ("active", gic::GICD + gic::ISACTIVER + 4, 0),
        ("own-priorities", gicr + gic::IPRIORITYR + 8, 0),
        ("own-pending", gicr + gic::ISPENDR, 0),
        ("own-active", gicr + gic::ISACTIVER, 0),
        ("baud-rate", uart::BASE + 0x24, 0),
        ("baud-fraction", uart::BASE + 0x28, 0),
        ("line-control", uart::LCR_H, 0),
        ("interrupt-mask", uart::IMSC, 0),
    ] {
        check::equal(&crate::variant!("scrub.{name}"), mmio::read32(address), fresh);
    }
}

fn spoil() {
    for register in REGISTERS {
        let _ = scan::try_write(register, SPOILT);
    }
    spoil_vectors();
    let gicr = gic::redistributor() + gic::SGI_FRAME;
    mmio::write32(gic::GICD + gic::IPRIORITYR + SPI, 0xf0f0_f0f0);
    mmio::write64(IROUTER + 8 * SPI, 1);
    mmio::write32(gic::GICD + gic::ICFGR + 8, !0);
    mmio::write32(gic::GICD + gic::ISPENDR + 4, !0);
    mmio::write32(gic::GICD + gic::ISACTIVER + 4, !0);
    mmio::write32(gicr + gic::IPRIORITYR + 8, 0xf0f0_f0f0);
    mmio::write32(gicr + gic::ISPENDR, !0);
    mmio::write32(gicr + gic::ISACTIVER, !0);
    mmio::write32(uart::BASE + 0x24, 0x1234);
    mmio::write32(uart::BASE + 0x28, 0x34);
    mmio::write32(uart::LCR_H, 0x70);
    mmio::write32(uart::IMSC, 0x7ff);
    for range in tools::free_ram() {
        for address in range.step_by(8) {
            // SAFETY: RAM that this program does not use.
            unsafe { (address as *mut u64).write_volatile(SPOILT ^ address) };
        }
    }
}
