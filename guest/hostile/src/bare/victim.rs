//! The victim: a guest that uses what it has and looks whether it stays as it was.
//!
//! It has a tick of its own from the virtual timer, a hundred times a second, and memory in which
//! every word is checked and replaced in turn; between these it holds patterns in its registers,
//! asleep or computing (`probes::patterns`). Every tenth of a second it prints `BEAT n=… ticks=…
//! due=… late=… units=… share=…`: ticks handled and due since the start, by how many microseconds
//! one was late at most, and in this tenth the units of memory checked and which share of the CPU,
//! in thousandths, it had for them. The key `q` ends it.
//!
//! `seed=N` makes the patterns of two victims different. `spoil=memory` or `interrupt` has the
//! victim itself do what no neighbour may: so the tests see that it is noticed.

use crate::{f02_pauth, f05_extensions};
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use guest_rt::{arch, boot, gic, mrs, msr, println, timer, uart};
use probes::patterns::{self, Failures, Pause};
use probes::scan::{self, Encoding};
use probes::state::mix;
use probes::{check, irq};

/// Memory that the image does not use.
const MEMORY: u64 = 0x4060_0000;
/// What is checked at a time.
const UNIT: u64 = 4096;
/// Units in that memory.
const UNITS: u64 = 512;

static START: AtomicU64 = AtomicU64::new(0);
static TICKS: AtomicU64 = AtomicU64::new(0);
static LATE: AtomicU64 = AtomicU64::new(0);
/// Interrupts that were never asked for, and the last one's INTID.
static STRAYS: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

fn period() -> u64 {
    timer::ms(10)
}

fn due() -> u64 {
    (timer::now() - START.load(Relaxed)) / period()
}

fn interrupt(intid: u32) {
    if intid != timer::VIRTUAL_INTID {
        STRAYS[0].fetch_add(1, Relaxed);
        STRAYS[1].store(intid.into(), Relaxed);
        return;
    }
    let ticks = TICKS.load(Relaxed) + 1;
    TICKS.store(ticks, Relaxed);
    let start = START.load(Relaxed);
    let late = timer::now() - (start + ticks * period());
    LATE.store(LATE.load(Relaxed).max(late), Relaxed);
    msr!(CNTV_CVAL_EL0, start + (ticks + 1) * period());
    arch::isb();
}

/// The memory, and where in it the check is.
struct Memory {
    seed: u64,
    /// Units checked since the start.
    done: u64,
    wrong: u64,
}

impl Memory {
    fn word(&self, address: u64, round: u64) -> u64 {
        (address ^ self.seed).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(round)
    }

    fn new(seed: u64) -> Self {
        let memory = Memory { seed: mix(seed), done: 0, wrong: 0 };
        for address in (MEMORY..MEMORY + UNITS * UNIT).step_by(8) {
            // SAFETY: RAM that nobody else uses.
            unsafe { (address as *mut u64).write_volatile(memory.word(address, 0)) };
        }
        memory
    }

    /// Checks the next unit and replaces it.
    fn check(&mut self) {
        let (start, round) = (MEMORY + self.done % UNITS * UNIT, self.done / UNITS);
        for address in (start..start + UNIT).step_by(8) {
            let cell = address as *mut u64;
            // SAFETY: as above.
            let (found, wanted) = (unsafe { cell.read_volatile() }, self.word(address, round));
            if found != wanted {
                self.wrong += 1;
                if self.wrong <= 10 {
                    println!("INFO victim: {address:#x} holds {found:#x}, was {wanted:#x}");
                }
            }
            // SAFETY: as above.
            unsafe { cell.write_volatile(self.word(address, round + 1)) };
        }
        self.done += 1;
    }
}

/// Registers that only some CPUs have: keys of pointer authentication, and what no trap reaches.
struct Others {
    list: [Option<(Encoding, u64)>; 12],
    wrong: u64,
}

impl Others {
    /// Those that are here and keep what is written to them.
    fn find() -> Self {
        let mut list = [None; 12];
        let all = f02_pauth::KEYS.into_iter().chain(f05_extensions::UNTRAPPED);
        for (slot, register) in list.iter_mut().zip(all) {
            let value = scan::try_read(register).ok();
            let kept = value.filter(|&value| scan::try_write(register, value).is_ok());
            *slot = kept.map(|value| (register, value));
        }
        Others { list, wrong: 0 }
    }

    /// Looks whether they are as they were left, and changes them.
    fn check(&mut self, seed: u64) {
        for (register, value) in self.list.iter_mut().flatten() {
            let found = scan::try_read(*register).unwrap_or(0);
            if found != *value {
                self.wrong += 1;
                if self.wrong <= 10 {
                    let name = scan::Name(*register);
                    println!("INFO victim: {name} is {found:#x}, was {value:#x}");
                }
            }
            let _ = scan::try_write(*register, mix(seed ^ *register as u64));
            *value = scan::try_read(*register).unwrap_or(0);
        }
    }
}

/// The program.
pub fn run() {
    irq::init();
    msr!(CPACR_EL1, 3 << 20);
    arch::isb();
    let seed = boot::number("seed").unwrap_or(1);
    let mut memory = Memory::new(seed);
    let mut failures = Failures::default();
    let mut others = Others::find();
    gic::enable(timer::VIRTUAL_INTID);
    gic::set_priority(timer::VIRTUAL_INTID, 0x40); // more urgent than any mask that is tried
    irq::hook(interrupt);
    START.store(timer::now(), Relaxed);
    timer::arm(START.load(Relaxed) + period());
    debug_unmask();

    let mut shortest = u64::MAX;
    for beat in 1.. {
        let (end, begun) = (START.load(Relaxed) + beat * timer::ms(100), memory.done);
        let (mut rounds, mut taken) = (0, 0);
        while timer::now() < end {
            arch::irq_enable();
            for _ in 0..64 {
                let from = timer::now();
                memory.check();
                let took = timer::now() - from;
                (shortest, taken) = (shortest.min(took), taken + took);
            }
            arch::irq_disable();
            let pause = [Pause::Compute, Pause::Call, Pause::Doze][rounds % 3];
            patterns::once(mix(seed) ^ beat << 32 ^ rounds as u64, pause, &mut failures);
            msr!(ICC_PMR_EL1, 0xff);
            others.check(seed ^ beat << 32 ^ rounds as u64);
            rounds += 1;
        }
        let (units, (ticks, due)) = (memory.done - begun, (TICKS.load(Relaxed), due()));
        println!(
            "BEAT n={beat} ticks={ticks} due={due} late={} units={units} share={}",
            LATE.load(Relaxed) * 1_000_000 / timer::frequency(),
            units * shortest * 1000 / taken.max(1),
        );
        if beat == 3 {
            spoil();
        }
        if uart::get() == Some(b'q') {
            break;
        }
    }
    finish(&mut memory, failures.count + others.wrong);
}

/// What `spoil=` asks for.
fn spoil() {
    match boot::value("spoil") {
        // SAFETY: a word of the memory that is checked.
        Some("memory") => unsafe { *(MEMORY as *mut u64) ^= 1 << 40 },
        Some("interrupt") => {
            gic::enable(9);
            gic::send_sgi(9, 1);
        }
        _ => {}
    }
}

fn finish(memory: &mut Memory, registers: u64) {
    // Each word twice at least, however short the attack was or slow the machine.
    while memory.done <= UNITS {
        memory.check();
    }
    arch::irq_enable();
    let due = due();
    irq::wait_for(1000, || TICKS.load(Relaxed) >= due);
    arch::irq_disable();
    // A busy host may have kept it waiting since.
    let most = self::due() + 1;
    timer::disarm();
    check::within("victim.ticks", TICKS.load(Relaxed), due, most);
    check::equal("victim.memory", memory.wrong, 0);
    check::equal("victim.registers", registers, 0);
    check::equal(
        "victim.interrupts-not-asked-for",
        STRAYS.each_ref().map(|n| n.load(Relaxed)),
        [0; 2],
    );
    check::end();
}

/// A breakpoint or step of somebody else's would be noticed: debug exceptions are not masked.
fn debug_unmask() {
    let daif = mrs!(DAIF);
    msr!(DAIF, daif & !(1 << 9));
}
