//! Family 29: exceptions at EL1 with SP_EL0, from EL0, with a bad stack pointer, with VBAR_EL1
//! unset or where nothing is. A CPU that can't take its exceptions goes on failing, at its own
//! expense; where EL2 would have to fail it without end its VM is stopped.
//!
//! Five CPUs: four of them go astray, each in its own way, and the first goes on beside them.

use crate::tools::{doom, doomed, saw, survived};
use crate::variant;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering::SeqCst};
use guest_rt::{arch, boot, el0, gic, mmu, msr, psci, smp, timer};
use probes::{align, check, illegal, irq, program, svc, user};

const NOTHING: u64 = 0x0b00_0000;
const UART: u64 = 0x0900_0000;
const GICD: u64 = 0x0800_0000;

/// CPUs that are about to go astray.
static ASTRAY: AtomicU32 = AtomicU32::new(0);

program!(hvc: "hvc #0");
program!(smc: "smc #0");
program!(udf: "udf #7");
program!(brk: "brk #7");
program!(eret: "eret");
program!(wfi_masked: "wfi", "svc #1");
program!(mask: "msr daifset, #15");
program!(spsel: "msr spsel, #0");
program!(read_hcr: "mrs x0, S3_4_C1_C1_0");
program!(tlbi: "tlbi vmalle1");
program!(set_way: "dc isw, x0");
program!(at: "at s1e1r, x0");
program!(far: "movk x0, #0x5aa5, lsl #48", "ldr x1, [x0]");
program!(fetch: "movk x0, #0x5aa5, lsl #48", "br x0");

/// The attack.
pub fn attack() {
    if !doom().is_empty() {
        return end();
    }
    irq::init();
    svc::checks();
    illegal::checks();
    align::checks();
    let programs: [(&str, el0::User); 14] = [
        ("hvc", hvc),
        ("smc", smc),
        ("udf", udf),
        ("brk", brk),
        ("eret", eret),
        ("wfi", wfi_masked),
        ("mask", mask),
        ("spsel", spsel),
        ("hcr", read_hcr),
        ("tlbi", tlbi),
        ("set-way", set_way),
        ("at", at),
        ("far", far),
        ("fetch", fetch),
    ];
    for (name, program) in programs {
        // An interrupt ends WFI.
        gic::enable(timer::VIRTUAL_INTID);
        irq::hook(|_| timer::disarm());
        timer::arm(timer::now() + timer::ms(1));
        let frame = user::run(program, 0);
        timer::disarm();
        irq::unhook();
        let at = frame.elr.wrapping_sub(program as *const () as u64);
        saw(&variant!("vectors.el0-{name}"), format_args!("{:#x} {at:#x}", frame.esr));
    }
    // Not as a reference: on a board they leave QEMU itself no time.
    if boot::has("auto") {
        return check::skipped("vectors.astray", "one CPU says what the others are told");
    }
    let astray: [fn(usize); 4] =
        [stack_unmapped, stack_nowhere, vectors_unmapped, vectors_of_zeros];
    let cpus = boot::cpus();
    for (cpu, astray) in (1..cpus).zip(astray) {
        check::equal(&variant!("vectors.on-{cpu}"), smp::start(cpu, astray), psci::SUCCESS);
    }
    let all = || ASTRAY.load(SeqCst) as usize == cpus - 1;
    check::that("vectors.all-astray", irq::wait_for(20_000, all), "all CPUs there");
    timer::delay_ms(200);
    for cpu in 1..cpus as u64 {
        check::equal(&variant!("vectors.still-on-{cpu}"), psci::affinity_info(cpu), 0);
    }
}

/// Pushes its exceptions onto an address that stage 1 does not map: exceptions without end at EL1.
fn stack_unmapped(_: usize) {
    ASTRAY.fetch_add(1, SeqCst);
    // SAFETY: this CPU does nothing else any more.
    unsafe { asm!("mov sp, {}", "udf #0", in(reg) 0x30_0000_0000_u64, options(noreturn)) }
}

/// Pushes them to where nothing is: exits without end.
fn stack_nowhere(_: usize) {
    ASTRAY.fetch_add(1, SeqCst);
    // SAFETY: as above.
    unsafe { asm!("mov sp, {}", "udf #0", in(reg) NOTHING + 0x1000, options(noreturn)) }
}

/// Has its vectors at an address that stage 1 does not map.
fn vectors_unmapped(_: usize) {
    ASTRAY.fetch_add(1, SeqCst);
    msr!(VBAR_EL1, 0x30_0000_0000);
    arch::isb();
    // SAFETY: as above.
    unsafe { asm!("udf #0", options(noreturn)) }
}

/// Has vectors that are zeros, which are UNDEFINED.
fn vectors_of_zeros(_: usize) {
    ASTRAY.fetch_add(1, SeqCst);
    mmu::map_gib(0x38_0000_0000, 0x4000_0000, mmu::RAM & !mmu::NO_EXECUTE_EL1);
    let free = crate::tools::free_ram()[1].start.next_multiple_of(1 << 12);
    msr!(VBAR_EL1, 0x38_0000_0000 + free % (1 << 30));
    arch::isb();
    // SAFETY: as above.
    unsafe { asm!("udf #0", options(noreturn)) }
}

/// What ends the VM: vectors at an address that EL2 alone can refuse.
fn end() {
    let at = match doom() {
        "vbar-unset" => 0,
        "vbar-uart" => UART,
        "vbar-gicd" => GICD,
        "vbar-nothing" => NOTHING,
        "vbar-behind-ram" => 0x7ff0_0000,
        "vbar-last" => (1 << 40) - 0x800,
        "pc-nothing" => NOTHING,
        _ => return survived("vectors"),
    };
    doomed("vectors");
    // Translation off: IPAs are what the CPU says, and no fault is EL1's own.
    msr!(SCTLR_EL1, mmu::SCTLR & !1);
    msr!(VBAR_EL1, at);
    arch::isb();
    // SAFETY: nothing runs behind it.
    unsafe {
        if doom() == "pc-nothing" {
            asm!("br {}", in(reg) at + 0x400);
        }
        asm!("udf #0");
    }
    msr!(VBAR_EL1, guest_rt::vectors::table());
    msr!(SCTLR_EL1, mmu::SCTLR);
    arch::isb();
    survived("vectors");
}
