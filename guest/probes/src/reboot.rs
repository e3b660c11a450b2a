//! SYSTEM_RESET: the machine starts anew, as if it had just been made.
//!
//! A machine that is new cannot know how often it was new before. So it resets itself until the
//! physical counter, which nothing resets, has reached `until=N` milliseconds (default 3000), and
//! the test counts the `BOOT` lines. Each pass looks at its memory and registers, then spoils them,
//! and runs for `delay=N` milliseconds (default 300).
//!
//! QEMU's board keeps the contents of memory over a reset, which the architecture leaves open, and
//! its UART's registers. With `clean` in the boot arguments (for a virtual machine) memory must be
//! zero and the UART like new.
//!
//! With `race` another CPU starts a third one all the while, and the reset comes at odd moments.

use crate::{check, irq};
use core::sync::atomic::{AtomicBool, Ordering::SeqCst};
use guest_rt::{arch, boot, gic, mmio, mrs, msr, psci, timer, uart};

/// Memory that the image does not use: 4 MiB behind it.
const MEMORY: core::ops::Range<usize> = 0x4040_0000..0x4080_0000;

/// The probe.
pub fn run() {
    // State at the entry, before anything is set up.
    let timer_control = mrs!(CNTV_CTL_EL0) & (timer::ENABLE | timer::IMASK);
    let mask = mmio::read32(uart::IMSC);
    let enabled = mmio::read32(gic::GICD + gic::ISENABLER + 4);
    irq::init();
    let now_ms = mrs!(CNTPCT_EL0) / timer::ms(1);
    let dirty = MEMORY.step_by(512).filter(|&address| mmio::read64(address) != 0).count();
    guest_rt::println!("BOOT cntpct_ms={now_ms} dirty={dirty}");
    if boot::has("clean") {
        check::equal("reboot.memory-is-zero", dirty, 0);
        check::equal("reboot.uart-interrupts-masked", mask, 0);
    }
    check::equal("reboot.timer-off", timer_control & timer::ENABLE, 0);
    check::equal("reboot.interrupts-disabled", enabled, 0);
    check::equal("reboot.others-off", other_is_on(), false);
    if let Some(seed) = boot::tree().and_then(|tree| tree.property(&["chosen"], "rng-seed")) {
        guest_rt::println!("SEED {seed:02x?}");
    }
    check::end();
    if now_ms >= boot::number("until").unwrap_or(3000) {
        return;
    }

    // Spoil what can be spoilt, and have another CPU run.
    for address in MEMORY.step_by(512) {
        mmio::write64(address, 0x5a5a_5a5a_5a5a_5a5a);
    }
    mmio::write32(uart::IMSC, uart::INT_RX);
    gic::enable(uart::INTID);
    msr!(CNTV_CVAL_EL0, 0);
    msr!(CNTV_CTL_EL0, timer::ENABLE);
    let race = boot::has("race");
    if boot::cpus() > 1 {
        guest_rt::smp::start(1, if race { start_another } else { spin });
    }
    let odd = 1 + mrs!(CNTPCT_EL0) % 8;
    timer::delay_ms(if race { odd } else { boot::number("delay").unwrap_or(300) });
    RESETTING.store(true, SeqCst);
    psci::system_reset();
}

/// The reset is about to be asked for.
static RESETTING: AtomicBool = AtomicBool::new(false);

fn spin(_: usize) {
    loop {
        arch::spin();
    }
}

/// Starts CPU 2 again and again. It ends at once, but for the one that nobody may leave behind.
fn start_another(_: usize) {
    loop {
        guest_rt::smp::start(2, |cpu| {
            if RESETTING.load(SeqCst) {
                spin(cpu);
            }
        });
    }
}

fn other_is_on() -> bool {
    boot::cpus() > 1 && psci::affinity_info(1) == 0
}
