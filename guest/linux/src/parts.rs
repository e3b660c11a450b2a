//! What is strained.

use crate::linux::{call, exit, number, print};
use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering};

const PAGE: usize = 4096;
const SIGUSR1: usize = 10;
const SIGSEGV: usize = 11;
const SIGALRM: usize = 14;
const SIGCHLD: usize = 17;
const SA_NODEFER: usize = 0x4000_0000;
const CLOCK_MONOTONIC: usize = 1;
/// CPUs that the arithmetic is spread over; those that a guest lacks are passed over.
const CPUS: usize = 8;

type Part = (&'static str, fn(usize) -> bool);

const PARTS: [Part; 6] = [
    ("neon", neon),
    ("fork", fork),
    ("mmap", mmap),
    ("pipe", pipe),
    ("timer", timer),
    ("signal", signal),
];

/// Does everything `rounds` times; returns the status to exit with.
pub fn all(rounds: usize) -> usize {
    let mut status = 0;
    for (name, part) in PARTS {
        let good = part(rounds);
        print(if good { "STRAIN ok: " } else { "STRAIN FAIL: " });
        print(name);
        print("\n");
        status |= usize::from(!good);
    }
    print(if status == 0 { "STRAIN pass\n" } else { "STRAIN FAIL\n" });
    status
}

fn simple(number: usize, arguments: [usize; 6]) -> isize {
    // SAFETY: for calls that touch no memory of ours, and those whose pointers the callers below
    // take from what they own.
    unsafe { call(number, arguments) }
}

/// A child that ends with what `work` returns; its process number.
fn spawn(work: impl FnOnce() -> bool) -> isize {
    match simple(number::CLONE, [SIGCHLD, 0, 0, 0, 0, 0]) {
        0 => exit(usize::from(!work())),
        child => child,
    }
}

/// Whether `child` ended with status 0.
fn ended_well(child: isize) -> bool {
    let mut status = 0u32;
    let at = &raw mut status as usize;
    child > 0
        && simple(number::WAIT4, [child as usize, at, 0, 0, 0, 0]) == child
        && core::hint::black_box(status) == 0
}

/// Vector arithmetic in several processes, which each CPU switches between: all 32 registers and
/// FPCR, FPSR hold what this process put there.
fn neon(rounds: usize) -> bool {
    let child = |seed: usize| {
        spawn(move || {
            let mask = 1usize << (seed % CPUS);
            let at = &raw const mask as usize;
            // A CPU that isn't there: anywhere.
            simple(number::SCHED_SETAFFINITY, [0, size_of::<usize>(), at, 0, 0, 0]);
            (0..rounds * 50).all(|round| {
                let start = (seed * 1_000_003 + round) as u64;
                let sum = vectors(start, 2_000);
                // The same in the general registers: each of 32 × 2 lanes adds its number.
                let wanted = (0..32u64).fold(0u64, |sum, lane| {
                    sum.wrapping_add((start.wrapping_add(lane.wrapping_mul(2_000))).wrapping_mul(2))
                });
                simple(number::SCHED_YIELD, [0; 6]);
                sum == wanted
            })
        })
    };
    let children: [isize; CPUS] = core::array::from_fn(child);
    children.into_iter().fold(true, |good, child| ended_well(child) & good)
}

/// Sets both lanes of v0 to v31 to `start`, adds n to vn `times` times, and returns the sum of all
/// lanes.
fn vectors(start: u64, times: u64) -> u64 {
    let sum: u64;
    macro_rules! each {
        ($($n:literal)*) => {
            // SAFETY: this target's code never uses the vector registers, and nothing is stored.
            unsafe {
                asm!(
                    ".arch_extension simd",
                    $(concat!("dup v", $n, ".2d, {start}"),)*
                    "2:",
                    $(
                        concat!("mov {lane}, #", $n),
                        // No register is free to hold the number for a vector addition, so it
                        // goes through the general ones: lanes out, added, lanes in.
                        concat!("umov {low}, v", $n, ".d[0]"),
                        concat!("umov {high}, v", $n, ".d[1]"),
                        "add {low}, {low}, {lane}",
                        "add {high}, {high}, {lane}",
                        concat!("ins v", $n, ".d[0], {low}"),
                        concat!("ins v", $n, ".d[1], {high}"),
                    )*
                    "subs {times}, {times}, #1",
                    "b.ne 2b",
                    "mov {sum}, #0",
                    $(
                        concat!("addp d", $n, ", v", $n, ".2d"),
                        concat!("fmov {low}, d", $n),
                        "add {sum}, {sum}, {low}",
                    )*
                    start = in(reg) start,
                    times = inout(reg) times => _,
                    sum = out(reg) sum,
                    lane = out(reg) _,
                    low = out(reg) _,
                    high = out(reg) _,
                    options(nostack, nomem),
                );
            }
        };
    }
    each!(0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31);
    sum
}

/// Children of children: address spaces made, copied on write and taken down.
fn fork(rounds: usize) -> bool {
    (0..rounds * 20).all(|round| {
        let mut value = round;
        let child = spawn(|| {
            let grandchild = spawn(|| {
                value ^= 0xff;
                core::hint::black_box(value) == round ^ 0xff
            });
            ended_well(grandchild)
        });
        ended_well(child) && core::hint::black_box(value) == round
    })
}

static FAULTS: AtomicUsize = AtomicUsize::new(0);
static PAGES: AtomicUsize = AtomicUsize::new(0);

/// A write to what was made read-only: counts, and makes it writable again.
extern "C" fn on_fault(_: i32) {
    FAULTS.fetch_add(1, Ordering::Relaxed);
    simple(number::MPROTECT, [PAGES.load(Ordering::Relaxed), 16 * PAGE, 3, 0, 0, 0]);
}

/// Maps, fills, protects and unmaps: the guest's own tables and TLBs.
fn mmap(rounds: usize) -> bool {
    handle(SIGSEGV, on_fault);
    (0..rounds * 20).all(|round| {
        const LENGTH: usize = 16 * PAGE;
        let at = simple(number::MMAP, [0, LENGTH, 3, 0x22, usize::MAX, 0]);
        if at <= 0 {
            return false;
        }
        let at = at as usize;
        PAGES.store(at, Ordering::Relaxed);
        // SAFETY: a mapping of this length, which is nobody else's.
        let words = unsafe { core::slice::from_raw_parts_mut(at as *mut usize, LENGTH / 8) };
        let zero = words.iter().all(|word| *word == 0);
        words.iter_mut().enumerate().for_each(|(index, word)| *word = index ^ round);
        let before = FAULTS.load(Ordering::Relaxed);
        simple(number::MPROTECT, [at, LENGTH, 1, 0, 0, 0]);
        // SAFETY: mapped; the handler makes it writable.
        unsafe { (at as *mut usize).write_volatile(round) };
        let faults = FAULTS.load(Ordering::Relaxed).wrapping_sub(before);
        let kept = words.iter().enumerate().all(|(index, word)| *word == index ^ round);
        simple(number::MUNMAP, [at, LENGTH, 0, 0, 0, 0]);
        zero && kept && faults == 1
    })
}

/// A byte that goes to and fro between two processes, each on a CPU of its own where there are two.
fn pipe(rounds: usize) -> bool {
    let mut ends = [[0u32; 2]; 2];
    for pair in &mut ends {
        if simple(number::PIPE2, [pair.as_mut_ptr() as usize, 0, 0, 0, 0, 0]) != 0 {
            return false;
        }
    }
    let ends = core::hint::black_box(ends);
    let pass = |number: usize, end: u32, byte: &mut u8| {
        simple(number, [end as usize, &raw mut *byte as usize, 1, 0, 0, 0]) == 1
    };
    let count = rounds * 500;
    let child = spawn(|| {
        let mut byte = 0;
        (0..count).all(|_| {
            let heard = pass(number::READ, ends[0][0], &mut byte);
            byte = core::hint::black_box(byte).wrapping_add(1);
            heard && pass(number::WRITE, ends[1][1], &mut byte)
        })
    });
    let mut byte = 0;
    let good = (0..count).all(|round| {
        pass(number::WRITE, ends[0][1], &mut byte)
            && pass(number::READ, ends[1][0], &mut byte)
            && core::hint::black_box(byte) == (round + 1) as u8
    });
    ended_well(child) && good
}

fn now() -> u64 {
    let mut time = [0u64; 2];
    simple(number::CLOCK_GETTIME, [CLOCK_MONOTONIC, time.as_mut_ptr() as usize, 0, 0, 0, 0]);
    let time = core::hint::black_box(time);
    time[0] * 1_000_000_000 + time[1]
}

static ALARMS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_alarm(_: i32) {
    ALARMS.fetch_add(1, Ordering::Relaxed);
}

/// Sleeps are not too short, time does not go back, and an interval timer fires.
fn timer(rounds: usize) -> bool {
    const NAP: u64 = 3_000_000;
    let slept = (0..rounds * 5).all(|_| {
        let before = now();
        let nap = [0u64, NAP];
        simple(number::NANOSLEEP, [nap.as_ptr() as usize, 0, 0, 0, 0, 0]);
        now().wrapping_sub(before) >= NAP
    });
    handle(SIGALRM, on_alarm);
    // Every 10 ms, from 10 ms on.
    let interval = [0u64, 10_000, 0, 10_000];
    simple(number::SETITIMER, [0, interval.as_ptr() as usize, 0, 0, 0, 0]);
    let start = now();
    let mut last = start;
    let mut forwards = true;
    while ALARMS.load(Ordering::Relaxed) < 5 * rounds && last.wrapping_sub(start) < 60_000_000_000 {
        let next = now();
        forwards &= next >= last;
        last = next;
    }
    let none = [0u64; 4];
    simple(number::SETITIMER, [0, none.as_ptr() as usize, 0, 0, 0, 0]);
    slept && forwards && ALARMS.load(Ordering::Relaxed) >= 5 * rounds
}

static SIGNALS: AtomicUsize = AtomicUsize::new(0);

extern "C" fn on_signal(_: i32) {
    SIGNALS.fetch_add(1, Ordering::Relaxed);
}

/// Signals to itself, each taken before kill returns.
fn signal(rounds: usize) -> bool {
    handle(SIGUSR1, on_signal);
    let own = simple(number::GETPID, [0; 6]) as usize;
    (0..rounds * 200).all(|round| {
        simple(number::KILL, [own, SIGUSR1, 0, 0, 0, 0]);
        SIGNALS.load(Ordering::Relaxed) == round + 1
    })
}

/// Sets a handler; the kernel returns from it by its own vdso.
fn handle(signal: usize, handler: extern "C" fn(i32)) {
    let action = [handler as usize, SA_NODEFER, 0, 0];
    simple(number::RT_SIGACTION, [signal, action.as_ptr() as usize, 0, 8, 0, 0]);
}
