//! The kernel's interface: `svc #0` with the number in x8 (arch/arm64's calling convention).

use core::arch::{asm, global_asm};
use core::panic::PanicInfo;

/// System calls that are used (include/uapi/asm-generic/unistd.h).
pub mod number {
    pub const PIPE2: usize = 59;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const EXIT: usize = 93;
    pub const SETITIMER: usize = 103;
    pub const NANOSLEEP: usize = 101;
    pub const CLOCK_GETTIME: usize = 113;
    pub const SCHED_SETAFFINITY: usize = 122;
    pub const SCHED_YIELD: usize = 124;
    pub const KILL: usize = 129;
    pub const RT_SIGACTION: usize = 134;
    pub const GETPID: usize = 172;
    pub const MUNMAP: usize = 215;
    pub const CLONE: usize = 220;
    pub const MMAP: usize = 222;
    pub const MPROTECT: usize = 226;
    pub const WAIT4: usize = 260;
}

// The kernel enters with argc and argv on the stack.
global_asm!(
    ".globl _start",
    "_start:",
    "mov x29, xzr",
    "mov x30, xzr",
    "ldr x0, [sp]",
    "add x1, sp, #8",
    "bl {start}",
    start = sym start,
);

extern "C" fn start(argc: usize, argv: *const *const u8) -> ! {
    let rounds = if argc > 1 {
        // SAFETY: the kernel's argv: `argc` pointers to strings that end in NUL.
        unsafe { parse(*argv.add(1)) }
    } else {
        1
    };
    exit(crate::parts::all(rounds))
}

/// A decimal number that ends at the first other byte.
///
/// # Safety
///
/// `text` must point to a string that ends in NUL.
unsafe fn parse(mut text: *const u8) -> usize {
    let mut number = 0usize;
    loop {
        // SAFETY: not behind the NUL, which is no digit.
        let byte = unsafe { *text };
        if !byte.is_ascii_digit() {
            return number;
        }
        number = number.wrapping_mul(10).wrapping_add(usize::from(byte - b'0'));
        text = text.wrapping_add(1);
    }
}

/// A system call; a negative result is an error's number.
///
/// # Safety
///
/// The arguments must be what this call takes, memory that it reads or writes included.
pub unsafe fn call(number: usize, arguments: [usize; 6]) -> isize {
    let result;
    // SAFETY: the kernel preserves all but x0; the rest is the caller's promise.
    unsafe {
        asm!(
            "svc #0",
            in("x8") number,
            inlateout("x0") arguments[0] => result,
            in("x1") arguments[1],
            in("x2") arguments[2],
            in("x3") arguments[3],
            in("x4") arguments[4],
            in("x5") arguments[5],
            options(nostack),
        );
    }
    result
}

/// Ends the process.
pub fn exit(status: usize) -> ! {
    loop {
        // SAFETY: no memory is involved.
        unsafe { call(number::EXIT, [status, 0, 0, 0, 0, 0]) };
    }
}

/// Writes to the standard output.
pub fn print(text: &str) {
    // SAFETY: a slice's bytes are read.
    unsafe { call(number::WRITE, [1, text.as_ptr() as usize, text.len(), 0, 0, 0]) };
}

#[panic_handler]
fn panic(_: &PanicInfo) -> ! {
    print("STRAIN FAIL: a panic\n");
    exit(101)
}
