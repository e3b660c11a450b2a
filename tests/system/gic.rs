//! The interrupt controller beside that of the bare board, register by register, and what several
//! vCPUs see of each other's interrupts.

use crate::harness::{Case, Config, Cpu, Failure, Outcome, Profile, Test, Verdict, Vm};
use std::collections::BTreeMap;

/// As many SPIs as the board has.
const SPIS: u32 = 256;

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("gic/like-the-board", |config| {
            let vm = Vm::new("p").kernel("gicscan").cpus(2).cell("spis", SPIS);
            let here = Case::new(config).vm(vm).run()?;
            here.expect_pass("p", 1)?;
            here.expect_status(0)?;
            let bare = Case::bare(Config { smp: 2, ..config }, "gicscan").run()?;
            bare.expect_pass("", 1)?;
            compare(&here, scan(&bare, "")?, scan(&here, "p")?)
        })
        .smp(&[1])
        .cpu(Cpu::A72)
        .profile(Profile::Release),
        Test::new("gic/siblings", |config| {
            let vm = Vm::new("p").kernel("siblings").cpus(2);
            let outcome = Case::new(config).vm(vm).run()?;
            outcome.expect_pass("p", 41)?;
            outcome.expect_status(0)
        }),
        Test::new("gic/siblings-affinities", |config| {
            let vm = Vm::new("p").kernel("siblings").mpidr(&[0x2_0301, 0x100]);
            let outcome = Case::new(config).vm(vm).run()?;
            outcome.expect_pass("p", 41)?;
            outcome.expect_status(0)
        })
        .profile(Profile::Release),
        Test::new("gic/siblings-beside-others", |config| {
            // Who is waited for may not be running, or be preempted at any moment.
            let vm = |name| Vm::new(name).kernel("siblings").cpus(3).bootargs("rounds=100");
            let case = Case::new(config).vm(vm("one")).vm(vm("two"));
            let outcome = case.run()?;
            outcome.expect_pass("one", 41)?;
            outcome.expect_pass("two", 41)?;
            outcome.expect_status(0)
        })
        .profile(Profile::Release),
        Test::without_hypervisor("gic/siblings-bare", |config| {
            let outcome = Case::bare(config, "siblings").run()?;
            outcome.expect_pass("", 41)?;
            outcome.expect_off()
        })
        .smp(&[2])
        .profile(Profile::Release),
    ]
}

/// A register: frame, size of the access in bytes, offset.
type Register = (String, u32, u64);
/// What it reads as: at reset, after ones, in the word around it after ones, after zeros.
type Seen = [u64; 4];

/// The registers of a scan that are not zero throughout.
fn scan(outcome: &Outcome, name: &str) -> Result<BTreeMap<Register, Seen>, Failure> {
    let mut registers = BTreeMap::new();
    for line in outcome.lines(name).filter_map(|line| line.strip_prefix("SCAN ")) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let hex = |at: usize| u64::from_str_radix(words.get(at).copied().unwrap_or(""), 16).ok();
        let parsed = (|| {
            let seen = [hex(4)?, hex(5)?, hex(6)?, hex(7)?];
            Some((words.first()?.to_string(), hex(1)? as u32, hex(2)?..hex(3)?, seen))
        })();
        let Some((frame, size, offsets, seen)) = parsed else {
            return Err(outcome.failure(format!("a line of the scan: `{line}`")));
        };
        for offset in offsets.step_by(size as usize) {
            registers.insert((frame.clone(), size, offset), seen);
        }
    }
    Ok(registers)
}

/// Everything is as on the board, but for what [`here`] says.
fn compare(
    outcome: &Outcome,
    board: BTreeMap<Register, Seen>,
    found: BTreeMap<Register, Seen>,
) -> Verdict {
    let wanted: BTreeMap<Register, Seen> = board
        .into_iter()
        .map(|(register, seen)| (register.clone(), seen.map(|value| here(&register, value))))
        .filter(|(_, seen)| *seen != [0; 4])
        .collect();
    let differs = wanted.keys().chain(found.keys()).filter(|at| wanted.get(*at) != found.get(*at));
    let lines: Vec<String> = differs
        .take(20)
        .map(|at| format!("{at:x?}: {:x?}, on the board {:x?}", found.get(at), wanted.get(at)))
        .collect();
    if lines.is_empty() && found.len() > 1000 {
        return Ok(());
    }
    let why = format!("{} registers\n{}", found.len(), lines.join("\n"));
    Err(outcome.failure(why))
}

/// What a value of the board has to be here. What differs:
///
/// - GICD_TYPER: no LPIs (bit 17), so INTIDs of 10 bits (23:19); one-of-N routing (No1N, bit 25).
///   And QEMU 7.2 tells of one bank of SPIs less than it has;
/// - GICR_CTLR, GICR_TYPER, PROPBASER and PENDBASER: no LPIs;
/// - priorities have five bits, as the CPU interface's (QEMU keeps eight);
/// - IROUTER's RES0 bits are zero (QEMU keeps them).
fn here((frame, size, offset): &Register, value: u64) -> u64 {
    const PRIORITIES: u64 = 0xf8f8_f8f8_f8f8_f8f8;
    const ROUTER: u64 = 0xff_80ff_ffff;
    let redistributor = frame.starts_with("rd");
    match offset & !3 {
        0x4 if frame == "dist" && *size == 4 => {
            value & !(1 << 25 | 1 << 17 | 31 << 19 | 31) | 9 << 19 | u64::from(SPIS / 32)
        }
        // The word around a narrower access.
        0x4 if frame == "dist" && *size < 4 => {
            let word: u64 = 1 << 24 | 9 << 19 | u64::from(SPIS / 32);
            let bytes = word >> (8 * (offset & 3)) & ((1 << (8 * size)) - 1);
            if value == 0 { 0 } else { bytes }
        }
        0x400..0x800 if !redistributor => value & PRIORITIES,
        0x6000..0x8000 if frame == "dist" => {
            let router = ROUTER >> (8 * (offset & 4));
            value & if *size == 8 { ROUTER } else { router & 0xffff_ffff }
        }
        0x0 | 0x70..0x80 if redistributor => 0,
        0x8 if redistributor => value & !((1 << 24 | 1) >> (8 * (offset & 3))),
        _ => value,
    }
}
