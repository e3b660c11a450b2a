//! Interrupts, noted in the order in which they come, for each CPU.

use core::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use guest_rt::vectors::{self, Frame, Kind};
use guest_rt::{arch, gic, head::MAX_CPUS, timer};

const LOG: usize = 256;

/// What came to one CPU.
struct Seen {
    count: AtomicUsize,
    log: [AtomicU32; LOG],
}

static SEEN: [Seen; MAX_CPUS] =
    [const { Seen { count: AtomicUsize::new(0), log: [const { AtomicU32::new(0) }; LOG] } };
        MAX_CPUS];

static HOOK: AtomicUsize = AtomicUsize::new(0);

/// Vectors, MMU, and the GIC for CPU 0.
pub fn init() {
    guest_rt::head::init();
    gic::init_distributor();
    gic::init_cpu();
    restore_handler();
}

/// Calls `hook` with each interrupt from now on, while it is active.
pub fn hook(hook: fn(u32)) {
    HOOK.store(hook as *const () as usize, Ordering::Release);
}

/// Calls nothing any more.
pub fn unhook() {
    HOOK.store(0, Ordering::Release);
}

/// Makes this module's handler that of IRQs again.
pub fn restore_handler() {
    vectors::set_handler(Kind::Irq, handle);
}

fn handle(_: &mut Frame) -> bool {
    let intid = gic::acknowledge();
    if intid == gic::NONE {
        return true;
    }
    note(intid);
    let hook = HOOK.load(Ordering::Acquire);
    if hook != 0 {
        // SAFETY: it is 0 or what `hook` put there, a `fn(u32)`.
        let hook: fn(u32) = unsafe { core::mem::transmute(hook) };
        hook(intid);
    }
    gic::end(intid);
    true
}

/// Notes an interrupt for this CPU.
pub fn note(intid: u32) {
    let mine = &SEEN[arch::cpu()];
    let index = mine.count.load(Ordering::Relaxed);
    mine.log[index % LOG].store(intid, Ordering::Relaxed);
    mine.count.store(index + 1, Ordering::Release);
}

/// How many came to this CPU since [`forget`].
pub fn count() -> usize {
    count_of(arch::cpu())
}

/// How many came to CPU `cpu`.
pub fn count_of(cpu: usize) -> usize {
    SEEN[cpu].count.load(Ordering::Acquire)
}

/// The `index`-th that came to this CPU since [`forget`].
pub fn nth(index: usize) -> u32 {
    SEEN[arch::cpu()].log[index % LOG].load(Ordering::Relaxed)
}

/// How often `intid` came to this CPU.
pub fn times(intid: u32) -> usize {
    (0..count().min(LOG)).filter(|&i| nth(i) == intid).count()
}

/// Starts counting anew, on this CPU.
pub fn forget() {
    SEEN[arch::cpu()].count.store(0, Ordering::Release);
}

/// Lets IRQs in for a moment: those that are deliverable are taken.
pub fn let_in() {
    arch::irq_enable();
    arch::isb();
    timer::delay_ms(1);
    arch::irq_disable();
}

/// Spins until `condition` holds, for `ms` milliseconds at most; gives back whether it holds.
pub fn wait_for(ms: u64, mut condition: impl FnMut() -> bool) -> bool {
    let start = timer::now();
    while timer::now().wrapping_sub(start) < timer::ms(ms) {
        if condition() {
            return true;
        }
        arch::spin();
    }
    condition()
}
