//! The interrupt controller as a guest uses it (Arm IHI 0069): software interrupts, priorities,
//! more pending than a hypervisor has list registers, disabling, active state, both EOI modes.

use crate::{check, irq};
use core::sync::atomic::{AtomicU32, Ordering};
use guest_rt::vectors::{self, Frame, Kind};
use guest_rt::{arch, gic, mmio, mrs, msr};

/// SPIs used here: none of the board's devices has them.
const FIRST: u32 = 34;
/// One of them.
const SPI: u32 = 40;

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    irq::init();
    identification();
    own_sgis();
    sgi_targets();
    many();
    priorities();
    mask_by_priority();
    nesting();
    disabled_while_pending();
    pending_while_active();
    active_by_software();
    eoi_mode_1();
    level_by_register();
    distributor_off();
    active_priorities();
    binary_point();
    registers_at_the_edge();
    check::equal("gic.nothing-left", mrs!(ICC_IAR1_EL1), 1023);
}

/// The SPIs that can be used here: past the UART's, up to what GICD_TYPER allows, 60 at most.
fn spis() -> core::ops::Range<u32> {
    let last = 32 * (gic::last_spi_register() as u32 + 1);
    FIRST..last.min(1020).min(FIRST + 60)
}

/// Makes an interrupt edge-triggered, so that only its pending bit counts.
fn prepare(intid: u32, priority: u8) {
    let register = gic::GICD + gic::ICFGR + intid as usize / 16 * 4;
    let shift = intid % 16 * 2;
    mmio::write32(register, mmio::read32(register) | 2 << shift);
    gic::enable(intid);
    gic::set_priority(intid, priority);
}

/// Disables and clears an interrupt.
fn put_back(intid: u32) {
    gic::disable(intid);
    gic::set_bit(gic::ICPENDR, intid);
    gic::set_bit(gic::ICACTIVER, intid);
}

fn identification() {
    let gicr = gic::redistributor();
    check::equal("gic.distributor-is-v3", mmio::read32(gic::GICD + 0xffe8) >> 4 & 0xf, 3);
    check::equal("gic.redistributor-is-v3", mmio::read32(gicr + 0xffe8) >> 4 & 0xf, 3);
    // GICR_TYPER: affinity in 63:32, processor number in 23:8, Last in bit 4.
    let last_cpu = guest_rt::boot::cpus() as u64 - 1;
    for cpu in [0, last_cpu] {
        let typer = mmio::read64(gic::GICR + cpu as usize * gic::GICR_STRIDE + gic::GICR_TYPER);
        check::equal(
            "gic.typer",
            (typer >> 32, typer >> 8 & 0xffff, typer >> 4 & 1),
            (cpu, cpu, u64::from(cpu == last_cpu)),
        );
    }
    check::equal("gic.typer-in-halves", u64::from(mmio::read32(gicr + gic::GICR_TYPER + 4)), 0);
    check::equal("gic.sre", mrs!(ICC_SRE_EL1) & 1, 1);
    check::equal("gic.no-more-writes-pending", mmio::read32(gic::GICD_CTLR) >> 31, 0);
    check::equal("gic.affinity-routing", mmio::read32(gic::GICD_CTLR) >> 4 & 1, 1);
    mmio::read32(gic::GICD + 0xc); // TYPER2: may read as zero, must not fault
    mmio::read32(gic::GICD + 8); // IIDR
    check::passed("gic.typer2-iidr");
}

fn own_sgis() {
    for sgi in 0..16 {
        gic::enable(sgi);
        gic::send_sgi(sgi, 1);
    }
    let pending = mmio::read32(gic::redistributor() + gic::SGI_FRAME + gic::ISPENDR);
    check::equal("gic.sgis-pending", pending & 0xffff, 0xffff);
    irq::forget();
    irq::let_in();
    let each_once = (0..16).all(|sgi| irq::times(sgi) == 1);
    check::that("gic.sgis-all-16", each_once && irq::count() == 16, "each SGI once");
    // Sent twice before it is taken, an SGI comes once.
    irq::forget();
    gic::send_sgi(3, 1);
    gic::send_sgi(3, 1);
    irq::let_in();
    check::equal("gic.sgi-merges", irq::count(), 1);
    // Sent while active, it comes again.
    irq::forget();
    irq::hook(|intid| {
        if irq::count() == 1 {
            gic::send_sgi(intid, 1);
        }
    });
    gic::send_sgi(4, 1);
    irq::let_in();
    irq::unhook();
    check::equal("gic.sgi-while-active", irq::times(4), 2);
    // Pending set and cleared by the redistributor's registers.
    irq::forget();
    gic::set_bit(gic::ISPENDR, 7);
    gic::set_bit(gic::ISPENDR, 8);
    gic::set_bit(gic::ICPENDR, 8);
    irq::let_in();
    check::equal("gic.sgi-by-ispendr", (irq::count(), irq::nth(0)), (1, 7));
}

/// Targets that are not there, and not oneself.
fn sgi_targets() {
    irq::forget();
    let beyond = guest_rt::boot::cpus() as u32;
    msr!(ICC_SGI1R_EL1, 1 << 24 | 0xffff & !0 << beyond); // CPUs past the last
    if mrs!(ICC_CTLR_EL1) >> 18 & 1 != 0 {
        msr!(ICC_SGI1R_EL1, 1 << 24 | 1 << 44 | 1); // RS = 1: CPU 16, where RSS says RS counts
    }
    msr!(ICC_SGI1R_EL1, 1 << 24 | 1 << 16 | 1); // Aff1 = 1
    msr!(ICC_SGI1R_EL1, 1 << 24 | 1 << 48 | 1); // Aff3 = 1
    msr!(ICC_SGI1R_EL1, 1 << 24 | 1 << 40); // IRM: all but oneself
    msr!(ICC_SGI1R_EL1, 1 << 24); // nobody
    arch::isb();
    irq::let_in();
    check::equal("gic.sgi-to-others-only", irq::count(), 0);
}

fn many() {
    let spis = spis();
    for intid in spis.clone() {
        prepare(intid, gic::PRIORITY);
        gic::set_bit(gic::ISPENDR, intid);
    }
    check::that(
        "gic.many-pending",
        spis.clone().all(|intid| gic::bit(gic::ISPENDR, intid)),
        "all pending",
    );
    irq::forget();
    irq::let_in();
    let wanted = spis.len();
    irq::wait_for(1000, || {
        irq::let_in();
        irq::count() >= wanted
    });
    let each_once = spis.clone().all(|intid| irq::times(intid) == 1);
    check::equal("gic.many-count", irq::count(), wanted);
    check::that("gic.many-each-once", each_once, "each SPI once");
    let in_order = (0..wanted).all(|n| irq::nth(n) == FIRST + n as u32);
    check::that("gic.many-lowest-first", in_order, "equal priorities by INTID");
    let left = spis.clone().any(|i| gic::bit(gic::ISPENDR, i) || gic::bit(gic::ISACTIVER, i));
    check::that("gic.many-none-left", !left, "none pending or active");
    spis.for_each(put_back);
}

/// Pending with different priorities: the most urgent first.
fn priorities() {
    let spis: [u32; 8] = core::array::from_fn(|n| FIRST + n as u32);
    for (n, intid) in spis.into_iter().enumerate() {
        prepare(intid, 0xf0 - 0x10 * (n as u8 * 3 % 8));
        gic::set_bit(gic::ISPENDR, intid);
    }
    irq::forget();
    irq::let_in();
    let seen: [u32; 8] = core::array::from_fn(irq::nth);
    let mut wanted = spis;
    wanted.sort_unstable_by_key(|&intid| 0xf0 - 0x10 * ((intid - FIRST) as u8 * 3 % 8));
    check::equal("gic.priority-order", seen, wanted);
    let hppir = {
        gic::set_bit(gic::ISPENDR, spis[2]);
        gic::set_bit(gic::ISPENDR, spis[5]);
        arch::dsb();
        mrs!(ICC_HPPIR1_EL1) as u32
    };
    let urgent =
        if wanted.iter().position(|&i| i == spis[2]) < wanted.iter().position(|&i| i == spis[5]) {
            spis[2]
        } else {
            spis[5]
        };
    check::equal("gic.highest-pending", hppir, urgent);
    spis.into_iter().for_each(put_back);
}

fn mask_by_priority() {
    prepare(SPI, 0x80);
    irq::forget();
    msr!(ICC_PMR_EL1, 0x80); // lets through what is more urgent than 0x80, not 0x80 itself
    arch::isb();
    gic::set_bit(gic::ISPENDR, SPI);
    irq::let_in();
    check::equal("gic.masked-by-pmr", irq::count(), 0);
    msr!(ICC_PMR_EL1, 0x88);
    arch::isb();
    irq::let_in();
    check::equal("gic.not-masked-by-pmr", irq::count(), 1);
    msr!(ICC_PMR_EL1, 0xff);
    arch::isb();
    put_back(SPI);
}

static RUNNING_PRIORITY: AtomicU32 = AtomicU32::new(0);

/// While a handler runs, only a more urgent interrupt may come between.
fn nesting() {
    const LOW: u32 = FIRST;
    const HIGH: u32 = FIRST + 1;
    const EQUAL: u32 = FIRST + 2;
    prepare(LOW, 0xa0);
    prepare(EQUAL, 0xa0);
    prepare(HIGH, 0x40);
    irq::forget();
    irq::hook(|intid| {
        if intid == LOW {
            gic::set_bit(gic::ISPENDR, EQUAL);
            gic::set_bit(gic::ISPENDR, HIGH);
            // Only what is needed to come back from a nested exception: ELR and SPSR.
            let (elr, spsr) = (mrs!(ELR_EL1), mrs!(SPSR_EL1));
            irq::let_in();
            msr!(ELR_EL1, elr);
            msr!(SPSR_EL1, spsr);
            RUNNING_PRIORITY.store(mrs!(ICC_RPR_EL1) as u32, Ordering::Relaxed);
        }
    });
    gic::set_bit(gic::ISPENDR, LOW);
    irq::let_in();
    irq::unhook();
    check::equal(
        "gic.nesting",
        (irq::count(), irq::nth(0), irq::nth(1), irq::nth(2)),
        (3, LOW, HIGH, EQUAL),
    );
    check::equal("gic.running-priority", RUNNING_PRIORITY.load(Ordering::Relaxed), 0xa0);
    check::equal("gic.idle-priority", mrs!(ICC_RPR_EL1), 0xff);
    [LOW, HIGH, EQUAL].into_iter().for_each(put_back);
}

fn disabled_while_pending() {
    prepare(SPI, gic::PRIORITY);
    irq::forget();
    gic::set_bit(gic::ISPENDR, SPI);
    gic::disable(SPI);
    irq::let_in();
    check::equal("gic.disabled-does-not-come", irq::count(), 0);
    check::that("gic.disabled-stays-pending", gic::bit(gic::ISPENDR, SPI), "pending");
    gic::set_bit(gic::ISENABLER, SPI);
    irq::let_in();
    check::equal("gic.enabled-again-comes", irq::count(), 1);
    gic::disable(SPI);
    gic::set_bit(gic::ISPENDR, SPI);
    gic::set_bit(gic::ICPENDR, SPI);
    gic::set_bit(gic::ISENABLER, SPI);
    irq::let_in();
    check::equal("gic.cleared-does-not-come", irq::count(), 1);
    check::that("gic.reads-enabled", gic::bit(gic::ISENABLER, SPI), "enabled");
    // Disabled while active: it ends like any other.
    irq::hook(gic::disable);
    gic::set_bit(gic::ISPENDR, SPI);
    irq::let_in();
    irq::unhook();
    check::that("gic.disabled-while-active-ends", !gic::bit(gic::ISACTIVER, SPI), "not active");
    put_back(SPI);
    // A group switched off at the CPU interface and on again.
    prepare(SPI, gic::PRIORITY);
    irq::forget();
    msr!(ICC_IGRPEN1_EL1, 0);
    arch::isb();
    gic::set_bit(gic::ISPENDR, SPI);
    irq::let_in();
    check::equal("gic.group-off", irq::count(), 0);
    msr!(ICC_IGRPEN1_EL1, 1);
    arch::isb();
    irq::let_in();
    check::equal("gic.group-on", irq::count(), 1);
    put_back(SPI);
}

static ACTIVE_SEEN: AtomicU32 = AtomicU32::new(0);

fn pending_while_active() {
    prepare(SPI, gic::PRIORITY);
    irq::forget();
    ACTIVE_SEEN.store(0, Ordering::Relaxed);
    irq::hook(|intid| {
        let active = gic::bit(gic::ISACTIVER, intid);
        let pending = gic::bit(gic::ISPENDR, intid);
        ACTIVE_SEEN.store(u32::from(active) << 1 | u32::from(pending), Ordering::Relaxed);
        if irq::count() == 1 {
            gic::set_bit(gic::ISPENDR, intid);
            arch::dsb();
        }
    });
    gic::set_bit(gic::ISPENDR, SPI);
    irq::let_in();
    irq::unhook();
    check::equal("gic.again-after-eoi", irq::count(), 2);
    check::equal("gic.active-and-not-pending-in-handler", ACTIVE_SEEN.load(Ordering::Relaxed), 2);
    check::that("gic.inactive-after-eoi", !gic::bit(gic::ISACTIVER, SPI), "not active");
    put_back(SPI);
}

/// An interrupt that software made active does not come until software makes it inactive.
fn active_by_software() {
    prepare(SPI, gic::PRIORITY);
    irq::forget();
    gic::set_bit(gic::ISACTIVER, SPI);
    gic::set_bit(gic::ISPENDR, SPI);
    irq::let_in();
    check::equal("gic.active-does-not-come", irq::count(), 0);
    gic::set_bit(gic::ICACTIVER, SPI);
    irq::let_in();
    check::equal("gic.inactive-comes", irq::count(), 1);
    put_back(SPI);
}

/// The mode of [`eoi_mode_1`]: the end of an interrupt in two steps.
fn two_steps(_: &mut Frame) -> bool {
    let intid = gic::acknowledge();
    irq::note(intid);
    gic::end(intid); // priority drop only
    true
}

fn eoi_mode_1() {
    prepare(SPI, gic::PRIORITY);
    prepare(SPI + 1, gic::PRIORITY);
    irq::forget();
    vectors::set_handler(Kind::Irq, two_steps);
    msr!(ICC_CTLR_EL1, 1 << 1); // EOImode
    arch::isb();
    gic::set_bit(gic::ISPENDR, SPI);
    irq::let_in();
    check::equal("gic.split-taken", (irq::count(), irq::nth(0)), (1, SPI));
    check::equal("gic.split-priority-dropped", mrs!(ICC_RPR_EL1), 0xff);
    check::that("gic.split-still-active", gic::bit(gic::ISACTIVER, SPI), "active");
    gic::set_bit(gic::ISPENDR, SPI);
    gic::set_bit(gic::ISPENDR, SPI + 1);
    irq::let_in();
    check::equal("gic.split-another-comes", (irq::count(), irq::nth(1)), (2, SPI + 1));
    msr!(ICC_DIR_EL1, u64::from(SPI + 1));
    msr!(ICC_DIR_EL1, u64::from(SPI));
    arch::isb();
    irq::let_in();
    check::equal("gic.split-comes-after-dir", (irq::count(), irq::nth(2)), (3, SPI));
    msr!(ICC_DIR_EL1, u64::from(SPI));
    arch::isb();
    check::that("gic.split-inactive-after-dir", !gic::bit(gic::ISACTIVER, SPI), "not active");
    msr!(ICC_CTLR_EL1, 0);
    arch::isb();
    irq::restore_handler();
    put_back(SPI);
    put_back(SPI + 1);
}

/// A level-triggered interrupt that software has made pending comes once: its line is low.
fn level_by_register() {
    let register = gic::GICD + gic::ICFGR + SPI as usize / 16 * 4;
    mmio::write32(register, mmio::read32(register) & !(2 << (SPI % 16 * 2)));
    gic::enable(SPI);
    irq::forget();
    gic::set_bit(gic::ISPENDR, SPI);
    irq::let_in();
    check::equal("gic.level-by-ispendr", irq::count(), 1);
    gic::set_bit(gic::ISPENDR, SPI);
    gic::set_bit(gic::ICPENDR, SPI);
    irq::let_in();
    check::equal("gic.level-by-icpendr", irq::count(), 1);
    // Active by software, and ended by ICC_DIR_EL1: no acknowledge, no priority to drop.
    msr!(ICC_CTLR_EL1, 1 << 1);
    arch::isb();
    gic::set_bit(gic::ISACTIVER, SPI);
    msr!(ICC_DIR_EL1, u64::from(SPI));
    arch::isb();
    check::that("gic.active-by-software-ends", !gic::bit(gic::ISACTIVER, SPI), "not active");
    msr!(ICC_CTLR_EL1, 0);
    arch::isb();
    put_back(SPI);
}

/// GICD_CTLR forwards nothing while the group is off, and all of it afterwards.
fn distributor_off() {
    prepare(SPI, gic::PRIORITY);
    irq::forget();
    let enabled = mmio::read32(gic::GICD_CTLR);
    mmio::write32(gic::GICD_CTLR, enabled & !2);
    gic::set_bit(gic::ISPENDR, SPI);
    gic::send_sgi(3, 1);
    irq::let_in();
    check::equal("gic.distributor-off", irq::count(), 0);
    check::equal("gic.group-reads-off", mmio::read32(gic::GICD_CTLR), enabled & !2);
    mmio::write32(gic::GICD_CTLR, enabled);
    irq::let_in();
    check::equal("gic.distributor-on", irq::count(), 2);
    put_back(SPI);
}

static ACTIVE_PRIORITIES: AtomicU32 = AtomicU32::new(0);

/// ICC_AP1R0_EL1 has the running priorities: a kernel that saves and restores them finds its
/// place again.
fn active_priorities() {
    prepare(SPI, 0xa0);
    irq::forget();
    irq::hook(|_| {
        let saved = mrs!(ICC_AP1R0_EL1);
        msr!(ICC_AP1R0_EL1, 0);
        arch::isb();
        let idle = mrs!(ICC_RPR_EL1) as u32;
        msr!(ICC_AP1R0_EL1, saved);
        arch::isb();
        let running = mrs!(ICC_RPR_EL1) as u32;
        ACTIVE_PRIORITIES.store(idle << 8 | running, Ordering::Relaxed);
    });
    gic::set_bit(gic::ISPENDR, SPI);
    irq::let_in();
    irq::unhook();
    let seen = ACTIVE_PRIORITIES.load(Ordering::Relaxed);
    check::equal("gic.active-priorities", (seen >> 8, seen & 0xff), (0xff, 0xa0));
    check::equal("gic.active-priorities-end", mrs!(ICC_AP1R0_EL1), 0);
    put_back(SPI);
}

/// ICC_BPR1_EL1: within one group of priorities nothing preempts, but the better one is next.
fn binary_point() {
    const LOW: u32 = FIRST;
    const HIGH: u32 = FIRST + 1;
    for (point, nested) in [(0, true), (6, false)] {
        msr!(ICC_BPR1_EL1, point);
        arch::isb();
        prepare(LOW, 0xb0);
        prepare(HIGH, 0xa0);
        irq::forget();
        irq::hook(|intid| {
            if intid == LOW {
                gic::set_bit(gic::ISPENDR, HIGH);
                let (elr, spsr) = (mrs!(ELR_EL1), mrs!(SPSR_EL1));
                irq::let_in();
                msr!(ELR_EL1, elr);
                msr!(SPSR_EL1, spsr);
                RUNNING_PRIORITY.store(irq::count() as u32, Ordering::Relaxed);
            }
        });
        gic::set_bit(gic::ISPENDR, LOW);
        irq::let_in();
        irq::let_in();
        irq::unhook();
        let during = RUNNING_PRIORITY.load(Ordering::Relaxed);
        let wanted = if nested { 2 } else { 1 };
        check::equal("gic.binary-point", (during, irq::count()), (wanted, 2));
        [LOW, HIGH].into_iter().for_each(put_back);
    }
    msr!(ICC_BPR1_EL1, 0);
    arch::isb();
}

/// Registers of interrupts that don't exist read as zero and ignore writes; nothing faults.
fn registers_at_the_edge() {
    // Not the first register past the last: QEMU has 32 interrupts more than its GICD_TYPER says.
    let beyond = 31;
    if gic::last_spi_register() + 1 < beyond {
        for register in [gic::ISENABLER, gic::ISPENDR, gic::ISACTIVER] {
            let address = gic::GICD + register + 4 * beyond;
            mmio::write32(address, !0);
            check::equal("gic.beyond-the-last", mmio::read32(address), 0);
        }
    }
    // Registers of SGIs and PPIs in the distributor: RES0 with affinity routing.
    mmio::write32(gic::GICD + gic::ISENABLER, !0);
    check::equal("gic.private-in-distributor", mmio::read32(gic::GICD + gic::ISENABLER), 0);
    // Bytes and words of the priorities are the same registers.
    let priorities = gic::GICD + gic::IPRIORITYR;
    mmio::write32(priorities + SPI as usize, 0x8090_a0b0);
    let bytes: [u8; 4] = core::array::from_fn(|n| mmio::read8(priorities + SPI as usize + n));
    check::equal("gic.priority-bytes", bytes, [0xb0, 0xa0, 0x90, 0x80]);
    // The route of an SPI: 64 bits.
    gic::route(SPI, 0);
    let router = gic::GICD + 0x6000 + 8 * SPI as usize;
    check::equal("gic.router", mmio::read64(router), 0);
    mmio::write64(router, 1 << 31);
    check::equal("gic.router-any", mmio::read64(router) & 1 << 31, 1 << 31);
    gic::route(SPI, 0);
    for offset in [0x50, 0xb00, 0xe000, 0xc000] {
        mmio::write32(gic::GICD + offset, !0);
        mmio::read32(gic::GICD + offset);
    }
    check::passed("gic.reserved-offsets");
}
