//! PSCI (DEN0022) with arguments that are out of range, of the wrong kind, or come too late; and
//! two that end the VM: nobody is left who runs, or who starts has no code.

use crate::tools::{doom, doomed, execute, survived};
use crate::variant;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, boot, psci, smp, uart};
use probes::{check, irq};

const ON: i64 = 0;
const OFF: i64 = 1;
/// CPU_ON and AFFINITY_INFO by 32 bits.
const CPU_ON_32: u32 = 0x8400_0003;
const AFFINITY_INFO_32: u32 = 0x8400_0004;
const RESET2: u32 = 0xc400_0012;

static STOP: AtomicU64 = AtomicU64::new(0);

fn spin(_: usize) {
    while STOP.load(SeqCst) == 0 {
        arch::spin();
    }
}

/// The attack.
pub fn attack() {
    match doom() {
        "last-cpu-off" => {
            doomed("psci");
            psci::cpu_off();
            return survived("psci");
        }
        "start-in-zeros" => {
            doomed("psci");
            psci::cpu_on(1, 0x4070_0000, 0);
            irq::wait_for(5000, || false);
            return survived("psci");
        }
        _ => {}
    }
    targets();
    entries();
    affinity();
    others();
}

fn refused(name: &str, got: i64, wanted: i64) {
    check::equal(name, got, wanted);
    check::equal(&variant!("{name}-stays-off"), psci::affinity_info(1), OFF);
}

fn targets() {
    let entry = smp::entry();
    let cpus = boot::cpus() as u64;
    for (name, mpidr) in [
        ("past-the-last", cpus),
        ("aff0-255", 0xff),
        ("aff1", 0x101),
        ("aff2", 0x1_0001),
        ("aff3", 1 << 32 | 1),
        ("res1-bit-31", 1 << 31 | 1),
        ("mt-bit-24", 1 << 24 | 1),
        ("bit-40", 1 << 40 | 1),
        ("bit-63", 1 << 63 | 1),
        ("ones", !0),
    ] {
        let got = psci::cpu_on(mpidr, entry, 0);
        refused(&variant!("psci.on-{name}"), got, psci::INVALID_PARAMETERS);
    }
    check::equal("psci.on-self", psci::cpu_on(0, entry, 0), psci::ALREADY_ON);
    // By 32 bits the upper halves don't count.
    let got = psci::call(CPU_ON_32, [0xff_0000_0000 | cpus, entry, 0]);
    refused("psci.on-32-past-the-last", got, psci::INVALID_PARAMETERS);
    let got = psci::call(CPU_ON_32, [0xff_0000_0000, entry, 0]);
    refused("psci.on-32-self", got, psci::ALREADY_ON);
}

fn entries() {
    for (name, entry) in [
        ("below-ram", 0x3fff_fffc),
        ("behind-ram", 0x4000_0000 + (16 << 20)),
        ("device", uart::BASE as u64),
        ("nothing", 0x0b00_0000),
        ("zero", 0),
        ("unaligned-1", smp::entry() + 1),
        ("unaligned-2", smp::entry() + 2),
        ("top-bit", 1 << 63 | smp::entry()),
        ("bit-48", 1 << 48 | smp::entry()),
        ("bit-40", 1 << 40 | smp::entry()),
        ("ones", !0),
        ("last-word", !3),
    ] {
        let got = psci::cpu_on(1, entry, 0);
        refused(&variant!("psci.entry-{name}"), got, psci::INVALID_ADDRESS);
    }
}

fn affinity() {
    for (name, mpidr, level, wanted) in [
        ("self", 0, 0, ON),
        ("off", 1, 0, OFF),
        ("cluster", 0, 1, ON),
        ("cluster-junk-below", 0x5a, 1, ON),
        ("all", 0, 3, ON),
        ("level-4", 0, 4, psci::INVALID_PARAMETERS),
        ("level-ones", 0, !0, psci::INVALID_PARAMETERS),
        ("nobody", 99, 0, psci::INVALID_PARAMETERS),
        ("other-cluster", 0x100, 1, psci::INVALID_PARAMETERS),
        ("bit-31", 1 << 31, 0, psci::INVALID_PARAMETERS),
    ] {
        let got = psci::call(psci::AFFINITY_INFO, [mpidr, level, 0]);
        check::equal(&variant!("psci.affinity-{name}"), got, wanted);
    }
    let got = psci::call(AFFINITY_INFO_32, [0xffff_ffff_0000_0001, 0xff_0000_0000, 0]);
    check::equal("psci.affinity-32", got, OFF);
    // On, and off again, and started while it goes off: either answer, but then it runs.
    check::equal("psci.on", smp::start(1, spin), psci::SUCCESS);
    let on = irq::wait_for(5000, || psci::affinity_info(1) == ON);
    check::that("psci.affinity-on", on, "on");
    check::equal("psci.on-running", smp::start(1, spin), psci::ALREADY_ON);
    STOP.store(1, SeqCst);
    let odd = Cell::new(0);
    irq::wait_for(5000, || match smp::start(1, spin) {
        psci::SUCCESS => true,
        psci::ALREADY_ON => false,
        _ => {
            odd.set(odd.get() + 1);
            false
        }
    });
    check::equal("psci.on-in-cpu-off", odd.get(), 0);
    let off = irq::wait_for(5000, || psci::affinity_info(1) == OFF);
    check::that("psci.affinity-off", off, "off");
}

fn others() {
    for (name, function, arguments, wanted) in [
        ("suspend-reserved", psci::CPU_SUSPEND, [1 << 20, 0, 0], psci::INVALID_PARAMETERS),
        ("suspend-level-3", psci::CPU_SUSPEND, [3 << 24, 0, 0], psci::INVALID_PARAMETERS),
        ("suspend-entry", psci::CPU_SUSPEND, [1 << 16, 0x0b00_0000, 0], psci::INVALID_ADDRESS),
        ("reset2-reserved", RESET2, [1, 0, 0], psci::INVALID_PARAMETERS),
        ("reset2-vendor", RESET2, [1 << 31, 0, 0], psci::NOT_SUPPORTED),
        ("migrate", 0xc400_0005, [0; 3], psci::NOT_SUPPORTED),
        ("migrate-up-cpu", 0xc400_0007, [0; 3], psci::NOT_SUPPORTED),
        ("cpu-freeze", 0x8400_000b, [0; 3], psci::NOT_SUPPORTED),
        ("default-suspend", 0xc400_000c, [0; 3], psci::NOT_SUPPORTED),
        ("node-hw-state", 0xc400_000d, [0; 3], psci::NOT_SUPPORTED),
        ("system-suspend", 0xc400_000e, [smp::entry(), 0, 0], psci::NOT_SUPPORTED),
        ("mem-protect", 0x8400_0013, [1, 0, 0], psci::NOT_SUPPORTED),
        ("reserved", 0x8400_001f, [0; 3], psci::NOT_SUPPORTED),
        ("version-by-64", 0xc400_0000, [0; 3], psci::NOT_SUPPORTED),
        ("off-by-64", 0xc400_0008, [0; 3], psci::NOT_SUPPORTED),
    ] {
        check::equal(&variant!("psci.{name}"), psci::call(function, arguments), wanted);
    }
    // FEATURES says 0 of what there is and -1 of the rest, never what it would be to call it.
    let mut odd = 0;
    for id in (0x8400_0000..0x8400_0020_u64).chain(0xc400_0000..0xc400_0020) {
        let (x, _) = execute(&[0xd400_0002], [psci::FEATURES.into(), id, 0, 0]);
        odd += u64::from(x[0] != 0 && x[0] != !0);
    }
    check::equal("psci.features", odd, 0);
}
