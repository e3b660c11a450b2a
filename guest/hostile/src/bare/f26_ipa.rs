//! Family 26: intermediate physical addresses at the top and beyond the size of stage 2, and all
//! that is not its own: nothing answers there. So no frame can be had by two addresses.

use crate::tools;
use crate::variant;
use guest_rt::vectors::{class, expect_fault};
use guest_rt::{arch, boot, gic, head, mmio, mmu, msr, uart};
use probes::{check, state::mix};

/// Where a GiB of IPAs is looked at.
const WINDOW: u64 = 0x30_0000_0000;
const GIB: u64 = 1 << 30;
/// A word in RAM that no alias may show.
static MARK: u64 = 0x6d61_726b_2e2e_2e2e;
/// The page of stolen time.
const STOLEN_TIME: u64 = 0x090a_0000;
/// Places that are tried at random.
const RANDOM: u64 = 1500;

/// The attack.
pub fn attack() {
    head::init();
    let mark = &raw const MARK as u64;
    // Aliases that differ in one bit, with 40 and with 48 bits of output (TCR_EL1.IPS).
    for (ips, size) in [(2, 40), (5, 48)] {
        msr!(TCR_EL1, mmu::TCR & !(7 << 32) | ips << 32);
        arch::isb();
        for bit in 31..48 {
            let at = mark + (1_u64 << bit);
            mmu::map_gib(WINDOW, at & !(GIB - 1), mmu::MMIO);
            let seen = seen(WINDOW + at % GIB, true);
            tools::saw(&variant!("ipa.bit-{bit}-of-{size}"), format_args!("{seen:#x?}"));
        }
        mmu::map_gib(WINDOW, (1 << size.min(48)) - GIB, mmu::MMIO);
        let last = seen(WINDOW + GIB - 8, true);
        tools::saw(&variant!("ipa.last-of-{size}"), format_args!("{last:#x?}"));
    }
    msr!(TCR_EL1, mmu::TCR);
    arch::isb();
    elsewhere();
    // SAFETY: a constant, read past what the compiler knows of it.
    let mark = unsafe { (&raw const MARK).read_volatile() };
    check::equal("ipa.mark", mark, 0x6d61_726b_2e2e_2e2e);
}

/// The syndromes of a load and a store there, 0 for none.
fn seen(at: u64, write: bool) -> [u64; 2] {
    let load = expect_fault(|| {
        mmio::read64(at as usize);
    });
    let store = if write { expect_fault(|| mmio::write64(at as usize, 0)) } else { None };
    [load, store].map(|fault| fault.map_or(0, |fault| fault.esr))
}

fn is_own(ipa: u64) -> bool {
    let (gicd, gicr) = (gic::GICD as u64, gic::GICR as u64);
    let frames = (boot::cpus() * gic::GICR_STRIDE) as u64;
    tools::ram().contains(&ipa)
        || (gicd..gicd + 0x1_0000).contains(&ipa)
        || (gicr..gicr + frames).contains(&ipa)
        || ipa & !0xfff == uart::BASE as u64
        || ipa & !0xfff == STOLEN_TIME
}

/// Sparsely through all of the space: the first GiB by 64 KiB, RAM's neighbourhood by 2 MiB, the
/// rest at random.
fn elsewhere() {
    let mut found = [0_u64; 3];
    let (mut tried, mut first) = (0_u64, None);
    let mut gib = u64::MAX;
    let low = (0..GIB).step_by(0x1_0000);
    let near = (GIB..6 * GIB).step_by(2 << 20);
    let random = (0..RANDOM).map(|n| (mix(n) % (1 << 40)) & !0xfff);
    for ipa in low.chain(near).chain(random).filter(|ipa| !is_own(*ipa)) {
        if gib != ipa & !(GIB - 1) {
            gib = ipa & !(GIB - 1);
            mmu::map_gib(WINDOW, gib, mmu::RAM);
        }
        let (fault, at) = (&mut None, WINDOW + ipa % GIB);
        *fault = expect_fault(|| {
            mmio::read64(at as usize);
        });
        tried += 1;
        match fault {
            None => found[0] += 1,
            Some(fault) if fault.class() != class::DATA_ABORT => found[1] += 1,
            Some(fault) if fault.esr & 0x3f != 0x10 || fault.far != at => found[2] += 1,
            Some(_) => continue,
        }
        first = first.or(Some(ipa));
    }
    check::equal("ipa.elsewhere-nothing-answers", (found, first), ([0; 3], None));
    check::that("ipa.elsewhere-tried", tried > 15_000, "each of them");
}
