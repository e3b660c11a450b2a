//! The life of an offender. It begins by looking at all of its memory: what it did not put there
//! itself must be zero. (`ZEROS checked=… nonzero=…`, in words.) Then a key decides: `a` attacks,
//! `r` fills all memory and resets the machine, `o` fills it and switches that off. With `auto` in the boot
//! arguments nobody is at the keyboard, and it attacks and ends.

use crate::{families, tools};
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering::SeqCst};
use guest_rt::{arch, boot, gic, mmio, println, psci, timer, uart};
use probes::{check, irq};

/// What a predecessor leaves in all memory.
const FILL: u64 = 0x5a5a_a5a5_5a5a_a5a5;

/// The program.
pub fn run() {
    look();
    irq::init();
    if boot::has("auto") {
        if !tools::doom().is_empty() {
            // Until the neighbour is there.
            timer::delay_ms(120);
        }
        return attack();
    }
    loop {
        match key() {
            b'a' => attack(),
            b'r' => {
                fill();
                reset();
            }
            b'o' => return fill(),
            _ => {}
        }
    }
}

/// Who resets the machine in the place of this CPU, when this is set.
static BY_PEER: AtomicPtr<AtomicBool> = AtomicPtr::new(core::ptr::null_mut());

/// Another CPU resets the machine, when `now` is true.
pub fn reset_by_peer(now: &'static AtomicBool) {
    BY_PEER.store(core::ptr::from_ref(now).cast_mut(), SeqCst);
}

fn reset() -> ! {
    // SAFETY: null, or what `reset_by_peer` was given.
    match unsafe { BY_PEER.load(SeqCst).as_ref() } {
        None => psci::system_reset(),
        Some(now) => now.store(true, SeqCst),
    }
    loop {
        arch::spin();
    }
}

fn attack() {
    families::attack(boot::number("family").unwrap_or(0));
    check::end();
}

/// Sleeps until there is a key. An attack may have left the interrupt controller in any state.
fn key() -> u8 {
    arch::irq_disable();
    gic::init_distributor();
    let frame = gic::redistributor() + gic::SGI_FRAME;
    for clear in [gic::ICENABLER, gic::ICPENDR, gic::ICACTIVER] {
        mmio::write32(frame + clear, !0);
        for n in 1..=gic::last_spi_register() {
            mmio::write32(gic::GICD + clear + 4 * n, !0);
        }
    }
    gic::init_cpu();
    irq::unhook();
    irq::restore_handler();
    gic::enable(timer::VIRTUAL_INTID);
    loop {
        if let Some(key) = uart::get() {
            timer::disarm();
            gic::disable(timer::VIRTUAL_INTID);
            return key;
        }
        timer::arm(timer::now() + timer::ms(2));
        arch::wfi();
    }
}

fn look() {
    let (mut checked, mut nonzero, mut first) = (0_u64, 0_u64, 0);
    for range in tools::free_ram() {
        for address in range.step_by(8) {
            // SAFETY: RAM, and aligned.
            let word = unsafe { (address as *const u64).read_volatile() };
            checked += 1;
            if word != 0 {
                nonzero += 1;
                first = if nonzero == 1 { address } else { first };
            }
        }
    }
    println!("ZEROS checked={checked} nonzero={nonzero} first={first:#x}");
}

/// Memory of which nothing is needed any more, the device tree's too.
fn fill() {
    let (ram, image) = (tools::ram(), guest_rt::mmu::layout());
    for range in [ram.start..image.text.start, image.bss.end..ram.end] {
        for address in range.step_by(8) {
            // SAFETY: RAM that this program does not use.
            unsafe { (address as *mut u64).write_volatile(FILL) };
        }
    }
}
