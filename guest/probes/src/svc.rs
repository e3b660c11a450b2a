//! SVC: a system call from EL0, or from EL1 to itself, goes to EL1's vectors. A hypervisor never
//! sees it.

use crate::{check, program, user};
use core::arch::asm;
use guest_rt::vectors::{self, Frame, Kind, Source};
use guest_rt::{head, mrs, timer};

program!(call_at_el0: "mov x1, #0x1111", "svc #0x1234");

static mut SEEN: Option<Frame> = None;

fn note(frame: &mut Frame) -> bool {
    // SAFETY: one CPU, and `from_el1` reads it only afterwards.
    unsafe { SEEN = Some(*frame) };
    frame.x[0] += 1;
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
    let frame = user::run(call_at_el0, 77);
    let behind = call_at_el0 as *const () as u64 + 8;
    check::equal(
        "svc.el0",
        (frame.esr, frame.elr, frame.x[0], frame.x[1], frame.source() as u64),
        (0x5600_1234, behind, 77, 0x1111, Source::Lower64 as u64),
    );
    check::equal("svc.el0-spsr", frame.spsr & 0x1f, 0);
    from_el1();
}

fn from_el1() {
    vectors::set_handler(Kind::Synchronous, note);
    let (result, behind): (u64, u64);
    // SAFETY: the handler above changes nothing but x0.
    unsafe {
        asm!("adr {}, 2f", "svc #5", "2:", out(reg) behind, inout("x0") 41_u64 => result);
    }
    // SAFETY: the handler has run.
    let frame = unsafe { SEEN };
    let seen = frame.map(|f| (f.esr, f.elr, f.source() as u64));
    check::equal("svc.el1", seen, Some((0x5600_0005, behind, Source::CurrentSpx as u64)));
    check::equal("svc.el1-result", result, 42);

    let start = timer::now();
    let mut count = 0_u64;
    while count < 10_000 {
        // SAFETY: as above.
        unsafe { asm!("svc #6", inout("x0") count) };
    }
    let elapsed = timer::now() - start;
    guest_rt::println!("INFO svc.10000 took {} us", elapsed * 1_000_000 / timer::frequency());
    check::equal("svc.10000", count, 10_000);
    vectors::clear_handler(Kind::Synchronous);
    check::equal("svc.daif-as-before", mrs!(DAIF), 0x3c0);
}
