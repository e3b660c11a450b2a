//! What came of all streams, summed up.

use super::Plan;
use super::life::{End, Life};
use hostile::chaos::{CLASSES, Stream};
use std::{collections::BTreeMap, fmt, ops::Range};

/// The sums over all boots.
#[derive(Debug, Default)]
pub struct Totals {
    streams: u64,
    wild: u64,
    boots: u64,
    /// How streams ended, as the supervisors counted.
    sums: BTreeMap<String, u64>,
    /// What ended a VM's life.
    ends: BTreeMap<&'static str, u64>,
    stopped: BTreeMap<String, u64>,
    exceptions: BTreeMap<u64, u64>,
    slots: [u64; CLASSES.len()],
    words: u64,
}

impl Totals {
    /// One more boot.
    pub fn add(&mut self, life: &Life, plan: &Plan, streams: Range<u64>) {
        self.boots += 1;
        for number in streams {
            let stream = Stream::new(plan.seed, number, plan.wild());
            self.streams += 1;
            self.wild += u64::from(stream.wild);
            self.words += stream.words().len() as u64;
            for (sum, count) in self.slots.iter_mut().zip(stream.slots) {
                *sum += u64::from(count);
            }
        }
        for (name, number) in &life.sums {
            *self.sums.entry(name.clone()).or_default() += number;
        }
        for (class, number) in &life.classes {
            *self.exceptions.entry(*class).or_default() += number;
        }
        let end = match &life.end {
            End::Done => "all run",
            End::Lost => "vCPUs lost, reset by its supervisor",
            End::Reset => "reset by a stream",
            End::Off => "off by a stream",
            End::Stopped(line) => {
                // Without what differs from one to the next.
                let why = line.rsplit(": ").next().unwrap_or("");
                *self.stopped.entry(why.to_owned()).or_default() += 1;
                "stopped by the hypervisor"
            }
            End::Silent => "its supervisor silenced",
        };
        *self.ends.entry(end).or_default() += 1;
    }
}

/// What an exception class is called (Arm DDI 0487, D24.2.40); above it the guest's own numbers.
fn class_name(class: u64) -> &'static str {
    match class {
        0x00 => "unknown reason",
        0x01 => "WFI or WFE",
        0x03..=0x06 | 0x08 | 0x0c => "AArch32 coprocessor",
        0x07 => "SIMD and FP access",
        0x09 => "pointer authentication",
        0x0a => "LD64B or ST64B",
        0x0d => "branch target",
        0x0e => "illegal execution state",
        0x11 => "SVC, AArch32",
        0x15 => "SVC",
        0x18 => "system register access",
        0x19 => "SVE",
        0x1c => "pointer authentication failure",
        0x1d => "SME",
        0x20 | 0x21 => "instruction abort",
        0x22 => "PC alignment",
        0x24 | 0x25 => "data abort",
        0x26 => "SP alignment",
        0x28 | 0x2c => "floating-point exception",
        0x2f => "SError",
        0x30 | 0x31 => "breakpoint",
        0x32 | 0x33 => "software step",
        0x34 | 0x35 => "watchpoint",
        0x38 => "BKPT, AArch32",
        0x3c => "BRK",
        64 => "IRQ",
        65 => "FIQ",
        66 => "SError, asynchronous",
        _ => "other",
    }
}

impl fmt::Display for Totals {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} streams ({} wild) in {} boots", self.streams, self.wild, self.boots)?;
        if f.alternate() {
            return Ok(());
        }
        writeln!(f, "\nhow streams ended (where the supervisor lived to count them)")?;
        for (name, number) in &self.sums {
            writeln!(f, "  {number:>9}  {name}")?;
        }
        writeln!(f, "how lives ended")?;
        for (name, number) in &self.ends {
            writeln!(f, "  {number:>9}  {name}")?;
        }
        for (why, number) in &self.stopped {
            writeln!(f, "  {number:>9}    {why}")?;
        }
        writeln!(f, "exceptions that streams took")?;
        let mut names: BTreeMap<&str, u64> = BTreeMap::new();
        for (class, number) in &self.exceptions {
            *names.entry(class_name(*class)).or_default() += number;
        }
        for (name, number) in names {
            writeln!(f, "  {number:>9}  {name}")?;
        }
        writeln!(f, "instructions made: {} words, of them of interest", self.words)?;
        for ((class, _), number) in CLASSES.iter().zip(self.slots) {
            writeln!(f, "  {number:>9}  {class:?}")?;
        }
        Ok(())
    }
}
