//! Family 28: external aborts and SErrors that a guest raises. All it can raise are synchronous
//! external aborts, and they are its own; no SError comes of them. QEMU 7.2 has no source of a
//! physical SError: what EL2 makes of one is tested with gdb's help (`gdb/virtual-serror`), and
//! how it is decoded on the host (`exit::esr`, `exit::inject`).

use crate::tools::{saw_read, saw_write};
use crate::variant;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering::Relaxed};
use guest_rt::vectors::{self, Frame, Kind, expect_fault};
use guest_rt::{arch, mmio, mrs, timer};
use probes::scan::encoding;
use probes::{check, dabort, serror};

static SERRORS: AtomicU32 = AtomicU32::new(0);

fn count(_: &mut Frame) -> bool {
    SERRORS.fetch_add(1, Relaxed);
    true
}

/// The attack.
pub fn attack() {
    dabort::checks();
    serror::checks();
    vectors::set_handler(Kind::SError, count);
    // SAFETY: a handler is there.
    unsafe { asm!("msr DAIFClr, #4") };
    // Stores and maintenance that hardware could tell of late.
    for (n, address) in
        [0x0b00_0000, 0x0bff_fffc_u64, 0x7ff0_0000, 0x7fff_fff8].into_iter().enumerate()
    {
        let mut faults = 0;
        for _ in 0..300 {
            faults += u32::from(expect_fault(|| mmio::write32(address as usize, 1)).is_some());
        }
        check::equal(&variant!("serror.stores-{n}"), faults, 300);
        // SAFETY: maintenance of what is not there, and barriers, ESB among them (HINT #16).
        expect_fault(|| unsafe {
            asm!("dc cvac, {0}", "dc civac, {0}", "dc ivac, {0}", "ic ivau, {0}", "dsb sy",
                "hint #16", "isb", in(reg) address);
        });
    }
    timer::delay_ms(5);
    arch::dsb();
    check::equal("serror.none-came", (SERRORS.load(Relaxed), mrs!(ISR_EL1) >> 8 & 1), (0, 0));
    // EL2's own means to raise one: HCR_EL2, VSESR_EL2, VDISR_EL2; SCR_EL3.
    for register in [
        encoding(3, 4, 1, 1, 0),
        encoding(3, 4, 5, 2, 3),
        encoding(3, 4, 12, 1, 1),
        encoding(3, 6, 1, 1, 0),
    ] {
        saw_read("serror", register);
        saw_write("serror", register, 1 << 8);
    }
    check::equal("serror.none-at-last", SERRORS.load(Relaxed), 0);
    // SAFETY: masked, as before.
    unsafe { asm!("msr DAIFSet, #4") };
    vectors::clear_handler(Kind::SError);
}
