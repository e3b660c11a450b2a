//! User programs: EL0, where nothing is allowed, and the system call by which a program asks.

use core::arch::asm;
use guest_rt::vectors::{self, Frame, Kind, Source, class};
use guest_rt::{arch, el0, mmu, mrs, print, println};

/// System call: write x1 bytes of text at x0 to the console; gives back x1.
const SYS_WRITE: u64 = 1;
/// System call: gives back the tick count.
const SYS_TICKS: u64 = 2;
/// System call: end the program with x0 as its result.
const SYS_EXIT: u64 = 3;

/// Result of a system call whose number is unknown or whose arguments are bad.
const BAD_CALL: u64 = u64::MAX;
/// Result of a program that was ended for a fault.
const FAULTED: u64 = u64::MAX;

#[repr(C, align(16))]
struct Stack([u8; 4096]);

/// The program's stack, in the only section that EL0 may write.
#[unsafe(link_section = ".user")]
static mut STACK: Stack = Stack([0; 4096]);

fn run(program: el0::User) -> u64 {
    vectors::set_handler(Kind::Synchronous, handle);
    let stack = (&raw const STACK).addr() + size_of::<Stack>();
    let result = el0::enter(program, stack, 0);
    arch::irq_enable(); // an exception masks them, and it is an exception that we came back by
    vectors::clear_handler(Kind::Synchronous);
    result
}

/// The demonstration.
pub fn demonstrate() {
    println!("svc: going to EL 0");
    let result = run(hello);
    println!("svc: back at EL {}, the program ended with {result}", arch::current_el());
    let result = run(trespasser);
    println!(
        "svc: and a program that touched the kernel's memory {}",
        if result == FAULTED { "was ended" } else { "got away with it: that is a bug" }
    );
}

/// Synchronous exceptions: SVC and faults of EL0 are ours, those of EL1 nobody expects.
fn handle(frame: &mut Frame) -> bool {
    if frame.source() != Source::Lower64 {
        return false;
    }
    if frame.class() == class::SVC {
        // ELR is behind the SVC already: for a system call that is the instruction to go on at.
        system_call(frame);
    } else {
        // ELR is on the instruction that faulted: going on there would fault again.
        println!(
            "  kernel: {} at {:#x}, address {:#x}",
            class::name(frame.class()),
            frame.elr,
            frame.far
        );
        el0::leave(frame, FAULTED);
    }
    true
}

/// The number is in x8, arguments and result in x0 and x1, as on Linux.
fn system_call(frame: &mut Frame) {
    frame.x[0] = match frame.x[8] {
        SYS_WRITE => write(frame.x[0], frame.x[1]),
        SYS_TICKS => crate::tick::count(),
        SYS_EXIT => return el0::leave(frame, frame.x[0]),
        _ => BAD_CALL,
    };
}

/// Never trust a pointer from EL0: it must point to what EL0 itself may read.
fn write(address: u64, length: u64) -> u64 {
    let layout = mmu::layout();
    let readable = [layout.text, layout.rodata, layout.user].into_iter().any(|range| {
        range.contains(&address) && address.checked_add(length).is_some_and(|end| end <= range.end)
    });
    if !readable {
        return BAD_CALL;
    }
    // SAFETY: the range lies within the image's constants or the user section, checked above.
    let bytes = unsafe { core::slice::from_raw_parts(address as *const u8, length as usize) };
    print!("{}", core::str::from_utf8(bytes).unwrap_or("(not text)"));
    length
}

// What follows runs at EL0.

fn call(number: u64, x0: u64, x1: u64) -> u64 {
    let result;
    // SAFETY: the kernel changes nothing but x0.
    unsafe { asm!("svc #0", in("x8") number, inout("x0") x0 => result, in("x1") x1) };
    result
}

fn say(text: &str) {
    call(SYS_WRITE, text.as_ptr() as u64, text.len() as u64);
}

extern "C" fn hello(_: u64) -> ! {
    say("  user: hello from EL 0, printed by a system call\n");
    if call(SYS_TICKS, 0, 0) > 0 && call(99, 0, 0) == BAD_CALL {
        say("  user: the kernel knows the time and refuses call 99\n");
    }
    call(SYS_EXIT, 42, 0);
    unreachable!()
}

extern "C" fn trespasser(_: u64) -> ! {
    let kernel = mmu::layout().bss.start as *const u64;
    // SAFETY: the MMU does not let this program read there: it ends here.
    let secret = unsafe { kernel.read_volatile() };
    call(SYS_EXIT, secret & 1, 0);
    unreachable!()
}

/// Where the exception level of a program is seen: SPSR_EL1 of its system call. From EL0 itself
/// CurrentEL cannot be read.
pub fn show_level() {
    println!(
        "el: CurrentEL = {}, SPSel = {}, DAIF = {:#x}, entered at EL {}",
        arch::current_el(),
        mrs!(SPSel),
        mrs!(DAIF),
        guest_rt::head::entry_el()
    );
}
