//! Device accesses for which the CPU gives a hypervisor no syndrome (ESR_EL2.ISV = 0): pairs,
//! writeback, exclusives, SIMD. On the board they work. A hypervisor may emulate them or answer
//! with an abort, but must never put garbage into a register.
//!
//! The UART's identification registers are good to read: one byte each in a word, at offset 0xfe0
//! 11 10 x4 00, at 0xff0 0d f0 05 b1 (Arm DDI 0183, 3.3).

use crate::check;
use core::arch::asm;
use guest_rt::vectors::{Fault, expect_fault};
use guest_rt::{arch, head, mrs, msr, println, uart};

const ID: u64 = uart::BASE as u64 + 0xfe0;
const CELL: u64 = uart::BASE as u64 + 0xff0;
/// UARTIBRD and UARTFBRD: the baud rate, which may be written freely here.
const IBRD: u64 = uart::BASE as u64 + 0x24;
/// UARTIFLS: FIFO levels.
const IFLS: u64 = uart::BASE as u64 + 0x34;

/// Runs an access with x9 = 0x99, x10 = `$address`, x11 = 0xbb. Either the registers are `$want`
/// afterwards, or there was an abort and they are as before.
macro_rules! access {
    ($name:literal, $instruction:literal, $address:expr, $want:expr) => {{
        let (mut x9, mut x10, mut x11) = (0x99_u64, $address, 0xbb_u64);
        let fault = expect_fault(|| {
            // SAFETY: reads identification registers or writes the UART's rate.
            unsafe {
                asm!(".arch_extension fp", ".arch_extension simd", $instruction,
                    inout("x9") x9, inout("x10") x10, inout("x11") x11);
            }
        });
        report($name, fault, (x9, x10, x11), $want, (0x99, $address, 0xbb))
    }};
}

type Registers = (u64, u64, u64);

/// Whether the access was emulated (or native).
fn report(
    name: &str,
    fault: Option<Fault>,
    got: Registers,
    want: Registers,
    before: Registers,
) -> bool {
    match fault {
        None => check::equal(name, got, want),
        Some(fault) => {
            println!("INFO {name} aborts, ESR_EL1 = {:#x}", fault.esr);
            // A synchronous external abort or an alignment fault.
            check::that(
                name,
                matches!(fault.esr & 0xfc00_003f, 0x9400_0010 | 0x9400_0021),
                "an abort",
            );
            check::equal(name, got, before);
        }
    }
    fault.is_none()
}

/// The probe.
pub fn run() {
    head::init();
    msr!(CPACR_EL1, 3 << 20);
    arch::isb();
    access!("isv0.ldp-w", "ldp w9, w11, [x10]", ID, (0x11, ID, 0x10));
    access!("isv0.ldp-w-offset", "ldp w9, w11, [x10, #8]", CELL - 8, (0x0d, CELL - 8, 0xf0));
    access!("isv0.ldp-w-post", "ldp w9, w11, [x10], #8", CELL, (0x0d, CELL + 8, 0xf0));
    access!("isv0.ldp-w-pre", "ldp w9, w11, [x10, #8]!", CELL, (0x05, CELL + 8, 0xb1));
    access!("isv0.ldpsw", "ldpsw x9, x11, [x10]", CELL, (0x0d, CELL, 0xf0));
    access!("isv0.ldr-post", "ldr w9, [x10], #4", ID, (0x11, ID + 4, 0xbb));
    access!("isv0.ldr-pre", "ldr w9, [x10, #4]!", ID, (0x10, ID + 4, 0xbb));
    access!("isv0.ldr-post-back", "ldr w9, [x10], #-16", CELL, (0x0d, CELL - 16, 0xbb));
    access!("isv0.ldrb-post", "ldrb w9, [x10], #1", CELL + 4, (0xf0, CELL + 5, 0xbb));
    access!(
        "isv0.ldrsb-post",
        "ldrsb x9, [x10], #4",
        CELL + 4,
        (0xffff_ffff_ffff_fff0, CELL + 8, 0xbb)
    );
    access!("isv0.ldrsb-w-post", "ldrsb w9, [x10], #4", CELL + 4, (0xffff_fff0, CELL + 8, 0xbb));
    access!("isv0.ldrh-pre", "ldrh w9, [x10, #4]!", CELL, (0xf0, CELL + 4, 0xbb));
    access!("isv0.ldxr", "ldxr w9, [x10]", CELL, (0x0d, CELL, 0xbb));
    access!("isv0.ldr-s", "fmov s0, w9\nldr s0, [x10]\nfmov w9, s0", CELL, (0x0d, CELL, 0xbb));

    // Stores: what was written is read back, or there was an abort and nothing changed.
    let rate = guest_rt::mmio::read32(IBRD as usize);
    let stored = access!("isv0.stp-w", "stp w9, w11, [x10]", IBRD, (0x99, IBRD, 0xbb));
    let want = if stored { 0x99 } else { rate };
    check::equal("isv0.stp-w.stored", guest_rt::mmio::read32(IBRD as usize), want);
    let levels = guest_rt::mmio::read32(IFLS as usize);
    let stored = access!(
        "isv0.str-post",
        "mov w9, #0x1b\nstr w9, [x10], #4\nmov w9, #0x99",
        IFLS,
        (0x99, IFLS + 4, 0xbb)
    );
    let want = if stored { 0x1b } else { levels };
    check::equal("isv0.str-post.stored", guest_rt::mmio::read32(IFLS as usize), want);

    with_syndrome();
    atomics();
    check::end();
}

/// With a syndrome, and easy to get wrong: sign extension, register width, register 31.
fn with_syndrome() {
    access!("isv1.ldrsb-w", "ldrsb w9, [x10]", CELL + 4, (0xffff_fff0, CELL + 4, 0xbb));
    access!("isv1.ldrsb-x", "ldrsb x9, [x10]", CELL + 4, (0xffff_ffff_ffff_fff0, CELL + 4, 0xbb));
    access!("isv1.ldrsh-x", "ldrsh x9, [x10]", CELL + 4, (0xf0, CELL + 4, 0xbb));
    access!("isv1.ldrsw", "ldrsw x9, [x10]", CELL + 12, (0xb1, CELL + 12, 0xbb));
    access!("isv1.ldur", "ldur w9, [x10, #-4]", CELL + 4, (0x0d, CELL + 4, 0xbb));
    access!("isv1.ldr-register", "mov x9, #12\nldr w9, [x10, x9]", CELL, (0xb1, CELL, 0xbb));
    access!("isv1.ldar", "ldar w9, [x10]", CELL, (0x0d, CELL, 0xbb));
    let (before, after): (u64, u64);
    // SAFETY: a read of an identification register, thrown away.
    unsafe {
        asm!("mov {0}, sp", "ldr wzr, [{2}]", "mov {1}, sp",
            out(reg) before, out(reg) after, in(reg) CELL);
    }
    check::equal("isv1.into-wzr", after, before);
    guest_rt::mmio::write32(IBRD as usize, 0x1234);
    // SAFETY: a write of zero to the UART's rate.
    unsafe { asm!("str wzr, [{}]", in(reg) IBRD) };
    check::equal("isv1.from-wzr", guest_rt::mmio::read32(IBRD as usize), 0);
}

/// Atomic instructions on a device: the board has them where the CPU does; no VM need offer it.
fn atomics() {
    if mrs!(ID_AA64ISAR0_EL1) >> 20 & 0xf == 0 {
        return;
    }
    let (mut x9, address) = (0x99_u64, CELL);
    let fault = expect_fault(|| {
        // SAFETY: adds nothing to a read-only register.
        unsafe {
            asm!(".arch_extension lse", "ldadd wzr, w9, [{}]", in(reg) address, inout("x9") x9);
        }
    });
    check::equal("isv0.ldadd", x9, if fault.is_some() { 0x99 } else { 0x0d });
}
