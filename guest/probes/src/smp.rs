//! Several CPUs: PSCI CPU_ON, CPU_OFF and AFFINITY_INFO in all their answers, interrupts between
//! CPUs. Uses up to four CPUs. At the end a CPU other than the first switches the machine off,
//! while the first spins.
//!
//! On the bare board starts that race all succeed now and then: QEMU looks at the target before it
//! starts it, without a lock.
//!
//! `cycles=N` (default 50): how often CPU 1 is started and ends. `rounds=N` (default 50): how often
//! one CPU is started by several at once. `strict`: bad entry addresses must be refused (PSCI
//! leaves it open; the board does not look at them).

use crate::{check, irq};
use core::arch::naked_asm;
use core::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering::SeqCst};
use guest_rt::smp::affinity;
use guest_rt::{arch, boot, gic, mmio, msr, psci, smp, timer};

const ON: i64 = 0;
const OFF: i64 = 1;

/// The probe.
pub fn run() {
    checks();
    check::end();
    if boot::cpus() > 1 {
        wait_until_off(1);
        smp::start(1, |_| psci::system_off());
        loop {
            arch::spin();
        }
    }
}

/// Its checks alone.
pub fn checks() {
    irq::init();
    let cpus = boot::cpus().min(4);
    suspend();
    refusals(cpus);
    if cpus > 1 {
        entry_state();
        cycles(boot::number("cycles").unwrap_or(50));
        interrupts(cpus);
    }
    if cpus > 2 {
        race(cpus, boot::number("rounds").unwrap_or(50));
    } else {
        check::skipped("smp.race", "it takes three CPUs");
    }
}

/// CPU_SUSPEND to standby: a WFI by call.
fn suspend() {
    let start = timer::now();
    gic::enable(timer::VIRTUAL_INTID);
    timer::arm(start + timer::ms(10));
    let result = psci::call(psci::CPU_SUSPEND, [0; 3]);
    let slept = (timer::now() - start) / timer::ms(1);
    timer::disarm();
    gic::disable(timer::VIRTUAL_INTID);
    check::equal("smp.suspend", result, psci::SUCCESS);
    check::within("smp.suspend-sleeps-10-ms", slept, 10, 1000);
}

fn refusals(cpus: usize) {
    let entry = smp::entry();
    check::equal("smp.affinity-info-self", psci::affinity_info(affinity(0)), ON);
    for cpu in 1..cpus {
        check::equal("smp.affinity-info-off", psci::affinity_info(affinity(cpu)), OFF);
    }
    check::equal("smp.on-self", psci::cpu_on(affinity(0), entry, 0), psci::ALREADY_ON);
    let is_one = |mpidr: &u64| (0..boot::cpus()).any(|cpu| affinity(cpu) == *mpidr);
    let others = [boot::cpus() as u64, 0xff, 0x100, 0x1_0000, 1 << 32, 0xff_00ff_ffff];
    for mpidr in others.into_iter().filter(|mpidr| !is_one(mpidr)) {
        check::equal("smp.on-nobody", psci::cpu_on(mpidr, entry, 0), psci::INVALID_PARAMETERS);
        check::equal("smp.affinity-nobody", psci::affinity_info(mpidr), psci::INVALID_PARAMETERS);
    }
    if boot::has("strict") && cpus > 1 {
        for entry in [0x0b00_0000, 0x0900_0000, 0x30_0000_0000, !0, entry + 2] {
            let result = psci::cpu_on(affinity(1), entry, 0);
            check::that(
                "smp.on-bad-entry",
                matches!(result, psci::INVALID_ADDRESS | psci::INVALID_PARAMETERS),
                "INVALID_ADDRESS or INVALID_PARAMETERS",
            );
            check::equal("smp.on-bad-entry-stays-off", psci::affinity_info(affinity(1)), OFF);
        }
        nodes(cpus);
    }
}

/// AFFINITY_INFO of the nodes that CPUs form: on where one is, and that is the first alone.
fn nodes(cpus: usize) {
    for (cpu, level) in (0..cpus).flat_map(|cpu| (1..4).map(move |level| (cpu, level))) {
        let below = (1 << (8 * level)) - 1;
        let with_first = (affinity(cpu) ^ affinity(0)) & !below == 0;
        let state = psci::call(psci::AFFINITY_INFO, [affinity(cpu) | below, level, 0]);
        check::equal("smp.affinity-info-node", state, if with_first { ON } else { OFF });
    }
}

/// What [`report_state`] found: x0, SCTLR_EL1, DAIF, CurrentEL, SPSel, MPIDR_EL1, and a mark.
static STATE: [AtomicU64; 7] = [const { AtomicU64::new(0) }; 7];

/// The first instructions of a CPU, before anything was set up: stores its state, ends it.
#[unsafe(naked)]
extern "C" fn report_state() {
    naked_asm!(
        "adrp x1, {state}", "add x1, x1, :lo12:{state}",
        "str x0, [x1]",
        "mrs x2, SCTLR_EL1", "str x2, [x1, #8]",
        "mrs x2, DAIF", "str x2, [x1, #16]",
        "mrs x2, CurrentEL", "str x2, [x1, #24]",
        "mrs x2, SPSel", "str x2, [x1, #32]",
        "mrs x2, MPIDR_EL1", "str x2, [x1, #40]",
        "mov x2, #1", "dsb sy", "str x2, [x1, #48]", "dsb sy",
        "movz x0, #0x8400, lsl #16", "movk x0, #2",
        "hvc #0",
        "b .",
        state = sym STATE,
    )
}

/// A CPU starts as PSCI says (DEN0022, 6.4): MMU and caches off, all masked, x0 the context.
fn entry_state() {
    if psci::conduit() != "hvc" {
        return; // the board under virtualization=on starts it at EL2
    }
    let context = 0x1234_5678_9abc_def0;
    let result = psci::cpu_on(affinity(1), report_state as *const () as u64, context);
    check::equal("smp.on", result, psci::SUCCESS);
    let done = irq::wait_for(1000, || STATE[6].load(SeqCst) == 1);
    check::that("smp.entry-runs", done, "a CPU that runs");
    let state: [u64; 6] = core::array::from_fn(|n| STATE[n].load(SeqCst));
    check::equal("smp.entry-context", state[0], context);
    check::equal("smp.entry-mmu-and-caches-off", state[1] & (1 | 1 << 2 | 1 << 12), 0);
    check::equal("smp.entry-masked", state[2], 0x3c0);
    check::equal("smp.entry-level", (state[3], state[4]), (4, 1));
    check::equal("smp.entry-mpidr", state[5] & 0xff_00ff_ffff, affinity(1));
    wait_until_off(1);
}

fn wait_until_off(cpu: usize) -> bool {
    irq::wait_for(2000, || psci::affinity_info(affinity(cpu)) == OFF)
}

static RUNS: AtomicU64 = AtomicU64::new(0);

fn cycles(cycles: u64) {
    let mut bad = 0;
    for n in 1..=cycles {
        let result = smp::start(1, |_| {
            RUNS.fetch_add(1, SeqCst);
        });
        let ran = irq::wait_for(2000, || RUNS.load(SeqCst) == n);
        if result != psci::SUCCESS || !ran || !wait_until_off(1) {
            bad += 1;
        }
    }
    check::equal("smp.cycles-bad", bad, 0);
    check::equal("smp.cycles", RUNS.load(SeqCst), cycles);
}

/// What the workers are to do next; each round has its number.
static ROUND: AtomicU64 = AtomicU64::new(0);
static FINISHED: AtomicUsize = AtomicUsize::new(0);
/// Counts of the answers SUCCESS, ALREADY_ON, ON_PENDING, and of others.
static ANSWERS: [AtomicI64; 4] = [const { AtomicI64::new(0) }; 4];
static LAST_CPU: AtomicUsize = AtomicUsize::new(0);
static STARTS: AtomicU64 = AtomicU64::new(0);
/// A round that tells the workers to end.
const NO_MORE: u64 = u64::MAX;

fn target(_: usize) {
    STARTS.fetch_add(1, SeqCst);
    // It stays on until the round is over, so that only one start can succeed.
    let round = ROUND.load(SeqCst);
    while FINISHED.load(SeqCst) < LAST_CPU.load(SeqCst) && ROUND.load(SeqCst) == round {
        arch::spin();
    }
}

fn call_once() {
    let target_cpu = LAST_CPU.load(SeqCst);
    let answer = match smp::start(target_cpu, target) {
        psci::SUCCESS => 0,
        psci::ALREADY_ON => 1,
        psci::ON_PENDING => 2,
        _ => 3,
    };
    ANSWERS[answer].fetch_add(1, SeqCst);
    FINISHED.fetch_add(1, SeqCst);
}

fn worker(_: usize) {
    let mut seen = 0;
    loop {
        let round = ROUND.load(SeqCst);
        if round == NO_MORE {
            return;
        }
        if round != seen {
            seen = round;
            call_once();
        }
        arch::spin();
    }
}

/// All CPUs but the last start the last at the same time: exactly one succeeds.
fn race(cpus: usize, rounds: u64) {
    let last = cpus - 1;
    LAST_CPU.store(last, SeqCst);
    for cpu in 1..last {
        wait_until_off(cpu);
        smp::start(cpu, worker);
    }
    let (mut bad, mut others) = (0, 0);
    for round in 1..=rounds {
        ANSWERS.iter().for_each(|count| count.store(0, SeqCst));
        FINISHED.store(0, SeqCst);
        STARTS.store(0, SeqCst);
        ROUND.store(round, SeqCst);
        call_once();
        let done = irq::wait_for(5000, || FINISHED.load(SeqCst) == last);
        let off = wait_until_off(last);
        let answers: [i64; 4] = core::array::from_fn(|n| ANSWERS[n].load(SeqCst));
        if !done || !off || answers[0] != 1 || answers[3] != 0 || STARTS.load(SeqCst) != 1 {
            bad += 1;
            guest_rt::println!(
                "INFO smp.race round={round} answers={answers:?} done={done} off={off}"
            );
        }
        others += answers[1] + answers[2];
    }
    ROUND.store(NO_MORE, SeqCst);
    check::equal("smp.race-bad-rounds", bad, 0);
    check::equal("smp.race-refused", others as u64, rounds * (last as u64 - 1));
    for cpu in 1..last {
        check::that("smp.worker-ends", wait_until_off(cpu), "off within two seconds");
    }
}

static STOP: AtomicU64 = AtomicU64::new(0);
static READY: AtomicU64 = AtomicU64::new(0);

fn listener(cpu: usize) {
    gic::init_cpu();
    gic::enable(1);
    gic::enable(2);
    gic::enable(timer::VIRTUAL_INTID);
    irq::forget();
    READY.fetch_or(1 << cpu, SeqCst);
    arch::irq_enable();
    while STOP.load(SeqCst) == 0 {
        arch::wfi();
    }
    arch::irq_disable();
    msr!(ICC_IGRPEN1_EL1, 0);
}

/// Interrupts from one CPU to others.
fn interrupts(cpus: usize) {
    irq::hook(|intid| {
        if intid == timer::VIRTUAL_INTID {
            timer::disarm();
        }
        if intid == 2 {
            timer::arm(timer::now() + timer::ms(2));
        }
    });
    for cpu in 1..cpus {
        wait_until_off(cpu);
        smp::start(cpu, listener);
        let ready = irq::wait_for(2000, || READY.load(SeqCst) & 1 << cpu != 0);
        check::that("smp.listener", ready, "a CPU that is ready");
    }
    gic::enable(1);
    let mut lost = 0;
    for n in 1..=100 {
        for cpu in 1..cpus {
            gic::send_sgi(1, 1 << cpu);
        }
        for cpu in 1..cpus {
            if !irq::wait_for(2000, || irq::count_of(cpu) == n) {
                lost += 1;
            }
        }
    }
    check::equal("smp.sgi-to-each", lost, 0);

    // To all but the sender.
    irq::forget();
    let before: [usize; 4] = core::array::from_fn(irq::count_of);
    msr!(ICC_SGI1R_EL1, 1 << 24 | 1 << 40);
    arch::isb();
    let all = irq::wait_for(2000, || (1..cpus).all(|cpu| irq::count_of(cpu) == before[cpu] + 1));
    irq::let_in();
    check::that("smp.sgi-to-all-others", all && irq::count() == 0, "all others, not the sender");

    // A shared interrupt goes where its route says.
    let before = irq::count_of(1);
    gic::enable(40);
    mmio::write32(gic::GICD + gic::ICFGR + 40 / 16 * 4, 2 << (40 % 16 * 2));
    gic::route(40, 1);
    gic::set_bit(gic::ISPENDR, 40);
    let came = irq::wait_for(2000, || irq::count_of(1) == before + 1);
    check::that("smp.spi-by-route", came && irq::count() == 0, "an interrupt on CPU 1");
    gic::disable(40);

    // Each CPU has a timer of its own: SGI 2 has it armed, its interrupt comes there.
    let before: [usize; 4] = core::array::from_fn(irq::count_of);
    msr!(ICC_SGI1R_EL1, 2 << 24 | 1 << 40);
    arch::isb();
    let all = irq::wait_for(2000, || (1..cpus).all(|cpu| irq::count_of(cpu) == before[cpu] + 2));
    check::that("smp.timer-of-each", all, "SGI and timer on each CPU");
    irq::unhook();

    STOP.store(1, SeqCst);
    msr!(ICC_SGI1R_EL1, 1 << 24 | 1 << 40);
    arch::isb();
    for cpu in 1..cpus {
        check::that("smp.listener-ends", wait_until_off(cpu), "off within two seconds");
    }
    check::equal("smp.mpidr", arch::affinity(), affinity(0));
    for cpu in 0..cpus {
        let typer = mmio::read64(gic::GICR + cpu * gic::GICR_STRIDE + gic::GICR_TYPER);
        // Affinity_Value has Aff3 beside the others.
        let found = (typer >> 32 & 0xff_ffff) | (typer >> 56 << 32);
        check::equal("smp.redistributor", found, affinity(cpu));
    }
}
