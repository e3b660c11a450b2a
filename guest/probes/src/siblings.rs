//! What one CPU sees and changes of the interrupts of another that runs at that moment (Arm IHI
//! 0069): pending and active state, routes, enables, deactivation. Each access holds when its
//! instruction is over, whatever the other CPU does meanwhile.
//!
//! `rounds=N` (default 300): how often two CPUs look at each other's state at the same time.

use crate::{check, irq};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use guest_rt::vectors::{self, Frame, Kind};
use guest_rt::{arch, boot, gic, mmio, mrs, msr, smp};

/// An SPI that no device of the board has, and SGIs.
const SPI: u32 = 40;
const HELD: u32 = 3;
const OTHER: u32 = 4;

/// What CPU 1 is to do next, and what it has done.
static ORDER: AtomicU32 = AtomicU32::new(0);
static DONE: AtomicU32 = AtomicU32::new(u32::MAX);
/// Interrupts let in for a moment.
const LET_IN: u32 = 1;
/// Interrupts let in until one is taken, which is held until the next order.
const HOLD: u32 = 2;
/// As [`HOLD`] with EOImode = 1: the priority is dropped, the interrupt stays active.
const DROP: u32 = 3;
/// Rounds of SGIs to CPU 0, and looks at its state.
const ROUNDS: u32 = 4;
const LEAVE: u32 = 5;

/// In the handler of CPU 1: the interrupt that it holds.
static HOLDING: AtomicU32 = AtomicU32::new(gic::NONE);
static RELEASE: AtomicU32 = AtomicU32::new(0);
/// What went wrong in [`rounds`].
static WRONG: AtomicU64 = AtomicU64::new(0);

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    irq::init();
    if boot::cpus() < 2 {
        return check::skipped("siblings", "it takes two CPUs");
    }
    smp::start(1, sibling);
    check::that("siblings.started", done(0), "a CPU that runs");
    gic::enable(SPI);
    edge(SPI);
    masked();
    active();
    routes();
    disabled();
    deactivated();
    both();
    order(LEAVE);
}

/// The frame of CPU 1's SGIs and PPIs.
fn its(register: usize) -> usize {
    gic::GICR + gic::GICR_STRIDE + gic::SGI_FRAME + register
}

fn its_bit(register: usize, intid: u32) -> bool {
    mmio::read32(its(register)) >> intid & 1 != 0
}

fn edge(intid: u32) {
    let register = gic::GICD + gic::ICFGR + intid as usize / 16 * 4;
    mmio::write32(register, mmio::read32(register) | 2 << (intid % 16 * 2));
}

fn order(what: u32) {
    DONE.store(u32::MAX, SeqCst);
    ORDER.store(what, SeqCst);
}

fn done(what: u32) -> bool {
    // Each look may take as long as a busy host takes to run the other CPU's thread.
    irq::wait_for(60_000, || DONE.load(SeqCst) == what)
}

/// Has CPU 1 let interrupts in for a moment, and tells how many came.
fn let_in() -> usize {
    let before = irq::count_of(1);
    order(LET_IN);
    done(LET_IN);
    irq::count_of(1) - before
}

/// Has CPU 1 take an interrupt and hold it.
fn hold(how: u32, intid: u32) -> bool {
    RELEASE.store(0, SeqCst);
    order(how);
    irq::wait_for(5000, || HOLDING.load(SeqCst) == intid)
}

fn release(how: u32) -> bool {
    HOLDING.store(gic::NONE, SeqCst);
    RELEASE.store(1, SeqCst);
    done(how)
}

fn sibling(_: usize) {
    gic::init_cpu();
    for intid in [HELD, OTHER] {
        gic::enable(intid);
    }
    let mut seen = 0;
    DONE.store(0, SeqCst);
    loop {
        let order = ORDER.load(SeqCst);
        if order != 0 {
            seen = order;
            ORDER.store(0, SeqCst);
        }
        match core::mem::take(&mut seen) {
            LET_IN => irq::let_in(),
            HOLD => held(hold_until_released, 0),
            DROP => held(drop_until_released, 1 << 1),
            ROUNDS => rounds(0),
            LEAVE => return,
            _ => {
                arch::spin();
                continue;
            }
        }
        DONE.store(order, SeqCst);
    }
}

/// Lets one interrupt in under another handler and ICC_CTLR_EL1, until CPU 0 releases it.
fn held(handler: fn(&mut Frame) -> bool, control: u64) {
    msr!(ICC_CTLR_EL1, control);
    arch::isb();
    vectors::set_handler(Kind::Irq, handler);
    arch::irq_enable();
    while RELEASE.load(SeqCst) == 0 {
        arch::spin();
    }
    arch::irq_disable();
    irq::restore_handler();
    msr!(ICC_CTLR_EL1, 0);
    arch::isb();
}

fn hold_until_released(_: &mut Frame) -> bool {
    let intid = gic::acknowledge();
    if intid != gic::NONE {
        irq::note(intid);
        HOLDING.store(intid, SeqCst);
        while RELEASE.load(SeqCst) == 0 {
            arch::spin();
        }
        gic::end(intid);
    }
    true
}

fn drop_until_released(_: &mut Frame) -> bool {
    let intid = gic::acknowledge();
    if intid != gic::NONE {
        irq::note(intid);
        gic::end(intid);
        HOLDING.store(intid, SeqCst);
    }
    true
}

/// It has interrupts masked: what is pending is seen, merges, and can be taken back.
fn masked() {
    gic::send_sgi(HELD, 0b10);
    let seen = irq::wait_for(1000, || its_bit(gic::ISPENDR, HELD));
    check::that("siblings.sgi-is-pending", seen, "pending");
    gic::send_sgi(HELD, 0b10);
    check::that("siblings.not-active", !its_bit(gic::ISACTIVER, HELD), "not active");
    check::equal("siblings.sgis-merge", let_in(), 1);
    check::that("siblings.taken", !its_bit(gic::ISPENDR, HELD), "not pending");
    for _ in 0..2 {
        mmio::write32(its(gic::ISPENDR), 1 << OTHER);
    }
    check::that("siblings.set-pending", its_bit(gic::ISPENDR, OTHER), "pending");
    check::equal("siblings.set-pending-merges", let_in(), 1);
    mmio::write32(its(gic::ISPENDR), 1 << OTHER);
    mmio::write32(its(gic::ICPENDR), 1 << OTHER);
    check::that("siblings.clear-pending", !its_bit(gic::ISPENDR, OTHER), "not pending");
    check::equal("siblings.cleared-does-not-come", let_in(), 0);
}

/// It is in a handler, without an exit.
fn active() {
    gic::send_sgi(HELD, 0b10);
    check::that("siblings.holds", hold(HOLD, HELD), "CPU 1 in its handler");
    let state = (its_bit(gic::ISACTIVER, HELD), its_bit(gic::ISPENDR, HELD));
    check::equal("siblings.active-in-handler", state, (true, false));
    gic::send_sgi(HELD, 0b10);
    let seen = irq::wait_for(1000, || its_bit(gic::ISPENDR, HELD));
    check::that("siblings.active-and-pending", seen && its_bit(gic::ISACTIVER, HELD), "both");
    mmio::write32(its(gic::ICPENDR), 1 << HELD);
    let state = (its_bit(gic::ISACTIVER, HELD), its_bit(gic::ISPENDR, HELD));
    check::equal("siblings.active-only", state, (true, false));
    check::that("siblings.ends", release(HOLD), "CPU 1 out of its handler");
    check::that("siblings.inactive-after-end", !its_bit(gic::ISACTIVER, HELD), "not active");
    check::equal("siblings.nothing-left", let_in(), 0);
    // Made active and inactive from here.
    mmio::write32(its(gic::ISACTIVER), 1 << OTHER);
    check::that("siblings.made-active", its_bit(gic::ISACTIVER, OTHER), "active");
    mmio::write32(its(gic::ISPENDR), 1 << OTHER);
    check::equal("siblings.active-does-not-come", let_in(), 0);
    mmio::write32(its(gic::ICACTIVER), 1 << OTHER);
    check::equal("siblings.inactive-comes", let_in(), 1);
}

/// A pending SPI follows its route, and does not come to both.
fn routes() {
    gic::route(SPI, 1);
    gic::set_bit(gic::ISPENDR, SPI);
    check::that("siblings.spi-pending", gic::bit(gic::ISPENDR, SPI), "pending");
    gic::route(SPI, 0);
    check::equal("siblings.routed-away", let_in(), 0);
    irq::forget();
    irq::let_in();
    check::equal("siblings.routed-here", (irq::count(), irq::nth(0)), (1, SPI));
    // In two halves, the upper of which leads to nobody.
    let router = gic::GICD + 0x6000 + 8 * SPI as usize;
    mmio::write32(router + 4, 1);
    gic::set_bit(gic::ISPENDR, SPI);
    irq::forget();
    irq::let_in();
    check::equal("siblings.routed-to-nobody", irq::count() + let_in(), 0);
    mmio::write32(router, smp::affinity(1) as u32);
    mmio::write32(router + 4, 0);
    check::equal("siblings.routed-in-halves", let_in(), 1);
}

/// What was disabled does not come any more, once the write is over.
fn disabled() {
    gic::set_bit(gic::ISPENDR, SPI);
    mmio::write32(gic::GICD + gic::ICENABLER + SPI as usize / 32 * 4, 1 << (SPI % 32));
    check::equal("siblings.disabled-does-not-come", let_in(), 0);
    check::that("siblings.disabled-is-pending", gic::bit(gic::ISPENDR, SPI), "pending");
    gic::set_bit(gic::ISENABLER, SPI);
    check::equal("siblings.enabled-comes", let_in(), 1);
    mmio::write32(its(gic::ISPENDR), 1 << OTHER);
    mmio::write32(its(gic::ICENABLER), 1 << OTHER);
    check::equal("siblings.disabled-sgi-does-not-come", let_in(), 0);
    mmio::write32(its(gic::ISENABLER), 1 << OTHER);
    check::equal("siblings.enabled-sgi-comes", let_in(), 1);
}

/// An SPI that CPU 1 took and only dropped the priority of: CPU 0 may deactivate it.
fn deactivated() {
    gic::set_bit(gic::ISPENDR, SPI);
    check::that("siblings.drops", hold(DROP, SPI), "CPU 1 has taken it");
    check::that("siblings.dropped-is-active", gic::bit(gic::ISACTIVER, SPI), "active");
    msr!(ICC_CTLR_EL1, 1 << 1); // EOImode
    arch::isb();
    msr!(ICC_DIR_EL1, u64::from(SPI));
    arch::isb();
    msr!(ICC_CTLR_EL1, 0);
    arch::isb();
    check::that("siblings.deactivated", !gic::bit(gic::ISACTIVER, SPI), "not active");
    check::that("siblings.goes-on", release(DROP), "CPU 1 goes on");
    gic::set_bit(gic::ISPENDR, SPI);
    check::equal("siblings.comes-again", let_in(), 1);
    // The same by the register.
    gic::set_bit(gic::ISPENDR, SPI);
    check::that("siblings.drops-again", hold(DROP, SPI), "CPU 1 has taken it");
    gic::set_bit(gic::ICACTIVER, SPI);
    check::that("siblings.cleared", !gic::bit(gic::ISACTIVER, SPI), "not active");
    check::that("siblings.goes-on-again", release(DROP), "CPU 1 goes on");
}

/// Both look at each other all the time, and send each other interrupts.
fn both() {
    gic::enable(OTHER);
    irq::forget();
    let before = irq::count_of(1);
    order(ROUNDS);
    rounds(1);
    check::that("siblings.rounds-end", done(ROUNDS), "no deadlock");
    irq::let_in();
    let_in();
    check::that("siblings.rounds-came", irq::count() > 0 && irq::count_of(1) > before, "both");
    check::equal("siblings.rounds-wrong", WRONG.load(SeqCst), 0);
    let left = |cpu: usize| {
        let frame = gic::GICR + cpu * gic::GICR_STRIDE + gic::SGI_FRAME;
        mmio::read32(frame + gic::ISPENDR) & 0xffff | mmio::read32(frame + gic::ISACTIVER)
    };
    check::equal("siblings.rounds-leave-nothing", (left(0), left(1)), (0, 0));
}

/// Sends SGIs to `peer`, and looks whether they are pending or were taken.
fn rounds(peer: usize) {
    let frame = gic::GICR + peer * gic::GICR_STRIDE + gic::SGI_FRAME;
    for round in 0..boot::number("rounds").unwrap_or(300) {
        let before = irq::count_of(peer);
        // By register: it is pending, or was taken, when the write is over.
        mmio::write32(frame + gic::ISPENDR, 1 << OTHER);
        arch::dsb();
        let state = mmio::read32(frame + gic::ISPENDR) | mmio::read32(frame + gic::ISACTIVER);
        arch::dsb();
        // Between acknowledge and note it is active; between note and end, too.
        let taken = irq::count_of(peer) != before;
        if state >> OTHER & 1 == 0 && !taken {
            WRONG.fetch_add(1, SeqCst);
        }
        if round % 3 == 0 {
            mmio::write32(frame + gic::IPRIORITYR + OTHER as usize, 0xa0a0_a0a0);
        }
        arch::irq_enable();
        arch::spin();
        arch::irq_disable();
    }
    let _ = mrs!(ICC_RPR_EL1);
}
