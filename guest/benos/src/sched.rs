//! Threads: a table, a round robin, and the switch from one to the other.
//!
//! A thread that does not run is a stack. On top of it lie the registers that a function call must
//! preserve, and the address to go on at; everything else was saved by whoever called [`switch`].

use core::arch::naked_asm;
use core::cell::UnsafeCell;
use guest_rt::{arch, println, timer};

/// Ticks that a thread runs before the next one has its turn.
const SLICE: u64 = 2;
/// The most threads there can be.
const THREADS: usize = 3;
/// The first thread: the one that booted, later the shell.
const MAIN: usize = 0;

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// There is none in this place of the table.
    Free,
    /// It can run, or runs.
    Ready,
    /// Its function has returned.
    Ended,
}

/// A thread.
#[derive(Clone, Copy)]
pub struct Thread {
    /// Its name.
    pub name: &'static str,
    /// What it is doing.
    pub state: State,
    /// How many ticks found it running.
    pub ticks: u64,
    /// Its stack pointer, while it does not run.
    sp: usize,
}

struct Scheduler {
    threads: [Thread; THREADS],
    current: usize,
    slice: u64,
}

/// The scheduler, used by CPU 0 only and only with IRQs masked: so nobody else is in it.
struct Global(UnsafeCell<Scheduler>);
// SAFETY: see above; `with` is the only way to it.
unsafe impl Sync for Global {}

static SCHEDULER: Global = Global(UnsafeCell::new(Scheduler {
    threads: [Thread { name: "", state: State::Free, ticks: 0, sp: 0 }; THREADS],
    current: MAIN,
    slice: SLICE,
}));

fn with<R>(f: impl FnOnce(&mut Scheduler) -> R) -> R {
    // SAFETY: IRQs are masked and `f` does not call `with` again, so this is the only reference.
    arch::without_irqs(|| f(unsafe { &mut *SCHEDULER.0.get() }))
}

const STACK_SIZE: usize = 16 * 1024;

#[repr(C, align(16))]
struct Stacks([[u8; STACK_SIZE]; THREADS]);
static mut STACKS: Stacks = Stacks([[0; STACK_SIZE]; THREADS]);

/// Makes the running code the first thread.
pub fn init() {
    with(|s| {
        s.threads[MAIN] = Thread { name: "shell", state: State::Ready, ticks: 0, sp: 0 };
    });
}

/// Makes a thread in place `index` of the table; it runs `entry` when its turn comes.
fn spawn(index: usize, name: &'static str, entry: fn()) {
    // A new thread looks like one that was switched away from: `switch` will take these twelve
    // registers x19 to x30 from its stack, and return to x30.
    let mut saved = [0; 12];
    saved[0] = entry as *const () as usize; // x19
    saved[11] = start as *const () as usize; // x30
    let top = (&raw const STACKS).addr() + (index + 1) * STACK_SIZE;
    let sp = top - size_of_val(&saved);
    // SAFETY: the stack belongs to a thread that has ended or never was, and `sp` is in it.
    unsafe { (sp as *mut [usize; 12]).write(saved) };
    with(|s| s.threads[index] = Thread { name, state: State::Ready, ticks: 0, sp });
}

/// Where a new thread starts: x19 is its function. It was switched to with IRQs masked.
#[unsafe(naked)]
extern "C" fn start() {
    naked_asm!("msr daifclr, #2", "blr x19", "b {exit}", exit = sym exit)
}

/// Where a thread goes when its function returns.
extern "C" fn exit() -> ! {
    arch::irq_disable();
    with(|s| s.threads[s.current].state = State::Ended);
    schedule();
    unreachable!("an ended thread was switched to");
}

/// Saves the caller's registers on its stack and its stack pointer in `*from`, and goes on with
/// the thread whose stack pointer is `to`. It returns when somebody switches back.
#[unsafe(naked)]
extern "C" fn switch(from: *mut usize, to: usize) {
    naked_asm!(
        "stp x19, x20, [sp, #-96]!",
        "stp x21, x22, [sp, #16]",
        "stp x23, x24, [sp, #32]",
        "stp x25, x26, [sp, #48]",
        "stp x27, x28, [sp, #64]",
        "stp x29, x30, [sp, #80]",
        "mov x9, sp",
        "str x9, [x0]",
        "mov sp, x1",
        "ldp x21, x22, [sp, #16]",
        "ldp x23, x24, [sp, #32]",
        "ldp x25, x26, [sp, #48]",
        "ldp x27, x28, [sp, #64]",
        "ldp x29, x30, [sp, #80]",
        "ldp x19, x20, [sp], #96",
        "ret",
    )
}

/// Gives the CPU to the next ready thread in the table, going round. IRQs must be masked.
fn schedule() {
    let change = with(|s| {
        let from = s.current;
        let next = (1..=THREADS)
            .map(|step| (from + step) % THREADS)
            .find(|&index| s.threads[index].state == State::Ready)?;
        s.slice = SLICE;
        s.current = next;
        let to = s.threads[next].sp;
        (next != from).then(|| (&raw mut s.threads[from].sp, to))
    });
    if let Some((from, to)) = change {
        switch(from, to);
    }
}

/// Called at the end of each tick: counts it, and when the slice is used up the next thread runs.
pub fn preempt() {
    if arch::cpu() != 0 {
        return;
    }
    let used_up = with(|s| {
        s.threads[s.current].ticks += 1;
        s.slice = s.slice.saturating_sub(1);
        s.slice == 0
    });
    if used_up {
        schedule();
    }
}

/// Waits for something to do: other threads run; if there is none the CPU sleeps until an
/// interrupt comes.
///
/// `ready` is asked with IRQs masked. An interrupt that comes after that is still pending at the
/// WFI, which then does not sleep: so none is slept through.
pub fn wait_until(mut ready: impl FnMut() -> bool) {
    loop {
        arch::irq_disable();
        if ready() {
            break;
        }
        let alone = with(|s| s.threads.iter().filter(|t| t.state == State::Ready).count() == 1);
        if alone {
            arch::wfi();
        } else {
            schedule();
        }
        arch::irq_enable();
    }
    arch::irq_enable();
}

/// A copy of the table, for `ps`; and which thread runs.
pub fn threads() -> ([Thread; THREADS], usize) {
    with(|s| (s.threads, s.current))
}

/// How often each of the two threads prints.
const ROUNDS: u32 = 5;

/// The demonstration: two threads that print, and never give the CPU away by themselves.
pub fn two_threads() {
    println!("threads: two, a slice is {SLICE} ticks");
    spawn(1, "digits", || rounds("12345"));
    spawn(2, "letters", || rounds("abcde"));
    let ended = || with(|s| s.threads[1..].iter().all(|t| t.state == State::Ended));
    wait_until(ended);
    println!("threads: both have ended");
}

/// Prints `text` and computes for longer than a slice, again and again.
fn rounds(text: &str) {
    for _ in 0..ROUNDS {
        println!("{text}");
        timer::delay_ms(25);
    }
}
