//! The keyboard: the UART interrupts when bytes have come, and a ring keeps them until the shell
//! takes them.

use crate::sched;
use core::sync::atomic::{AtomicU8, AtomicUsize, Ordering};
use guest_rt::{gic, uart};

/// Bytes that the ring can hold; a power of two.
const SIZE: usize = 64;
static RING: [AtomicU8; SIZE] = [const { AtomicU8::new(0) }; SIZE];
/// How many bytes were ever put in, and taken out.
static HEAD: AtomicUsize = AtomicUsize::new(0);
static TAIL: AtomicUsize = AtomicUsize::new(0);

/// Lets the UART interrupt.
pub fn init() {
    gic::enable(uart::INTID);
    uart::enable_receive_interrupt();
}

/// The UART's interrupt. Its line falls when the receive FIFO is empty.
pub fn handle() {
    while let Some(byte) = uart::get() {
        let head = HEAD.load(Ordering::Relaxed);
        if head.wrapping_sub(TAIL.load(Ordering::Acquire)) < SIZE {
            RING[head % SIZE].store(byte, Ordering::Relaxed);
            HEAD.store(head.wrapping_add(1), Ordering::Release);
        } // else it is lost: nobody reads
    }
}

fn empty() -> bool {
    HEAD.load(Ordering::Acquire) == TAIL.load(Ordering::Relaxed)
}

/// Takes the next byte; waits for it if there is none.
pub fn read() -> u8 {
    sched::wait_until(|| !empty());
    let tail = TAIL.load(Ordering::Relaxed);
    let byte = RING[tail % SIZE].load(Ordering::Relaxed);
    TAIL.store(tail.wrapping_add(1), Ordering::Release);
    byte
}
