//! The guest `chaos`: runs random instruction streams (`crate::chaos`), from `first=` on, `count=`
//! of them, by `seed=`; with `wild` some are wild.
//!
//! CPU 0 is the supervisor and runs none. `workers=` CPUs run one after the other, each a number that
//! nobody had; `S#n` says that stream `n` begins. A stream ends by its last instruction, by the
//! worker's timer, or by the bound on its exceptions. Where none of these happens the worker is
//! lost, and the next CPU takes its place; one that has turned itself off is started again. After
//! too many losses the supervisor resets the machine. `SUM …` counts; `DONE` is the last line.

use super::caught::{self, Frame};
use crate::chaos::{self, CODE, CODE_STRIDE, END_IMMEDIATE, PARK, Stream, alias};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use guest_rt::vectors::class;
use guest_rt::{arch, boot, gic, head, mmio, mmu, mrs, msr, println, psci, smp, timer, uart};

/// Exceptions of one stream.
const BOUND: u64 = 96;
/// The worker's own timer fires so many milliseconds after a stream's begin, and again: the first
/// times it ends a WFI, the last time the stream.
const TICK: u64 = 3;
const TICKS: u64 = 6;
/// Then the supervisor repairs what may have kept its interrupt away, and then gives it up: after so
/// many milliseconds, times `patience=`, for a busy host's time is not a guest's.
const NUDGE: u64 = 30;
const LOST: u64 = 100;
/// So many workers may be lost in one life.
const MOST_LOST: u64 = 5;
const CPUS: usize = 16;

static SEED: AtomicU64 = AtomicU64::new(0);
static NEXT: AtomicU64 = AtomicU64::new(0);
static STOP: AtomicU64 = AtomicU64::new(0);
static PATIENCE: AtomicU64 = AtomicU64::new(1);

/// How a stream ended.
#[derive(Clone, Copy)]
#[repr(usize)]
enum End {
    /// By its last instruction.
    Last,
    /// By the timer.
    Timer,
    /// By the bound.
    Bound,
    /// Its CPU was turned off.
    Off,
    /// The CPU was not seen again.
    Lost,
}

static ENDS: [AtomicU64; 5] = [const { AtomicU64::new(0) }; 5];
/// Exceptions by class; then IRQ, FIQ, SError.
static CLASSES: [AtomicU64; 67] = [const { AtomicU64::new(0) }; 67];

/// What a worker does.
struct Worker {
    /// Streams begun.
    begun: AtomicU64,
    /// When the last one did.
    since: AtomicU64,
    /// Its exceptions, and those of them by its timer.
    caught: AtomicU64,
    ticks: AtomicU64,
    /// 0 idle, 1 at work, 2 done, 3 lost.
    state: AtomicUsize,
}

static WORKERS: [Worker; CPUS] = [const {
    Worker {
        begun: AtomicU64::new(0),
        since: AtomicU64::new(0),
        caught: AtomicU64::new(0),
        ticks: AtomicU64::new(0),
        state: AtomicUsize::new(0),
    }
}; CPUS];

fn count(counter: &AtomicU64) {
    counter.fetch_add(1, Relaxed);
}

/// The supervisor.
pub fn run() {
    let number = |name| boot::number(name).unwrap_or(0);
    let (seed, first, streams) = (number("seed"), number("first"), number("count").max(1));
    let workers = number("workers").max(1) as usize;
    head::init();
    map();
    gic::init_distributor();
    gic::init_cpu();
    gic::enable(timer::VIRTUAL_INTID);
    park();
    SEED.store(seed, Relaxed);
    PATIENCE.store(number("patience").max(1), Relaxed);
    NEXT.store(first, Relaxed);
    STOP.store(first + streams, Relaxed);
    println!("CHAOS seed={seed} first={first} count={streams}");
    let mut told = first;
    loop {
        if watch(boot::cpus().min(CPUS), workers) == 0 {
            break;
        }
        if NEXT.load(Relaxed) >= told + 32 {
            told = NEXT.load(Relaxed);
            sum();
        }
        if uart::get() == Some(b'o') {
            psci::system_off();
        }
        if ENDS[End::Lost as usize].load(Relaxed) >= MOST_LOST {
            sum();
            println!("RESET");
            psci::system_reset();
        }
        timer::arm(timer::now() + timer::ms(1));
        arch::wfi();
    }
    sum();
    println!("DONE");
}

/// Looks at each worker, starts CPUs so that enough of them work; gives back how many do.
fn watch(cpus: usize, workers: usize) -> usize {
    let mut working = 0;
    for (cpu, worker) in WORKERS.iter().enumerate().take(cpus).skip(1) {
        if worker.state.load(Relaxed) != 1 {
            continue;
        }
        let took = timer::now().wrapping_sub(worker.since.load(Relaxed));
        let patience = PATIENCE.load(Relaxed);
        working += 1;
        if took < timer::ms(NUDGE * patience) || took > 1 << 60 {
            continue;
        }
        // 1 is off.
        if psci::affinity_info(cpu as u64) == 1 {
            count(&ENDS[End::Off as usize]);
            worker.state.store(0, Relaxed);
            working -= 1;
        } else if took < timer::ms(LOST * patience) {
            nudge(cpu);
        } else {
            count(&ENDS[End::Lost as usize]);
            worker.state.store(3, Relaxed);
            println!("LOST cpu={cpu}");
            working -= 1;
        }
    }
    for (cpu, worker) in WORKERS.iter().enumerate().take(cpus).skip(1) {
        let more = NEXT.load(Relaxed) < STOP.load(Relaxed);
        if working < workers && more && worker.state.load(Relaxed) == 0 {
            worker.since.store(timer::now(), Relaxed);
            worker.state.store(1, Relaxed);
            // A stream may have parked it, and it is off again in a moment.
            if smp::start(cpu, work) == psci::SUCCESS {
                working += 1;
            } else {
                worker.state.store(0, Relaxed);
            }
        }
    }
    let more = NEXT.load(Relaxed) < STOP.load(Relaxed);
    let usable = WORKERS.iter().take(cpus).skip(1).any(|one| one.state.load(Relaxed) == 0);
    working + usize::from(more && usable)
}

/// An interrupt that ends its WFI, and its timer's, wherever the stream has left the controller.
fn nudge(cpu: usize) {
    const SGI: u32 = 1;
    mmio::write32(gic::GICD_CTLR, 1 << 4 | 0b11);
    let frame = gic::GICR + cpu * gic::GICR_STRIDE + gic::SGI_FRAME;
    mmio::write32(frame + gic::IGROUPR, !0);
    mmio::write32(frame + gic::IPRIORITYR, 0);
    mmio::write32(frame + gic::ISENABLER, 1 << SGI | 1 << timer::VIRTUAL_INTID);
    mmio::write32(frame + gic::ISPENDR, 1 << SGI);
}

/// What every stream finds mapped beside the identity map.
fn map() {
    use mmu::{ACCESSED, MMIO, NORMAL, RAM, READ_ONLY, SHARED, UNCACHED, USER, map_gib};
    const RAM_BASE: u64 = 1 << 30;
    const NO_EXECUTE: u64 = mmu::NO_EXECUTE_EL0 | mmu::NO_EXECUTE_EL1;
    map_gib(alias::CODE, RAM_BASE, NORMAL | SHARED | ACCESSED | READ_ONLY | USER);
    map_gib(alias::USER, RAM_BASE, RAM | USER);
    map_gib(alias::DEVICES, 0, MMIO | USER);
    map_gib(alias::CACHED, 0, RAM | USER);
    map_gib(alias::TOP, 0xff_c000_0000, RAM | USER);
    map_gib(alias::ABOVE, 2 << 30, RAM | USER);
    map_gib(alias::UNCACHED, RAM_BASE, UNCACHED | ACCESSED | NO_EXECUTE | USER);
}

/// Code that turns its CPU off.
fn park() {
    let code = PARK as *mut u32;
    // MOV w0, #CPU_OFF; HVC; B .
    for (index, word) in
        [0x52b0_8000, 0x7280_0040, 0xd400_0002, 0x1400_0000].into_iter().enumerate()
    {
        // SAFETY: RAM that nothing else uses.
        unsafe { code.add(index).write_volatile(word) };
    }
    publish(PARK, 16);
}

/// Instructions were written: memory has them, and no I-cache has what was there before.
fn publish(start: u64, bytes: u64) {
    for address in (start..start + bytes).step_by(16) {
        // SAFETY: cleaning loses nothing.
        unsafe { asm!("dc cvac, {}", in(reg) address, options(nostack)) };
    }
    // SAFETY: as above.
    unsafe { asm!("dsb sy", "ic ialluis", "dsb sy", "isb", options(nostack)) };
}

fn sum() {
    let of = |end: End| ENDS[end as usize].load(Relaxed);
    println!(
        "SUM ended={} timer={} bound={} off={} lost={}",
        of(End::Last),
        of(End::Timer),
        of(End::Bound),
        of(End::Off),
        of(End::Lost)
    );
    guest_rt::print!("CLASSES");
    for (class, counter) in CLASSES.iter().enumerate() {
        let counter = counter.load(Relaxed);
        if counter != 0 {
            guest_rt::print!(" {class:#x}={counter}");
        }
    }
    println!("");
}

/// A worker: it returns only when there is nothing left to do.
fn work(cpu: usize) {
    let frame = caught::frame(cpu);
    // SAFETY: only this CPU uses its page.
    if next(unsafe { &mut *frame }) {
        // SAFETY: `next` has filled it in.
        unsafe { caught::caught_return(frame) };
    }
}

/// Puts the machine back and takes the next stream; false if there is none.
fn next(frame: &mut Frame) -> bool {
    let cpu = arch::cpu();
    let worker = &WORKERS[cpu];
    tidy();
    let number = NEXT.fetch_add(1, Relaxed);
    if number >= STOP.load(Relaxed) {
        worker.state.store(2, Relaxed);
        return false;
    }
    println!("S#{number}");
    let stream = Stream::new(SEED.load(Relaxed), number, boot::has("wild"));
    let page = CODE + cpu as u64 * CODE_STRIDE;
    let words = stream.words().iter().copied().chain(core::iter::repeat(chaos::END));
    for (index, word) in words.take(CODE_STRIDE as usize / 4).enumerate() {
        // SAFETY: this CPU's page.
        unsafe { (page as *mut u32).add(index).write_volatile(word) };
    }
    publish(page, CODE_STRIDE);
    let start = stream.start;
    let off = if start.mmu { 0 } else { 1 | 1 << 2 | 1 << 12 };
    let code = if start.mmu { alias::CODE + (page & 0x3fff_ffff) } else { page };
    let mut seed = start.registers;
    for x in &mut frame.x {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        *x = if seed >> 62 == 0 { seed >> 40 } else { seed };
    }
    frame.x[29] = code;
    frame.elr = code;
    frame.spsr = start.pstate;
    frame.sctlr = (mmu::SCTLR ^ start.sctlr_flips) & !off;
    let scratch =
        if start.mmu { alias::USER + (chaos::SCRATCH & 0x3fff_ffff) } else { chaos::SCRATCH };
    let stack = scratch + chaos::SCRATCH_SIZE / 2;
    (frame.sp_el0, frame.sp_el1) = (stack, stack);
    worker.caught.store(0, Relaxed);
    worker.ticks.store(0, Relaxed);
    worker.since.store(timer::now(), Relaxed);
    count(&worker.begun);
    timer::arm(timer::now() + timer::ms(TICK));
    true
}

/// What a stream may have changed, as it was.
fn tidy() {
    timer::disarm();
    caught::install();
    msr!(CNTP_CTL_EL0, 0);
    msr!(CNTKCTL_EL1, 3);
    msr!(CPACR_EL1, 3 << 20);
    msr!(OSLAR_EL1, 0);
    msr!(MDSCR_EL1, 0);
    arch::isb();
    msr!(ICC_AP0R0_EL1, 0);
    msr!(ICC_AP1R0_EL1, 0);
    msr!(ICC_IGRPEN0_EL1, 0);
    gic::init_distributor();
    gic::init_cpu();
    for frame in [gic::redistributor() + gic::SGI_FRAME, gic::GICD + 4] {
        mmio::write32(frame + gic::ICPENDR, !0);
        mmio::write32(frame + gic::ICACTIVER, !0);
    }
    gic::enable(timer::VIRTUAL_INTID);
    // The supervisor's own timer.
    let supervisor = gic::GICR + gic::SGI_FRAME;
    mmio::write32(supervisor + gic::IGROUPR, !0);
    mmio::write8(supervisor + gic::IPRIORITYR + timer::VIRTUAL_INTID as usize, gic::PRIORITY);
    mmio::write32(supervisor + gic::ISENABLER, 1 << timer::VIRTUAL_INTID);
    mmio::write32(uart::IMSC, 0);
    mmio::write32(uart::LCR_H, 0x70);
    mmio::write32(uart::CR, 0x301);
}

/// Every exception of a worker.
pub extern "C" fn caught(frame: &mut Frame) {
    let worker = &WORKERS[arch::cpu()];
    count(&worker.caught);
    let end = match frame.vector & 3 {
        0 => synchronous(frame),
        kind => {
            count(&CLASSES[63 + kind as usize]);
            match kind {
                1 => interrupt(worker),
                2 => {
                    let intid = mrs!(ICC_IAR0_EL1);
                    msr!(ICC_EOIR0_EL1, intid);
                    None
                }
                _ => None,
            }
        }
    };
    let many = worker.caught.load(Relaxed) > BOUND;
    let Some(end) = end.or(many.then_some(End::Bound)) else { return };
    count(&ENDS[end as usize]);
    if !next(frame) {
        psci::cpu_off();
    }
}

fn interrupt(worker: &Worker) -> Option<End> {
    let intid = gic::acknowledge();
    if intid == gic::NONE {
        // Of the other group, or gone: it is kept out.
        msr!(ICC_IGRPEN0_EL1, 0);
        return None;
    }
    if intid == timer::VIRTUAL_INTID {
        count(&worker.ticks);
        timer::arm(timer::now() + timer::ms(TICK));
    }
    gic::end(intid);
    (worker.ticks.load(Relaxed) >= TICKS).then_some(End::Timer)
}

/// Goes on behind the instruction.
fn synchronous(frame: &mut Frame) -> Option<End> {
    const IL: u64 = 1 << 20;
    const SS: u64 = 1 << 21;
    const MDE: u64 = 1 << 15 | 1;
    let class = frame.esr >> 26 & 0x3f;
    count(&CLASSES[class as usize]);
    let page = (frame.elr & 0x3fff_ffff) >> 12 == (CODE & 0x3fff_ffff) >> 12 | arch::cpu() as u64;
    match class {
        class::SVC if frame.esr as u16 == END_IMMEDIATE => return Some(End::Last),
        class::SVC => {
            // An odd number: a stream at EL0 goes on at EL1.
            if frame.esr & 1 != 0 && frame.spsr & 0x1f == 0 {
                frame.spsr |= 4;
            }
        }
        // SVC of AArch32, breakpoints, software steps, watchpoints: not again.
        0x11 => {}
        0x30..=0x35 => {
            msr!(MDSCR_EL1, mrs!(MDSCR_EL1) & !MDE);
            frame.spsr &= !SS;
        }
        class::ILLEGAL_STATE => frame.spsr &= !IL,
        // Astray, or by a regime that is put back: where the stream said it would go on.
        0x20..=0x22 | 0x26 => {
            if class != 0x26 || !page {
                frame.elr = frame.x[29];
            }
            frame.sp_el0 &= !15;
            frame.sp_el1 &= !15;
            frame.spsr &= !0x10;
        }
        _ if frame.esr >> 25 & 1 == 0 => frame.elr += 2,
        _ => frame.elr = frame.elr.wrapping_add(4),
    }
    if class == class::FP_ACCESS {
        msr!(CPACR_EL1, 3 << 20);
    }
    None
}
