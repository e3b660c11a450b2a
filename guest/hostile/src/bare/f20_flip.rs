//! Disabling, re-enabling, moving and ending an interrupt while it is active, pending, or both, in
//! every order (XSA-223): none is lost, none is stuck, none comes twice.

use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, gic, mmio, timer};
use probes::state::mix;
use probes::{check, irq};

const SPI: u32 = 44;
const SGI: u32 = 5;
/// A PPI that no device has.
const PPI: u32 = 22;

/// What is done in the handler, and how many more interrupts are to come for it.
static DRAWN: AtomicU64 = AtomicU64::new(0);
static WANTED: AtomicU64 = AtomicU64::new(0);
static TARGET: AtomicU32 = AtomicU32::new(SPI);

fn pend(intid: u32) {
    if intid < 16 {
        gic::send_sgi(intid, 1)
    } else {
        gic::set_bit(gic::ISPENDR, intid)
    }
    arch::dsb();
}

/// In the handler: eight steps, each drawn by three bits.
fn flip(intid: u32) {
    if intid != TARGET.load(SeqCst) {
        return;
    }
    let mut draw = DRAWN.swap(0, SeqCst);
    // Whether it is pending again, by what was done so far.
    let mut again = false;
    for _ in 0..8 {
        match draw & 7 {
            0 => gic::disable(intid),
            1 => gic::set_bit(gic::ISENABLER, intid),
            2 => {
                pend(intid);
                again = true;
            }
            3 => {
                gic::set_bit(gic::ICPENDR, intid);
                again = false;
            }
            4 => gic::set_priority(intid, 0x40 + (draw as u8 & 0x70)),
            5 if intid >= 32 => gic::route(intid, 0),
            6 => {
                // Away and back to itself: the end below is then that of one that is active.
                gic::set_bit(gic::ISACTIVER, intid);
            }
            _ => {
                mmio::read32(gic::redistributor() + gic::SGI_FRAME + gic::ISACTIVER);
            }
        }
        draw >>= 3;
        if draw == 0 {
            break;
        }
    }
    if again {
        WANTED.fetch_add(1, SeqCst);
    }
}

fn rounds(name: &str, intid: u32, rounds: u64) {
    TARGET.store(intid, SeqCst);
    let mut bad = 0;
    for round in 0..rounds {
        gic::enable(intid);
        irq::forget();
        DRAWN.store(mix(round) >> 40, SeqCst);
        WANTED.store(1, SeqCst);
        pend(intid);
        arch::irq_enable();
        let came = irq::wait_for(1000, || {
            // It may have been left disabled.
            gic::set_bit(gic::ISENABLER, intid);
            irq::count() as u64 >= WANTED.load(SeqCst)
        });
        let start = timer::now();
        while timer::now() - start < timer::frequency() / 20_000 {}
        arch::irq_disable();
        let left = gic::bit(gic::ISPENDR, intid) || gic::bit(gic::ISACTIVER, intid);
        if !came || irq::count() as u64 != WANTED.load(SeqCst) || left {
            bad += 1;
            if bad < 12 {
                let (count, wanted) = (irq::count(), WANTED.load(SeqCst));
                let draw = mix(round) >> 40;
                guest_rt::println!(
                    "INFO flip: {name} round {round} {draw:o}: {count} of {wanted}, {left}"
                );
            }
            gic::set_bit(gic::ICPENDR, intid);
            gic::set_bit(gic::ICACTIVER, intid);
        }
    }
    gic::disable(intid);
    check::equal(name, bad, 0);
}

/// The attack.
pub fn attack() {
    probes::uneoi::checks();
    irq::restore_handler();
    irq::hook(flip);
    // Of a level-triggered one, too, ISPENDR is remembered until it is taken.
    rounds("flip.spi-level", SPI, 300);
    rounds("flip.ppi-level", PPI, 300);
    let register = gic::GICD + gic::ICFGR + SPI as usize / 16 * 4;
    mmio::write32(register, mmio::read32(register) | 2 << (SPI % 16 * 2));
    rounds("flip.spi-edge", SPI, 300);
    rounds("flip.sgi", SGI, 300);
    irq::unhook();
}
