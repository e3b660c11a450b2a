//! The price of each primitive, in instructions.
//!
//! Under `-icount shift=0` virtual time advances one nanosecond an instruction, and the counter,
//! at 62.5 MHz, one tick for sixteen. Finer times come from a *ladder*: sixteen reads of the
//! counter, three instructions apart. As 3 and 16 have no common factor, the reads fall on all
//! sixteen phases of a tick, and their sum is the time of the first read in instructions, plus a
//! constant (Hermite's identity: the sum of floor((t + k) / n) for k = 0 … n − 1 is t). So each
//! single operation is measured exactly.
//!
//! An operation is counted from the guest's instruction to the guest's next one, or to the first
//! one in its interrupt vector: guest and hypervisor together, the instruction itself included, so
//! that the bare board shows 1 for each. A line for each:
//!
//! ```text
//! BENCH <operation> samples=… min=… mode=… p99=… max=… mean=…
//! ```
//!
//! all in instructions, but the mean in hundredths of one. `n=N` (default 10,000): how often.
//! `only=<operation>`: that one alone. `after=MS`: begin so much later, when others sleep; so do all
//! CPUs but the first. `later=N` (default 100,000): for how many ticks to sleep. Run beside another busy guest on the same CPU the operation
//! `wfi-timer` has two switches between VMs in it: to the busy one, and back when the timer is due.

use crate::idle;
use core::arch::{asm, global_asm};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use guest_rt::{arch, boot, gic, head, mrs, msr, println, psci, smp, timer, uart, vectors};

/// The most operations that can be measured in a row.
const MAX: usize = 10_000;
static mut SAMPLES: [u32; MAX] = [0; MAX];

/// What the sum of a ladder is too high by: the sum of floor(3 k / 16) for k = 0 … 15, as the
/// reads are spread over three ticks.
const SPREAD: u64 = 15;
/// Instructions of a ladder from its first read to the instruction behind it.
const LADDER: u64 = 16 * 3;

/// Sums sixteen reads of the counter in a register; changes x16.
macro_rules! ladder {
    ($sum:literal) => {
        concat!(
            "mov ",
            $sum,
            ", #0\n",
            ".rept 16\n",
            "mrs x16, CNTVCT_EL0\n",
            "add ",
            $sum,
            ", ",
            $sum,
            ", x16\n",
            "nop\n",
            ".endr\n"
        )
    };
}

/// Instructions behind which the first read of a ladder comes: the `mov`.
const BEFORE_FIRST: u64 = 1;

global_asm!(
    r#"
    // The vectors while an operation is measured that ends in an interrupt. The handler sums a
    // ladder in x20, ends the interrupt, stops the timer, and goes on at x21.
    .section .vectors, "ax"
    .balign 2048
bench_vectors:
    .rept 4
    .balign 128
    b       bench_unexpected
    .endr
    .balign 128
    b       bench_unexpected        // EL1h, synchronous
    .balign 128
    b       bench_interrupt         // EL1h, IRQ
    .balign 128
    b       bench_unexpected
    .balign 128
    b       bench_unexpected
    .balign 2048
bench_unexpected:
    adrp    x16, vectors
    add     x16, x16, :lo12:vectors
    msr     VBAR_EL1, x16
    isb
    brk     #1
bench_interrupt:
    "#,
    ladder!("x20"),
    r#"
    mrs     x16, ICC_IAR1_EL1
    msr     CNTV_CTL_EL0, xzr
    isb
    msr     ICC_EOIR1_EL1, x16
    msr     ELR_EL1, x21
    mrs     x16, SPSR_EL1
    orr     x16, x16, #0x80         // IRQs masked again
    msr     SPSR_EL1, x16
    eret
    "#
);

unsafe extern "C" {
    #[link_name = "bench_vectors"]
    static BENCH_VECTORS: u8;
}

/// Instructions in the vector ahead of the ladder's first read: the branch to the handler and
/// the `mov`.
const IN_VECTOR: u64 = 2;

/// Measures an instruction, from ladder to ladder. x0, x1 and x9 are its operands; it may change
/// what a call may.
macro_rules! instruction {
    ($instruction:literal, $x0:expr, $x1:expr) => {{
        let (first, second): (u64, u64);
        // SAFETY: the operations are calls, reads, and writes that change nothing. All registers
        // that they and the ladders change are named.
        unsafe {
            asm!(ladder!("x21"), $instruction, ladder!("x20"), inout("x0") $x0 => _,
                inout("x1") $x1 => _, out("x20") second, out("x21") first, clobber_abi("C"));
        }
        second - first - LADDER - BEFORE_FIRST
    }};
}

/// Waits in `$wait` for an interrupt after `$instruction`; gives back the time by the first ladder
/// and that by the ladder in the vector.
macro_rules! interrupt {
    ($instruction:literal, $wait:literal, $x1:expr) => {{
        let (first, second): (u64, u64);
        // SAFETY: as above; the handler comes back to label 3, with IRQs masked again.
        unsafe {
            asm!("adr x21, 3f", "msr DAIFClr, #2", ladder!("x22"), $instruction, "2:", $wait,
                "b 2b", "3:", in("x1") $x1, out("x16") _, out("x20") second, out("x21") _,
                out("x22") first);
        }
        (first, second)
    }};
}

/// The software interrupt that the CPU sends to itself.
const SGI: u32 = 1;
/// Ticks ahead at which a timer is set: enough to get to the wait.
const SOON: u64 = 100;
/// The same with time to fall asleep in between.
static LATER: AtomicU64 = AtomicU64::new(100_000);

fn sgi() -> u64 {
    let (first, second) = interrupt!("msr ICC_SGI1R_EL1, x1", "nop", u64::from(SGI) << 24 | 1);
    second - first - LADDER - IN_VECTOR
}

fn due(at: u64, (_, second): (u64, u64)) -> u64 {
    (second - SPREAD - IN_VECTOR).saturating_sub(16 * at)
}

fn timer_due() -> u64 {
    let at = timer::now() + SOON;
    timer::arm(at);
    due(at, interrupt!("nop", "nop", 0_u64))
}

fn wfi_timer() -> u64 {
    let at = timer::now() + LATER.load(Relaxed);
    timer::arm(at);
    due(at, interrupt!("nop", "wfi", 0_u64))
}

/// Frames of memory that nobody has touched yet, from the first behind the image on.
static UNTOUCHED: AtomicU64 = AtomicU64::new(0);
/// Bytes of one: the hypervisor's unit of memory.
const FRAME: u64 = 2 << 20;
/// Where RAM begins on the board.
const RAM: u64 = 0x4000_0000;

unsafe extern "C" {
    #[link_name = "__image_end"]
    static IMAGE_END: u8;
}

fn first_touch() -> u64 {
    let address = UNTOUCHED.fetch_add(FRAME, Relaxed);
    instruction!("str xzr, [x1]", 0_u64, address)
}

/// How many frames there are to touch: by the tree's `/memory`, a base and a size of 64 bits.
fn untouched() -> usize {
    let first = ((&raw const IMAGE_END) as u64).next_multiple_of(FRAME);
    UNTOUCHED.store(first, Relaxed);
    let size = boot::tree().and_then(|tree| {
        let node = tree.child(&[], "memory@", 0)?;
        tree.property(&[node], "reg")?.get(8..16)?.try_into().ok().map(u64::from_be_bytes)
    });
    ((RAM + size.unwrap_or(0)).saturating_sub(first) / FRAME) as usize
}

/// An operation's name and one measurement of it.
type Operation = (&'static str, fn() -> u64);

/// Only where it is asked for, as it takes memory: the first store to each frame.
const TOUCH: &str = "stage2-fault";

const OPERATIONS: [Operation; 14] = [
    ("nothing", || instruction!("", 0_u64, 0_u64)),
    ("hvc-version", || instruction!("hvc #0", 0x8400_0000_u64, 0_u64)),
    ("hvc-unknown", || instruction!("hvc #0", 0x8600_ff00_u64, 0_u64)),
    ("mrs-mdscr", || instruction!("mrs x9, MDSCR_EL1", 0_u64, 0_u64)),
    ("mrs-pfr0", || instruction!("mrs x9, ID_AA64PFR0_EL1", 0_u64, 0_u64)),
    ("gicd-typer", || instruction!("ldr w9, [x1]", 0_u64, gic::GICD_TYPER)),
    ("gicr-typer", || instruction!("ldr x9, [x1]", 0_u64, gic::GICR + gic::GICR_TYPER)),
    ("gicd-isenabler", || instruction!("str wzr, [x1]", 0_u64, gic::GICD + gic::ISENABLER + 4)),
    ("gicd-ldp", || instruction!("ldp w9, w10, [x1]", 0_u64, gic::GICD)),
    ("pl011-fr", || instruction!("ldr w9, [x1]", 0_u64, uart::FR)),
    ("pl011-tx", || instruction!("str w0, [x1]", u64::from(b'.'), uart::DR)),
    ("sgi-self", sgi),
    ("timer-due", timer_due),
    ("wfi-timer", wfi_timer),
];

/// The probe.
pub fn run() {
    head::init();
    gic::init_distributor();
    gic::init_cpu();
    gic::enable(SGI);
    gic::enable(timer::VIRTUAL_INTID);
    msr!(VBAR_EL1, (&raw const BENCH_VECTORS) as u64);
    arch::isb();
    for cpu in 1..boot::cpus() {
        smp::start(cpu, idle::sleep);
    }
    if let Some(ticks) = boot::number("later") {
        LATER.store(ticks, Relaxed);
    }
    if let Some(ms) = boot::number("after") {
        rest(ms);
    }
    let n = boot::number("n").map_or(MAX, |n| n as usize).clamp(1, MAX);
    for (name, measure) in OPERATIONS {
        let wanted = boot::value("only").is_none_or(|only| only == name);
        let by_hvc = psci::conduit() == "hvc" || !name.starts_with("hvc");
        if wanted && by_hvc {
            report(name, measure, n);
        }
    }
    if boot::value("only") == Some(TOUCH) {
        // One is touched ahead of the others.
        match untouched().saturating_sub(1).min(n) {
            0 => println!("BENCH {TOUCH}: wanted two frames of 2 MiB behind the image"),
            frames => report(TOUCH, first_touch, frames),
        }
    }
    vectors::install();
    println!("BENCH end cntvct={}", mrs!(CNTVCT_EL0));
}

/// Sleeps, so that all others get as far as they get.
fn rest(ms: u64) {
    let until = timer::now() + timer::ms(ms);
    timer::arm(until);
    while timer::now() < until {
        arch::wfi();
    }
    timer::disarm();
}

fn report(name: &str, measure: fn() -> u64, n: usize) {
    // SAFETY: one CPU, this is the only reference, and `n` is at most MAX.
    let samples = unsafe { core::slice::from_raw_parts_mut((&raw mut SAMPLES).cast::<u32>(), n) };
    measure(); // the first time fills caches that there may be
    let mut sum = 0;
    for sample in &mut *samples {
        let cost = measure();
        *sample = cost as u32;
        sum += cost;
    }
    samples.sort_unstable();
    println!(
        "BENCH {name} samples={n} min={} mode={} p99={} max={} mean={}",
        samples[0],
        mode(samples),
        samples[n * 99 / 100],
        samples[n - 1],
        sum * 100 / n as u64
    );
}

/// The most frequent of the sorted samples.
fn mode(sorted: &[u32]) -> u32 {
    sorted
        .chunk_by(|a, b| a == b)
        .max_by_key(|run| run.len())
        .and_then(|run| run.first().copied())
        .unwrap_or(0)
}
