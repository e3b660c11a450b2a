//! A device access whose instruction another CPU rewrites all the time. Who emulates it has to read
//! the instruction, and may find another than the one that was executed: what happens must be what
//! one of them does, registers and device alike, and never some of each.
//!
//! Two CPUs. `n=N` (default 20,000): how often the instruction is executed at the least.

use crate::{check, code, isv0};
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use guest_rt::{arch, boot, head, mmio, mmu, println, psci, smp, uart};

/// UARTIBRD, 16 bits, and behind it UARTFBRD, 6 bits.
const IBRD: usize = uart::BASE + 0x24;
const FBRD: usize = uart::BASE + 0x28;
/// RAM that may be both written and executed.
const ALIAS: u64 = 0x30_0000_0000;

/// The instruction, a RET, and room up to the next cache line.
#[repr(C, align(4096))]
struct Page([AtomicU32; 1024]);
static PAGE: Page = Page([const { AtomicU32::new(0) }; 1024]);

/// How many of the variants have to be seen.
const SEVERAL: usize = 5;

static GOES_ON: AtomicBool = AtomicBool::new(true);

/// x9, x10, x11, UARTIBRD, UARTFBRD.
type State = [u64; 5];

/// An instruction on x9, x10 and x11, and what it does.
type Variant = (isv0::Code, fn(State) -> State);

/// What UARTIBRD and UARTFBRD keep of a value.
fn kept(ibrd: u64, fbrd: u64) -> (u64, u64) {
    (ibrd & 0xffff, fbrd & 0x3f)
}

fn variants() -> [Variant; 9] {
    [
        (code!("stp w9, w11, [x10]"), |[a, at, b, ..]| {
            let (ibrd, fbrd) = kept(a, b);
            [a, at, b, ibrd, fbrd]
        }),
        (code!("stp w11, w9, [x10]"), |[a, at, b, ..]| {
            let (ibrd, fbrd) = kept(b, a);
            [a, at, b, ibrd, fbrd]
        }),
        (code!("stp w9, wzr, [x10], #8"), |[a, at, b, ..]| [a, at + 8, b, kept(a, 0).0, 0]),
        (code!("str w9, [x10], #4"), |[a, at, b, _, fbrd]| [a, at + 4, b, kept(a, 0).0, fbrd]),
        (code!("str w11, [x10, #4]!"), |[a, at, b, ibrd, _]| [a, at + 4, b, ibrd, kept(0, b).1]),
        (code!("str w9, [x10]"), |[a, at, b, _, fbrd]| [a, at, b, kept(a, 0).0, fbrd]),
        (code!("ldp w9, w11, [x10]"), |[_, at, _, ibrd, fbrd]| [ibrd, at, fbrd, ibrd, fbrd]),
        (code!("ldr w11, [x10, #4]!"), |[a, at, _, ibrd, fbrd]| [a, at + 4, fbrd, ibrd, fbrd]),
        (code!("nop"), |state| state),
    ]
}

/// The first word of some code.
fn word(code: isv0::Code) -> u32 {
    // SAFETY: code is readable.
    unsafe { (code as *const u32).read() }
}

/// What the second CPU does: a variant after the other.
fn rewrite(_: usize) {
    let words = variants().map(|(code, _)| word(code));
    let mut random = 1_u32;
    while GOES_ON.load(Ordering::Relaxed) {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let index = (random >> 16) as usize % words.len();
        PAGE.0[0].store(words[index], Ordering::Relaxed);
        let address = PAGE.0.as_ptr();
        // SAFETY: makes the new instruction visible to both CPUs' fetches (D7.5.9).
        unsafe {
            asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", in(reg) address);
        }
    }
}

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    let ram = mmu::RAM & !mmu::NO_EXECUTE_EL1;
    mmu::map_gib(ALIAS, 0x4000_0000, ram);
    PAGE.0[0].store(word(variants()[0].0), Ordering::Relaxed);
    PAGE.0[1].store(word(code!("ret")), Ordering::Relaxed);
    let address = PAGE.0.as_ptr() as u64;
    // SAFETY: as above, for the first variant.
    unsafe { asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) address) };
    if smp::start(1, rewrite) != psci::SUCCESS {
        return check::failed("rewrite.start", "no second CPU", "one");
    }
    let times = boot::number("n").unwrap_or(20_000);
    let mut seen = [0_u64; 9];
    let kinds = |seen: &[u64; 9]| seen.iter().filter(|count| **count > 0).count();
    let mut strange = None;
    for round in 0..100 * times {
        if round >= times && kinds(&seen) >= SEVERAL {
            break;
        }
        if let Err(state) = once(ALIAS + (address - 0x4000_0000), round, &mut seen) {
            strange = strange.or(Some(state));
        }
    }
    GOES_ON.store(false, Ordering::Relaxed);
    println!("INFO rewrite seen={seen:?}");
    check::equal("rewrite.whole", strange, None);
    check::that("rewrite.several", kinds(&seen) >= SEVERAL, "five of the nine were seen");
    while psci::affinity_info(1) != 1 {
        arch::spin();
    }
}

/// Executes the instruction once. `Err` with the states before and after if no variant does that.
fn once(code: u64, round: u64, seen: &mut [u64; 9]) -> Result<(), (State, State)> {
    // Six bits each, all different from each other.
    let pick = |n: u64| (round + n * 16) & 0x3f;
    let before = [pick(0), IBRD as u64, pick(1), pick(2), pick(3)];
    mmio::write32(IBRD, before[3] as u32);
    mmio::write32(FBRD, before[4] as u32);
    let (fault, [x9, x10, x11]) = isv0::execute_at(code, [before[0], before[1], before[2]]);
    let after = [x9, x10, x11, mmio::read32(IBRD).into(), mmio::read32(FBRD).into()];
    let done = variants().iter().position(|(_, effect)| effect(before) == after);
    match (fault, done) {
        (None, Some(variant)) => {
            seen[variant] += 1;
            Ok(())
        }
        _ => Err((before, after)),
    }
}
