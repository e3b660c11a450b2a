//! Coming up: each step prints what it did.

use crate::{input, irq, sched, shell, tick};
use core::ops::Range;
use guest_rt::{arch, boot, gic, head, mmu, mrs, println, timer, vectors};

/// BenOS from its first line to its last. We are at EL1, with a stack, and nothing else.
pub fn run() {
    println!("Booting at EL {}", head::entry_el());
    if head::entry_el() != arch::current_el() {
        println!("Dropped to EL {}: an OS lives there", arch::current_el());
    }
    println!("Welcome BenOS!");
    println!("device tree at {:#x}, bootargs \"{}\"", boot::tree_address(), boot::args());
    image_layout();

    vectors::install();
    println!("vectors: VBAR_EL1 = {:#x}", mrs!(VBAR_EL1));

    mmu::init();
    println!("mmu: on, with caches; SCTLR_EL1 = {:#x}", mrs!(SCTLR_EL1));

    gic::init_distributor();
    gic::init_cpu();
    irq::init();
    println!(
        "gic: {} interrupts, redistributor at {:#x}",
        32 * (gic::last_spi_register() + 1),
        gic::redistributor()
    );

    tick::start();
    println!("tick: {} Hz from the virtual timer, counter at {} Hz", tick::HZ, timer::frequency());

    input::init();
    sched::init();
    arch::irq_enable();

    sched::two_threads();

    if boot::has("batch") {
        shell::run_script();
    } else {
        shell::run();
    }
}

/// Where the parts of the image lie, and what may be done with them once the MMU is on.
fn image_layout() {
    let part = |name: &str, range: Range<u64>, access: &str| {
        println!("  {name:<7} {:#010x} - {:#010x}  {access}", range.start, range.end);
    };
    let layout = mmu::layout();
    println!("image layout:");
    part(".text", layout.text, "read, execute");
    part(".rodata", layout.rodata, "read");
    part(".data", layout.data, "read, write");
    part(".bss", layout.bss, "read, write");
    part(".user", layout.user, "read, write, also at EL0");
}
