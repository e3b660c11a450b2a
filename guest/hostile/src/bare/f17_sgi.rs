//! SGIs (ICC_SGI1R_EL1, Arm IHI 0069, 12.1.5) with every INTID, target list, range selector,
//! affinity and routing mode: to whom each becomes pending (XSA-117, XSA-225).

use crate::tools::saw;
use crate::variant;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, boot, gic, mmio, msr, psci, smp};
use probes::{check, irq, program, user};

static READY: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicU64 = AtomicU64::new(0);

fn peer(_: usize) {
    gic::init_cpu();
    mmio::write32(gic::redistributor() + gic::SGI_FRAME + gic::ISENABLER, 0xffff);
    READY.fetch_add(1, SeqCst);
    // With interrupts masked it wakes and sleeps again.
    while STOP.load(SeqCst) == 0 {
        arch::wfi();
    }
}

/// For each CPU the SGIs that are pending, which are taken back.
fn pending() -> [u32; 4] {
    arch::dsb();
    core::array::from_fn(|cpu| {
        if cpu >= boot::cpus() {
            return 0;
        }
        let frame = gic::GICR + cpu * gic::GICR_STRIDE + gic::SGI_FRAME;
        let pending = mmio::read32(frame + gic::ISPENDR) & 0xffff;
        mmio::write32(frame + gic::ICPENDR, 0xffff);
        pending
    })
}

fn send(name: &str, value: u64) {
    arch::dsb();
    msr!(ICC_SGI1R_EL1, value);
    arch::isb();
    saw(&variant!("sgi.{name}"), format_args!("{:x?}", pending()));
}

program!(sgi_at_el0: "msr S3_0_C12_C11_5, x0");

/// The attack.
pub fn attack() {
    mmio::write32(gic::redistributor() + gic::SGI_FRAME + gic::ISENABLER, 0xffff);
    for cpu in 1..boot::cpus() {
        check::equal("sgi.peer", smp::start(cpu, peer), psci::SUCCESS);
    }
    let all = irq::wait_for(10_000, || READY.load(SeqCst) as usize == boot::cpus() - 1);
    check::that("sgi.peers", all, "peers that run");
    for intid in 0..16 {
        send(&variant!("intid-{intid}"), intid << 24 | 0b1111);
    }
    for n in 0..16 {
        send(&variant!("list-{n}"), 3 << 24 | 1 << n);
        send(&variant!("range-{n}"), 4 << 24 | n << 44 | 0xffff);
        send(&variant!("irm-range-{n}"), 5 << 24 | 1 << 40 | n << 44);
    }
    for (name, value) in [
        ("list-none", 0),
        ("list-all", 0xffff),
        ("list-past-the-last", 0xfff0),
        ("aff1-1", 1 << 16 | 0xffff),
        ("aff1-255", 0xff << 16 | 0xffff),
        ("aff2-1", 1 << 32 | 0xffff),
        ("aff3-1", 1 << 48 | 0xffff),
        ("aff-ones", 0xff << 48 | 0xff << 32 | 0xff << 16 | 0xffff),
        ("irm", 1 << 40),
        ("irm-list", 1 << 40 | 0xffff),
        ("irm-aff", 1 << 40 | 0xff << 48 | 0xff << 32 | 0xff << 16),
        ("res0-28", 0xf << 28 | 0b11),
        ("res0-41", 7 << 41 | 0b11),
        ("res0-56", 0xff << 56 | 0b11),
    ] {
        send(name, 6 << 24 | value);
    }
    // Of the other groups: these SGIs are in Group 1.
    for (name, group0) in [("asgi1r", false), ("sgi0r", true)] {
        if group0 {
            msr!(ICC_SGI0R_EL1, 7 << 24 | 0b1111);
        } else {
            msr!(ICC_ASGI1R_EL1, 7 << 24 | 0b1111);
        }
        arch::isb();
        saw(&variant!("sgi.{name}"), format_args!("{:x?}", pending()));
    }
    // To one that is off, and to oneself, masked by everything there is.
    for n in 0..400 {
        msr!(ICC_SGI1R_EL1, (n % 16) << 24 | 0xffff);
    }
    saw("sgi.flood", format_args!("{:x?}", pending()));
    check::equal("sgi.taken-back", pending(), [0; 4]);
    saw("sgi.at-el0", format_args!("{:#x}", user::run(sgi_at_el0, 0xf).esr));
    STOP.store(1, SeqCst);
    gic::send_sgi(0, 0b1110);
    let off = |cpu: usize| psci::affinity_info(cpu as u64) == 1;
    irq::wait_for(10_000, || (1..boot::cpus()).all(off));
}
