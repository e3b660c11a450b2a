//! The end: an exception at EL2 itself, or a panic. Prints what a person needs to find the cause,
//! and turns the machine off with a status that says so.

use core::fmt::Write;
use core::sync::atomic::{AtomicU32, Ordering};

use aarch64_cpu::registers::HPFAR_EL2;
use tock_registers::interfaces::Readable;

use super::cache;
use super::layout::{self, EMERGENCY_SIZE, STACK_SIZE};
use super::percpu;
use crate::exit::esr::{Esr, Report};
use crate::platform::console::Emergency;
use crate::platform::power;

/// What vectors.rs stores of the interrupted code.
#[repr(C)]
pub struct FatalFrame {
    x: [u64; 31],
    sp: u64,
    elr: u64,
    spsr: u64,
    esr: u64,
    far: u64,
}

const KINDS: [&str; 4] = ["synchronous exception", "IRQ", "FIQ", "SError"];

/// The pCPU that reports, plus one; 0 before.
static REPORTER: AtomicU32 = AtomicU32::new(0);

/// An exception taken from EL2 to EL2: none is ever expected.
pub extern "C" fn exception(kind: u64, frame: &FatalFrame) -> ! {
    enter();
    let mut out = Emergency::seize();
    let name = KINDS.get(kind as usize & 3).unwrap_or(&"");
    let stack = if kind < 4 { "SP_EL0" } else { "SP_EL2" };
    let _ = writeln!(out, "ERROR: {name} at EL2 itself (from {stack}), on pCPU {}", id());
    if kind & 3 == 0 {
        let esr = Esr::new(frame.esr);
        let report = Report { esr, far: frame.far, hpfar: HPFAR_EL2.get() };
        let _ = writeln!(out, "  ESR_EL2 {:#010x}: {report}", frame.esr);
    }
    let _ = writeln!(out, "  ELR_EL2 {:#018x}  SPSR_EL2 {:#010x}", frame.elr, frame.spsr);
    let _ = writeln!(out, "  FAR_EL2 {:#018x}  SP_EL2   {:#018x}", frame.far, frame.sp);
    if is_guard(frame.far) {
        let _ = writeln!(out, "  the address is in a stack's guard: the stack overflowed");
    }
    for (n, value) in frame.x.iter().enumerate() {
        let end = if n % 3 == 2 || n == 30 { "\n" } else { "" };
        let _ = write!(out, "  x{n:<2} {value:#018x}{end}");
    }
    backtrace(&mut out, frame.elr, frame.x[29]);
    power::off(1);
}

/// A panic: a defect of the hypervisor's own.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    enter();
    let mut out = Emergency::seize();
    let _ = writeln!(out, "ERROR: panic on pCPU {}: {}", id(), info.message());
    if let Some(location) = info.location() {
        let _ = writeln!(out, "  at {location}");
    }
    let fp: u64;
    // SAFETY: reads a general register.
    unsafe { core::arch::asm!("mov {}, x29", out(reg) fp, options(nomem, nostack)) };
    backtrace(&mut out, 0, fp);
    power::off(1);
}

/// The first pCPU to fail reports; another waits until the machine is off, and one that fails in
/// here says no more.
fn enter() {
    let own = id() as u32 + 1;
    match REPORTER.compare_exchange(0, own, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(reporter) if reporter == own => power::off(1),
        Err(_) => loop {
            cache::wfi();
        },
    }
}

fn id() -> usize {
    use aarch64_cpu::registers::TPIDR_EL2;
    if TPIDR_EL2.get() == 0 { 0 } else { percpu::this().id.get() }
}

/// Whether `address` lies among the stacks, but in none: they are all that is mapped there.
fn is_guard(address: u64) -> bool {
    let stacks = layout::STACKS.get();
    let size = layout::MAX_PCPUS as u64 * layout::STACK_SLOT;
    (stacks..stacks + size).contains(&address)
}

/// Return addresses by the chain of frame records (AAPCS64 6.4.6): each is the caller's x29 and
/// x30. `scripts/gdbinit` and `addr2line` turn them into lines.
fn backtrace(out: &mut Emergency, pc: u64, mut fp: u64) {
    let _ = write!(out, "  backtrace:");
    if pc != 0 {
        let _ = write!(out, " {pc:#x}");
    }
    for _ in 0..16 {
        if !on_a_stack(fp) {
            break;
        }
        // SAFETY: `fp` is 16-byte aligned and within memory that is mapped as a stack.
        let (next, lr) = unsafe { ((fp as *const u64).read(), (fp as *const u64).add(1).read()) };
        if lr == 0 {
            break;
        }
        let _ = write!(out, " {:#x}", lr.wrapping_sub(4));
        fp = next;
    }
    let _ = writeln!(out);
}

fn on_a_stack(fp: u64) -> bool {
    unsafe extern "C" {
        static __bss_end: u8;
        static __boot_stack_top: u8;
    }
    if fp & 15 != 0 {
        return false;
    }
    let boot = (&raw const __bss_end) as u64..(&raw const __boot_stack_top) as u64 - 15;
    let (stack, emergency) = super::mmu::stack_tops(id());
    boot.contains(&fp)
        || (stack.get() - STACK_SIZE..stack.get() - 15).contains(&fp)
        || (emergency.get() - EMERGENCY_SIZE..emergency.get() - 15).contains(&fp)
}
