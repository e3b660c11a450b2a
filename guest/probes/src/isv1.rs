//! Device accesses with a syndrome that are easy to get wrong: sign extension, register width,
//! register 31. A part of [`crate::isv0`].

use crate::isv0::{Code, execute_at};
use crate::{check, code};
use core::arch::asm;
use guest_rt::{mmio, uart};

const CELL: u64 = uart::BASE as u64 + 0xff0;
const IBRD: u64 = uart::BASE as u64 + 0x24;

pub(crate) fn run() {
    let cases: [(&str, Code, u64, u64); 8] = [
        ("isv1.ldrsb-w", code!("ldrsb w9, [x10]"), CELL + 4, 0xffff_fff0),
        ("isv1.ldrsb-x", code!("ldrsb x9, [x10]"), CELL + 4, 0xffff_ffff_ffff_fff0),
        ("isv1.ldrsh-x", code!("ldrsh x9, [x10]"), CELL + 4, 0xf0),
        ("isv1.ldrsw", code!("ldrsw x9, [x10]"), CELL + 12, 0xb1),
        ("isv1.ldur", code!("ldur w9, [x10, #-4]"), CELL + 4, 0x0d),
        ("isv1.ldr-register", code!("mov x9, #12", "ldr w9, [x10, x9]"), CELL, 0xb1),
        ("isv1.ldr-sxtw", code!("mov w9, #-1", "ldr w9, [x10, w9, sxtw #2]"), CELL + 4, 0x0d),
        ("isv1.ldar", code!("ldar w9, [x10]"), CELL, 0x0d),
    ];
    for (name, code, address, want) in cases {
        let (fault, got) = execute_at(code as *const () as u64, [0x99, address, 0xbb]);
        check::equal(name, (fault.is_none(), got), (true, [want, address, 0xbb]));
    }
    let (before, after): (u64, u64);
    // SAFETY: a read of an identification register, thrown away.
    unsafe {
        asm!("mov {0}, sp", "ldr wzr, [{2}]", "mov {1}, sp",
            out(reg) before, out(reg) after, in(reg) CELL);
    }
    check::equal("isv1.into-wzr", after, before);
    mmio::write32(IBRD as usize, 0x1234);
    // SAFETY: a write of zero to the UART's rate.
    unsafe { asm!("str wzr, [{}]", in(reg) IBRD) };
    check::equal("isv1.from-wzr", mmio::read32(IBRD as usize), 0);
}
