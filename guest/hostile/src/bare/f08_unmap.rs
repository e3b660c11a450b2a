//! Maintenance of what is not mapped, or not any more, and maintenance that goes on while the
//! whole memory is taken away: no access afterwards (XSA-393).

use crate::f07_setway::by_set_way;
use crate::tools::{self, doom, doomed, saw, survived};
use crate::variant;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use guest_rt::vectors::expect_fault;
use guest_rt::{boot, mmio, mmu, mrs, psci, smp, timer};
use probes::check;

/// Where this program maps things, a GiB each.
const ALIAS: u64 = 0x10_0000_0000;

static DONE: AtomicU64 = AtomicU64::new(0);

fn clean_for_ever(_: usize) {
    for n in 0.. {
        by_set_way(2, n << 6);
        DONE.store(n, Ordering::SeqCst);
    }
}

macro_rules! maintenance {
    ($($name:literal $instruction:literal),*) => {
        [$(($name, (|address| {
            // SAFETY: maintenance of memory of one's own, or of none.
            unsafe { asm!(concat!($instruction, ", {}"), "dsb sy", "isb", in(reg) address) }
        }) as fn(u64))),*]
    };
}

/// The attack.
pub fn attack() {
    if !doom().is_empty() {
        smp::start(1, clean_for_ever);
        probes::irq::wait_for(1000, || DONE.load(Ordering::SeqCst) > 10);
        doomed("unmap");
        psci::call(psci::SYSTEM_OFF, [0; 3]);
        return survived("unmap");
    }
    let instructions = maintenance!("civac" "dc civac", "cvac" "dc cvac", "ivac" "dc ivac",
        "cvau" "dc cvau", "ivau" "ic ivau", "at" "at s1e1r", "zva" "dc zva");
    let at = ALIAS + 0x80_0000;
    for (place, physical, attributes) in [
        ("ram", 0x4000_0000, mmu::RAM),
        ("device", 0, mmu::MMIO),
        ("hole", 0x30_0000_0000, mmu::RAM),
        ("beyond", 0xff_c000_0000, mmu::RAM),
    ] {
        mmu::map_gib(ALIAS, physical, attributes);
        for (name, maintain) in &instructions {
            // In the page of the UART's identification registers.
            let address = if place == "device" { ALIAS + 0x0900_0fc0 } else { at };
            let mut fault = None;
            // DC ZVA is a store, which devices don't take.
            if *name != "zva" || place == "ram" {
                fault = expect_fault(|| maintain(address));
            }
            saw(&variant!("unmap.{name}-{place}"), format_args!("{:x?}", fault.map(|f| f.esr)));
        }
    }
    mmu::map_gib(ALIAS, 0x4000_0000, mmu::RAM);
    mmio::write64(at as usize, 0x600d);
    for n in 0..1000 {
        by_set_way(n as usize % 3, n << 6);
    }
    check::equal("unmap.mapped", mmio::read64(0x4080_0000), 0x600d);
    mmu::LEVEL1.0[(ALIAS >> 30) as usize].store(0, Ordering::Relaxed);
    mmu::flush();
    for round in 0..4 {
        let read = expect_fault(|| {
            mmio::read64(at as usize);
        });
        // A translation fault of level 1.
        let esr = read.map(|fault| fault.esr);
        check::equal(&variant!("unmap.read-after-{round}"), esr, Some(0x9600_0005));
        let write = expect_fault(|| mmio::write64(at as usize, 0xbad));
        let esr = write.map(|fault| fault.esr);
        check::equal(&variant!("unmap.write-after-{round}"), esr, Some(0x9600_0045));
        tools::pause(round);
        by_set_way(2, round << 6);
    }
    for (name, maintain) in &instructions {
        let fault = expect_fault(|| maintain(at));
        saw(&variant!("unmap.{name}-after"), format_args!("{:x?}", fault.map(|f| f.esr)));
    }
    saw("unmap.par-after", format_args!("{:#x}", mrs!(PAR_EL1) & 0x7f));
    check::equal("unmap.nothing-written", mmio::read64(0x4080_0000), 0x600d);
    // The other goes on while this machine is reset, and its memory with it.
    if boot::cpus() > 1 {
        check::equal("unmap.cleaner-runs", smp::start(1, clean_for_ever), psci::SUCCESS);
        timer::delay_ms(20);
    }
}
