//! Family 30: 32-bit code at EL0, whose trapped instructions may be conditional and two bytes long,
//! and exception returns to a 32-bit EL1, which there is not.
//!
//! Each program is entered with x0 = r0 at a register of the UART, and ends by SVC if nothing ends
//! it before. What is told of it is ESR_EL1, how far it came, SPSR_EL1, and r0 to r3.

use crate::f30_code::{A32, T32};
use crate::tools::saw;
use crate::variant;
use core::arch::asm;
use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use guest_rt::vectors::{self, Frame, Kind, Source, expect_fault};
use guest_rt::{arch, el0, gic, mmu, mrs, msr, timer};
use probes::{check, irq, user};

/// Code, as EL0 may execute it below 4 GiB.
#[repr(C, align(64))]
struct Code(UnsafeCell<[u32; 32]>);
// SAFETY: CPU 0 alone uses it.
unsafe impl Sync for Code {}
static CODE: Code = Code(UnsafeCell::new([0; 32]));
const CODE_AT: u64 = 0x8000_0000;
/// Devices, as EL0 sees them there, and a GiB whose table lies where nothing is.
const DEVICES_AT: u64 = 0xc000_0000;
const NO_TABLE_AT: u64 = 0xa000_0000;
const CELL: u64 = DEVICES_AT + 0x0900_0ff0;

/// SPSR_EL1: AArch32 User mode; T32; big-endian data.
const USER32: u64 = 0x10;
const T: u64 = 1 << 5;
const E: u64 = 1 << 9;
const SVC_A32: u32 = 0xef00_0000;
const SVC_T32: u16 = 0xdf00;

static mut LAST: Option<Frame> = None;
static RUNNING: AtomicBool = AtomicBool::new(false);

fn handle(frame: &mut Frame) -> bool {
    if !RUNNING.swap(false, Relaxed) {
        return false;
    }
    // SAFETY: CPU 0 alone runs programs, and waits for their end.
    unsafe { LAST = Some(*frame) };
    el0::leave(frame, 0);
    true
}

/// Runs what is in `CODE` and tells what came of it.
fn run(name: &str, spsr: u64) {
    let code = CODE.0.get() as u64;
    // SAFETY: one's own memory, two lines of it at the most.
    unsafe {
        asm!("dc cvau, {0}", "dc cvau, {1}", "dsb ish", "ic iallu", "dsb ish", "isb",
            in(reg) code, in(reg) code + 64);
    }
    timer::arm(timer::now() + timer::ms(1)); // what WFI waits for
    vectors::set_handler(Kind::Synchronous, handle);
    // SAFETY: no program runs now.
    unsafe { LAST = None };
    RUNNING.store(true, Relaxed);
    let at = CODE_AT + code % (1 << 30);
    // SAFETY: an address, which is only passed on; EL0 can do to this program what it may.
    let entry = unsafe { core::mem::transmute::<usize, el0::User>(at as usize) };
    el0::enter_with(entry, user::stack(), CELL, spsr);
    vectors::clear_handler(Kind::Synchronous);
    timer::disarm();
    arch::irq_disable();
    // SAFETY: as above.
    let Some(frame) = (unsafe { LAST }) else {
        return check::failed(name, "no exception", "one");
    };
    if frame.source() != Source::Lower32 {
        return check::failed(name, format_args!("{:?}", frame.source()), "from AArch32");
    }
    // SS and the GE flags are of no concern.
    let spsr = frame.spsr & 0xfe10_ffff;
    let [r0, r1, r2, r3, ..] = frame.x;
    saw(
        &variant!("aarch32.{name}"),
        format_args!(
            "{:#x} +{:#x} {spsr:#x} {:#x} {r1:#x} {r2:#x} {r3:#x}",
            frame.esr,
            frame.elr.wrapping_sub(at) & 0xffff_ffff,
            r0.wrapping_sub(CELL) & 0xffff_ffff,
        ),
    );
}

/// The attack.
pub fn attack() {
    irq::init();
    illegal_returns();
    // ID_AA64PFR0_EL1.EL0.
    if mrs!(ID_AA64PFR0_EL1) & 0xf != 2 {
        return check::skipped("aarch32", "no AArch32 at EL0");
    }
    gic::enable(timer::VIRTUAL_INTID);
    // One that comes before the WFI, on a slow machine, leaves another to come after it.
    irq::hook(|_| timer::arm(timer::now() + timer::ms(1)));
    mmu::map_gib(
        CODE_AT,
        0x4000_0000,
        mmu::NORMAL | mmu::SHARED | mmu::ACCESSED | mmu::USER | mmu::READ_ONLY,
    );
    mmu::map_gib(DEVICES_AT, 0, mmu::MMIO | mmu::USER);
    mmu::LEVEL1.0[(NO_TABLE_AT >> 30) as usize].load(Relaxed);
    msr!(CPACR_EL1, 3 << 20);
    // CNTKCTL_EL1: EL0 may use counters and timers. SCTLR_EL1: CP15BEN, no ITD, no SED.
    msr!(CNTKCTL_EL1, 0x303);
    let sctlr = mrs!(SCTLR_EL1);
    msr!(SCTLR_EL1, sctlr & !(1 << 7 | 1 << 8) | 1 << 5);
    arch::isb();
    for (name, code) in A32 {
        put_a32(code);
        run(&variant!("a32-{name}"), USER32);
        if name.starts_with("ldr") || name.starts_with("str") {
            run(&variant!("a32-be-{name}"), USER32 | E);
        }
    }
    for (name, code) in T32 {
        for (n, half) in code.iter().chain(&[SVC_T32, 0xe7fe]).enumerate() {
            // SAFETY: within the array.
            unsafe { CODE.0.get().cast::<u16>().add(n).write_volatile(*half) };
        }
        run(&variant!("t32-{name}"), USER32 | T);
    }
    msr!(CNTKCTL_EL1, 0);
    msr!(SCTLR_EL1, sctlr);
    arch::isb();
    irq::unhook();
    check::equal("aarch32.still-el1", arch::current_el(), 1);
}

fn put_a32(code: &[u32]) {
    for (n, word) in code.iter().chain(&[SVC_A32, 0xeaff_fffe]).enumerate() {
        // SAFETY: within the array.
        unsafe { CODE.0.get().cast::<u32>().add(n).write_volatile(*word) };
    }
}

/// To each 32-bit mode but User, at EL1 and above, in both instruction sets.
fn illegal_returns() {
    for mode in [0x11_u64, 0x12, 0x13, 0x16, 0x17, 0x1a, 0x1b, 0x1f, 0x18, 0x14] {
        for thumb in [0, T] {
            let mut at = 0_u64;
            let fault = expect_fault(|| {
                // SAFETY: the return goes to the next instruction but one, which raises the
                // exception and is skipped.
                unsafe {
                    asm!("adr {0}, 2f", "msr ELR_EL1, {0}", "msr SPSR_EL1, {1}", "eret", "2: nop",
                        out(reg) at, in(reg) 0x1c0 | mode | thumb);
                }
            });
            let seen = fault.map(|f| (f.esr, f.elr, f.count));
            let name = variant!("aarch32.return-to-{mode:#x}-{thumb:x}");
            check::equal(&name, (seen, arch::current_el()), (Some((0x3a00_0000, at, 1)), 1));
        }
    }
}
