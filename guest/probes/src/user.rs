//! Running a few instructions at EL0, until any exception takes the CPU back to EL1.

use core::sync::atomic::{AtomicBool, Ordering};
use guest_rt::vectors::{self, Frame, Kind, Source};
use guest_rt::{arch, el0};

#[repr(C, align(16))]
struct Stack([u8; 4096]);

#[unsafe(link_section = ".user")]
static mut STACK: Stack = Stack([0; 4096]);

/// The exception that ended the program.
static mut LAST: Option<Frame> = None;
static RUNNING: AtomicBool = AtomicBool::new(false);

fn handle(frame: &mut Frame) -> bool {
    if frame.source() != Source::Lower64 || !RUNNING.load(Ordering::Relaxed) {
        return false;
    }
    // SAFETY: CPU 0 alone runs programs, one at a time, and waits in `run_with` meanwhile.
    unsafe { LAST = Some(*frame) };
    el0::leave(frame, 0);
    true
}

/// The end of the stack that programs get.
pub fn stack() -> usize {
    (&raw const STACK).addr() + size_of::<Stack>()
}

/// Runs `program` at EL0 and gives back the state at the exception that ended it. With IRQs masked
/// on return, as before. CPU 0 only.
pub fn run(program: el0::User, argument: u64) -> Frame {
    run_with(program, stack(), argument, el0::SPSR_EL0)
}

/// The same with another stack pointer and PSTATE.
pub fn run_with(program: el0::User, stack: usize, argument: u64, spsr: u64) -> Frame {
    vectors::set_handler(Kind::Synchronous, handle);
    RUNNING.store(true, Ordering::Relaxed);
    el0::enter_with(program, stack, argument, spsr);
    RUNNING.store(false, Ordering::Relaxed);
    vectors::clear_handler(Kind::Synchronous);
    arch::irq_disable();
    // SAFETY: as above; the program has ended.
    unsafe { LAST }.expect("an exception ended the program")
}

/// A program at EL0, made of a few lines of assembly. It ends by `svc #0` if nothing ends it
/// before. Its argument is in x0.
#[macro_export]
macro_rules! program {
    ($name:ident: $($line:literal),* $(,)?) => {
        #[unsafe(naked)]
        extern "C" fn $name(_: u64) -> ! {
            core::arch::naked_asm!(".arch_extension fp", ".arch_extension simd", $($line,)* "svc #0", "b .")
        }
    };
}
