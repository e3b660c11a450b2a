//! Every encoding of MRS and MSR (op0 = 2 and 3, 32,768 of them), tried at EL1: which registers can
//! be read, and whether each that can be written keeps what this CPU wrote while others have it.
//!
//! A register that a switch between VMs forgets shows up here without having a name: two VMs with
//! different patterns share a pCPU, and the one finds what the other has left. All that is found is
//! written at once, VBAR_EL1 and the translation registers included, so nothing in the time between
//! may raise an exception: interrupts stay masked, and the pause only computes.
//!
//! `seed=N` makes the patterns of two VMs different; `rounds=N` (default 0): how often patterns are
//! written, left alone for `ms=N` (default 25) and looked at. `READS op0 op1 CRn CRm mask` lists the
//! registers that can be read, one bit for each op2; `CHANGES` those that change by themselves.

use crate::check;
use crate::state::mix;
use core::arch::{asm, global_asm};
use guest_rt::vectors::{Fault, expect_fault};
use guest_rt::{arch, boot, head, mmu, msr, println, timer};

/// An encoding: op0 (1 bit: 2 or 3), op1 (3), CRn (4), CRm (4), op2 (3).
pub type Encoding = usize;
const ENCODINGS: Encoding = 1 << 15;

/// The encoding with these fields.
pub const fn encoding(op0: usize, op1: usize, crn: usize, crm: usize, op2: usize) -> Encoding {
    (op0 & 1) << 14 | op1 << 11 | crn << 7 | crm << 3 | op2
}

// For each encoding a function of two instructions: `mrs x0, …`, and `msr …, x0`. In a section of
// their own, which the linker leaves out of other programs.
global_asm!(
    ".section .text.scan, \"ax\"",
    ".balign 8",
    "scan_reads:",
    ".set n, 0",
    ".rept 32768",
    ".inst 0xd5300000 | n << 5",
    "ret",
    ".set n, n + 1",
    ".endr",
    "scan_writes:",
    ".set n, 0",
    ".rept 32768",
    ".inst 0xd5100000 | n << 5",
    "ret",
    ".set n, n + 1",
    ".endr",
    ".text",
);

unsafe extern "C" {
    static scan_reads: [u64; ENCODINGS];
    static scan_writes: [u64; ENCODINGS];
}

/// Reads a register that can be read.
fn read(n: Encoding) -> u64 {
    let value;
    // SAFETY: the function changes x0 (and for RNDR the flags) alone.
    unsafe {
        let function = (&raw const scan_reads).cast::<u64>().add(n);
        asm!("blr {f}", f = in(reg) function, inout("x0") 0u64 => value, out("x30") _);
    }
    value
}

/// Writes a register that can be written.
fn write(n: Encoding, value: u64) {
    // SAFETY: `changeable` keeps the program from what it can't live with.
    unsafe {
        let function = (&raw const scan_writes).cast::<u64>().add(n);
        asm!("blr {f}", f = in(reg) function, in("x0") value, out("x30") _);
    }
}

/// Reads a register, if that raises no exception.
pub fn try_read(n: Encoding) -> Result<u64, Fault> {
    let mut value = 0;
    expect_fault(|| value = read(n)).map_or(Ok(value), Err)
}

/// Writes a register, if that raises no exception.
pub fn try_write(n: Encoding, value: u64) -> Result<(), Fault> {
    expect_fault(|| write(n, value)).map_or(Ok(()), Err)
}

/// The bits of a register that may have any value while this program runs; 0 for one that is left
/// alone.
fn changeable(n: Encoding) -> u64 {
    const SPSEL: Encoding = encoding(3, 0, 4, 2, 0);
    const CURRENT_EL: Encoding = encoding(3, 0, 4, 2, 2);
    const PAN: Encoding = encoding(3, 0, 4, 2, 3);
    const NZCV: Encoding = encoding(3, 3, 4, 2, 0);
    const DAIF: Encoding = encoding(3, 3, 4, 2, 1);
    const SVCR: Encoding = encoding(3, 3, 4, 2, 2);
    const RMR: Encoding = encoding(3, 0, 12, 0, 2);
    const CNTFRQ: Encoding = encoding(3, 3, 14, 0, 0);
    const SCTLR: Encoding = encoding(3, 0, 1, 0, 0);
    const CPACR: Encoding = encoding(3, 0, 1, 0, 2);
    const TTBR0: Encoding = encoding(3, 0, 2, 0, 0);
    const TCR: Encoding = encoding(3, 0, 2, 0, 2);
    const MAIR: Encoding = encoding(3, 0, 10, 2, 0);
    const BPR0: Encoding = encoding(3, 0, 12, 8, 3);
    const BPR1: Encoding = encoding(3, 0, 12, 12, 3);
    const MDSCR: Encoding = encoding(2, 0, 0, 2, 2);
    const CNTP_CTL: Encoding = encoding(3, 3, 14, 2, 1);
    const CNTV_CTL: Encoding = encoding(3, 3, 14, 3, 1);
    match n {
        // A part of PSTATE, which is saved as one, or what turns the CPU's world upside down.
        SPSEL | CURRENT_EL | PAN | NZCV | DAIF | SVCR | RMR | CNTFRQ => 0,
        // UMA, DZE, UCT, nTWI, nTWE, UCI: what EL0 may do.
        SCTLR => 1 << 9 | 1 << 14 | 1 << 15 | 1 << 16 | 1 << 18 | 1 << 26,
        // TTA: there is no trace unit.
        CPACR => 1 << 28,
        // The ASID: all translations are global.
        TTBR0 => 0xffff << 48,
        // What is said of TTBR1's walks, which are off: T1SZ, IRGN1, ORGN1, SH1.
        TCR => 0x3f3f_0000,
        // QEMU 7.2 takes the bits above these for a part of the number.
        BPR0 | BPR1 => 7,
        // Attributes that no mapping uses.
        MAIR => !0xff_ffff,
        // MDE without KDE: breakpoints and watchpoints are in the hardware, for EL0. TDCC.
        MDSCR => 1 << 15 | 1 << 12,
        // IMASK: a timer that is off has no state of its own.
        CNTP_CTL | CNTV_CTL => 1 << 1,
        _ => !0,
    }
}

/// A register that keeps what is written to it.
#[derive(Clone, Copy)]
struct Register {
    encoding: Encoding,
    /// What it held before.
    original: u64,
    /// What it held after the pattern was written: not every bit exists.
    written: u64,
    /// What it held at the end.
    found: u64,
}

impl Register {
    fn write_pattern(&mut self, seed: u64) {
        let bits = changeable(self.encoding);
        write(self.encoding, self.original & !bits | mix(seed ^ self.encoding as u64) & bits);
    }
}

/// Room for all registers that an implementation may have.
const ROOM: usize = 384;

struct Registers {
    list: [Register; ROOM],
    count: usize,
}

impl Registers {
    fn all(&mut self) -> &mut [Register] {
        &mut self.list[..self.count]
    }

    fn add(&mut self, encoding: Encoding, original: u64) {
        if let Some(slot) = self.list.get_mut(self.count) {
            *slot = Register { encoding, original, written: 0, found: 0 };
        }
        self.count += 1;
    }
}

/// The probe.
pub fn run() {
    head::init();
    msr!(CPACR_EL1, 3 << 20 | 3 << 16 | 3 << 24); // FP, SVE, SME not trapped by EL1
    arch::isb();
    let seed = mix(boot::number("seed").unwrap_or(1));
    let rounds = boot::number("rounds").unwrap_or(0);
    let ticks = timer::ms(boot::number("ms").unwrap_or(25));

    let empty = Register { encoding: 0, original: 0, written: 0, found: 0 };
    let mut registers = Registers { list: [empty; ROOM], count: 0 };
    let reads = find(&mut registers);
    check::within("scan.registers", reads, 80, ROOM as u64);
    let mut switches = 0;
    let mut lost = 0;
    for round in 0..rounds {
        switches += hold(registers.all(), mix(seed + round), ticks);
        for register in registers.all().iter().filter(|one| one.found != one.written) {
            lost += 1;
            let (got, want) = (register.found, register.written);
            if lost <= 20 {
                println!("INFO scan: {} is {got:#x}, was {want:#x}", Name(register.encoding));
            }
        }
    }
    check::equal("scan.kept", lost, 0);
    println!(
        "INFO scan reads={reads} keeps={} rounds={rounds} switches={switches}",
        registers.count
    );
    check::end();
}

/// Looks for registers; gives back how many can be read.
fn find(registers: &mut Registers) -> u64 {
    let mut reads = 0;
    for group in (0..ENCODINGS).step_by(8) {
        let mut mask = 0;
        for n in group..group + 8 {
            let mut value = 0;
            if expect_fault(|| value = read(n)).is_some() {
                continue;
            }
            mask |= 1 << (n - group);
            reads += 1;
            if changeable(n) == 0 {
                continue;
            }
            if changes(n) {
                println!("CHANGES {}", Name(n));
            } else if expect_fault(|| write(n, value)).is_none() {
                registers.add(n, value);
            }
        }
        if mask != 0 {
            let (op0, op1, crn, crm, _) = fields(group);
            println!("READS {op0} {op1} {crn} {crm} {mask:#x}");
        }
    }
    reads
}

/// Whether a register changes by itself.
fn changes(n: Encoding) -> bool {
    let before = read(n);
    let start = timer::now();
    while timer::now() - start < timer::frequency() / 100_000 {}
    read(n) != before
}

/// Writes patterns, lets others have the CPU, reads; gives back how often somebody had it. From
/// the first write to the last no exception can be taken.
#[inline(never)]
fn hold(registers: &mut [Register], seed: u64, ticks: u64) -> u64 {
    for register in registers.iter_mut() {
        register.write_pattern(seed);
    }
    arch::isb();
    for register in registers.iter_mut() {
        register.written = read(register.encoding);
    }
    let mut switches = 0;
    let start = timer::now();
    let mut last = start;
    while last - start < ticks {
        let now = timer::now();
        switches += u64::from(now - last > timer::frequency() / 1000);
        last = now;
    }
    for register in registers.iter_mut() {
        register.found = read(register.encoding);
    }
    for register in registers.iter() {
        write(register.encoding, register.original);
    }
    arch::isb();
    mmu::flush();
    switches
}

fn fields(n: Encoding) -> (usize, usize, usize, usize, usize) {
    (2 + (n >> 14), n >> 11 & 7, n >> 7 & 15, n >> 3 & 15, n & 7)
}

/// An encoding as the assembler writes it.
pub struct Name(pub Encoding);

impl core::fmt::Display for Name {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let (op0, op1, crn, crm, op2) = fields(self.0);
        write!(f, "S{op0}_{op1}_C{crn}_C{crm}_{op2}")
    }
}
