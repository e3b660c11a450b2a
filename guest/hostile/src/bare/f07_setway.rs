//! Set/way maintenance without end, from every CPU, in all forms: it can't work on CPUs that move,
//! so whoever is below does something else instead, and neither loses data nor the neighbours' time.

use crate::tools::Pattern;
use crate::variant;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, boot, mrs, msr, smp, timer};
use probes::{check, irq, setway};

static STOP: AtomicBool = AtomicBool::new(false);
static OTHERS: AtomicU64 = AtomicU64::new(0);

/// DC ISW, CSW or CISW of a set, way and level that may not exist.
pub fn by_set_way(form: usize, operand: u64) {
    // SAFETY: QEMU and a hypervisor do no harm by it: the data is cleaned, or is in no cache.
    unsafe {
        match form {
            0 => asm!("dc isw, {}", in(reg) operand),
            1 => asm!("dc csw, {}", in(reg) operand),
            _ => asm!("dc cisw, {}", in(reg) operand),
        }
    }
}

/// Without end, until told.
fn other(_: usize) {
    let mut n = 0;
    while !STOP.load(SeqCst) {
        by_set_way(n as usize % 3, n << 6 | (n % 7) << 1);
        n += 1;
    }
    OTHERS.fetch_add(n, SeqCst);
}

/// The attack.
pub fn attack() {
    setway::checks();
    let pattern = Pattern::new(0x4060_0000, 64);
    for cpu in 1..boot::cpus() {
        smp::start(cpu, other);
    }
    for (form, name) in ["isw", "csw", "cisw"].into_iter().enumerate() {
        let (start, mut n) = (timer::now(), 0_u64);
        while timer::now() - start < timer::ms(60) {
            by_set_way(form, n << 6 | (n % 7) << 1);
            n += 1;
        }
        check::that(&variant!("setway.{name}-flood"), n > 100, "more than a hundred");
    }
    for operand in [!0, 1 << 63, 0xffff_ffff, 0xe, 0x8000_0000] {
        (0..3).for_each(|form| by_set_way(form, operand));
    }
    check::passed("setway.no-such-set");
    // Caches off and on, each time with all of memory to be cleaned.
    let sctlr = mrs!(SCTLR_EL1);
    for n in 0..4 {
        by_set_way(2, n);
        msr!(SCTLR_EL1, sctlr & !(1 << 2));
        arch::isb();
        by_set_way(0, n);
        msr!(SCTLR_EL1, sctlr);
        arch::isb();
    }
    check::passed("setway.off-and-on");
    STOP.store(true, SeqCst);
    let ended = |cpu: usize| guest_rt::psci::affinity_info(cpu as u64) == 1;
    let all = irq::wait_for(20_000, || (1..boot::cpus()).all(ended));
    check::that("setway.peers-end", all, "CPUs that go off");
    check::equal("setway.memory-kept", pattern.wrong(), 0);
}
