//! The keyboard: received by interrupt, answered line by line. `READY` says that it listens; a line
//! is answered by `PONG <line>`; `quit` ends it. A byte that comes without a line's end is echoed
//! at once.

use crate::{check, irq};
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering::SeqCst};
use guest_rt::{arch, gic, print, println, uart};

const SIZE: usize = 256;
static RING: [AtomicU8; SIZE] = [const { AtomicU8::new(0) }; SIZE];
static HEAD: AtomicUsize = AtomicUsize::new(0);

fn receive(intid: u32) {
    if intid != uart::INTID {
        return;
    }
    while let Some(byte) = uart::get() {
        let head = HEAD.load(SeqCst);
        RING[head % SIZE].store(byte, SeqCst);
        HEAD.store(head + 1, SeqCst);
    }
}

/// The probe.
pub fn run() {
    irq::init();
    irq::hook(receive);
    gic::enable(uart::INTID);
    uart::enable_receive_interrupt();
    println!("READY");
    let mut line = [0_u8; 80];
    let (mut length, mut tail) = (0, 0);
    loop {
        // Masked between looking and sleeping, so that no byte slips through.
        arch::irq_disable();
        if HEAD.load(SeqCst) == tail {
            arch::wfi();
            arch::irq_enable();
            arch::isb();
            continue;
        }
        arch::irq_enable();
        let byte = RING[tail % SIZE].load(SeqCst);
        tail += 1;
        if byte != b'\r' && byte != b'\n' {
            print!("{}", byte as char);
            if length < line.len() {
                line[length] = byte;
                length += 1;
            }
            continue;
        }
        let text = core::str::from_utf8(&line[..length]).unwrap_or("");
        println!("\nPONG {text}");
        if text == "quit" {
            break;
        }
        length = 0;
    }
    arch::irq_disable();
    println!("INFO pong bytes={tail} interrupts={}", irq::count());
    check::that("pong.by-interrupt", irq::count() > 0, "interrupts");
    check::end();
}
