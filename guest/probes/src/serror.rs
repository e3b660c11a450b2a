//! SError: unmasked, and none comes, not even after all kinds of strange accesses. With `wait` in
//! the boot arguments one is to come from outside, once.

use crate::{check, irq};
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};
use guest_rt::vectors::{self, Frame, Kind, expect_fault};
use guest_rt::{arch, boot, head, mmio, mrs, timer};

static SERRORS: AtomicU32 = AtomicU32::new(0);

fn count(frame: &mut Frame) -> bool {
    SERRORS.fetch_add(1, Ordering::Relaxed);
    guest_rt::println!("INFO serror ESR_EL1 = {:#x}", frame.esr);
    true
}

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    vectors::set_handler(Kind::SError, count);
    // SAFETY: a handler is there.
    unsafe { asm!("msr DAIFClr, #4") };
    arch::isb();
    if boot::has("wait") {
        let came = irq::wait_for(3000, || SERRORS.load(Ordering::Relaxed) > 0);
        timer::delay_ms(100);
        check::equal("serror.comes-once", (came, SERRORS.load(Ordering::Relaxed)), (true, 1));
        return;
    }
    check::equal("serror.none-pending", mrs!(ISR_EL1) >> 8 & 1, 0);
    timer::delay_ms(5);
    check::equal("serror.none-comes", SERRORS.load(Ordering::Relaxed), 0);
    for address in [0x0b00_0000, 0x0b00_0ffc] {
        expect_fault(|| mmio::write32(address, 1));
        expect_fault(|| {
            mmio::read32(address);
        });
        arch::dsb();
    }
    timer::delay_ms(5);
    check::equal("serror.none-after-aborts", SERRORS.load(Ordering::Relaxed), 0);
    check::equal("serror.still-none-pending", mrs!(ISR_EL1) >> 8 & 1, 0);
}
