//! Operations that no guest can measure: what happens between two guests, or on two pCPUs. The
//! plugin counts EL2's instructions from one mark to another.

use super::{
    counter::{Counter, Line, Outcome, Wanted},
    figures::{Figure, Operations},
};
use crate::{
    Error, Result,
    build::{self, Built},
    panics::code::Program,
    qemu::Machine,
    root,
};

/// Marks of the guest `ipi`: about to send, sent, in the receiver's vector.
const SEND: u64 = 64;
const SENT: u64 = 65;
const TAKEN: u64 = 66;
/// Marks of the guest `turns`.
const BEGIN: u64 = 64;
const END: u64 = 65;
/// Vectors by which EL2 is entered from AArch64 below.
const SYNCHRONOUS: u64 = 0x400;
const IRQ: u64 = 0x480;

/// A slice is as long as ever in time, and has fewer instructions where each takes longer: so there
/// are more slices in a run.
const SHIFT: u32 = 8;

/// What is taken from a log as a sample.
#[derive(Clone, Copy, Debug)]
enum Sample {
    /// Both CPUs' instructions from the sender's write on, until the receiver is in its vector and
    /// the sender at its next instruction.
    Interrupt,
    /// EL2's instructions of each visit by this vector, while all guests compute.
    Visit(u64),
}

/// A run, and the operations that are found in it.
#[derive(Debug)]
pub struct Run {
    description: &'static str,
    vms: &'static [&'static str],
    /// Words of the boot arguments.
    words: &'static str,
    /// The word that says how often or how long, and its number.
    times: (&'static str, u64),
    pcpus: u32,
    /// Nanoseconds of virtual time an instruction, as a power of two.
    shift: u32,
    operations: &'static [(&'static str, Sample)],
}

const IPI: Run = Run {
    description: "vms/bench-ipi.dts",
    vms: &["ipi"],
    words: "",
    times: ("n", 10_000),
    pcpus: 2,
    shift: 0,
    operations: &[("ipi", Sample::Interrupt)],
};

const TURNS: Run = Run {
    description: "vms/bench-turns.dts",
    vms: &["a", "b"],
    words: "at=3000",
    times: ("ms", 10_000),
    pcpus: 1,
    shift: SHIFT,
    operations: &[("slice-switch", Sample::Visit(IRQ))],
};

const SIBLINGS: Run = Run {
    description: "vms/bench-turns-siblings.dts",
    vms: &["a"],
    operations: &[("slice-sibling", Sample::Visit(IRQ))],
    ..TURNS
};

/// The same with FP in use.
const WITH_FP: &str = "fp at=3000";

const RUNS: [Run; 6] = [
    IPI,
    Run { words: "wfi", operations: &[("ipi-wake", Sample::Interrupt)], ..IPI },
    TURNS,
    Run {
        words: WITH_FP,
        operations: &[
            ("slice-switch-fp", Sample::Visit(IRQ)),
            ("fp-first", Sample::Visit(SYNCHRONOUS)),
        ],
        ..TURNS
    },
    SIBLINGS,
    Run { words: WITH_FP, operations: &[("slice-sibling-fp", Sample::Visit(IRQ))], ..SIBLINGS },
];

/// The figures on one CPU model.
pub fn measure(built: &Built, counter: &Counter, model: &str) -> Result<Operations> {
    let mut operations = Operations::new();
    for run in &RUNS {
        let outcome = run.boot(built, counter, model, 1, false)?;
        for (name, sample) in run.operations {
            let figure = Figure::of(sample.find(&outcome.log)).ok_or_else(|| Error::Failed {
                what: format!("measuring `{name}` on {model}"),
                how: format!("no sample in the log\n{}", outcome.console),
            })?;
            operations.insert((*name).into(), figure);
        }
    }
    Ok(operations)
}

impl Run {
    /// The run in which an operation is measured.
    pub fn of(operation: &str) -> Option<&'static Self> {
        RUNS.iter().find(|run| run.operations.iter().any(|(name, _)| *name == operation))
    }

    /// The operations that it consists of.
    pub fn names(&self) -> String {
        self.operations.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(" and ")
    }

    /// How many samples of `operation` an outcome has.
    pub fn samples(&self, operation: &str, outcome: &Outcome) -> usize {
        let found = self.operations.iter().find(|(name, _)| *name == operation);
        found.map_or(0, |(_, sample)| sample.find(&outcome.log).len())
    }

    /// Boots it, for so many times as long as usual.
    pub fn boot(
        &self,
        built: &Built,
        counter: &Counter,
        model: &str,
        factor: u64,
        profile: bool,
    ) -> Result<Outcome> {
        let blob = build::description(&root().join(self.description))?;
        let mut machine = slowed(super::machine(&built.image, &blob, model), self.shift);
        machine.smp = self.pcpus;
        let (word, number) = self.times;
        for vm in self.vms {
            let arguments = format!("{} {word}={}", self.words, number * factor);
            machine.append.push(format!("{vm}.bootargs=\"{}\"", arguments.trim()));
        }
        let vectors = Some(super::offset(&Program::read(&built.elf)?, "vectors")?);
        // Visits are told apart with one pCPU only.
        let vectors = vectors.filter(|_| self.pcpus == 1);
        let wanted = Wanted { profile, log: true, vectors, ..Wanted::default() };
        counter.run(machine, &wanted, "machine off")
    }
}

/// The machine, where each instruction takes 2^`shift` nanoseconds of virtual time.
fn slowed(mut machine: Machine, shift: u32) -> Machine {
    let usual = machine.extra.iter_mut().find(|word| word.starts_with("shift="));
    if let Some(word) = usual {
        *word = format!("shift={shift},sleep=off");
    }
    machine
}

/// A switch at a slice's end on `machine`, where two guests `turns` compute.
pub fn slice_switch(built: &Built, counter: &Counter, machine: Machine) -> Result<Figure> {
    let vectors = Some(super::offset(&Program::read(&built.elf)?, "vectors")?);
    let wanted = Wanted { log: true, vectors, ..Wanted::default() };
    let outcome = counter.run(slowed(machine, SHIFT), &wanted, "TURNS end")?;
    Figure::of(Sample::Visit(IRQ).find(&outcome.log)).ok_or_else(|| Error::Failed {
        what: "measuring a switch at a slice's end".into(),
        how: format!("found no interrupt while two computed\n{}", outcome.console),
    })
}

impl Sample {
    fn find(self, log: &[Line]) -> Vec<u64> {
        match self {
            Sample::Interrupt => interrupts(log),
            Sample::Visit(wanted) => while_all_compute(log)
                .iter()
                .filter_map(|line| match line {
                    Line::Visit { vector, el2 } if *vector == wanted => Some(*el2),
                    _ => None,
                })
                .collect(),
        }
    }
}

/// From each SEND to SENT or TAKEN, whichever is later, with the instruction that sends.
fn interrupts(log: &[Line]) -> Vec<u64> {
    let marks: Vec<(u64, u64)> = log
        .iter()
        .filter_map(|line| match line {
            Line::Mark { number, el2 } => Some((*number, *el2)),
            _ => None,
        })
        .collect();
    marks
        .windows(3)
        .filter_map(|three| match three {
            [(SEND, before), (SENT, _), (TAKEN, after)]
            | [(SEND, before), (TAKEN, _), (SENT, after)] => Some(after - before + 1),
            _ => None,
        })
        .collect()
}

/// The lines between the last BEGIN and the first END.
fn while_all_compute(log: &[Line]) -> &[Line] {
    let is = |line: &Line, wanted| matches!(line, Line::Mark { number, .. } if *number == wanted);
    let begin = log.iter().rposition(|line| is(line, BEGIN)).map_or(0, |last| last + 1);
    let end = log.iter().position(|line| is(line, END)).unwrap_or(begin);
    log.get(begin..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_interrupt_lasts_until_both_are_through() {
        let mark = |number, el2| Line::Mark { number, el2 };
        let log = [mark(SEND, 10), mark(SENT, 30), mark(TAKEN, 50), mark(SEND, 60)];
        assert_eq!(Sample::Interrupt.find(&log), [41]);
        let log = [mark(SEND, 10), mark(TAKEN, 30), mark(SENT, 50), mark(SEND, 60)];
        assert_eq!(Sample::Interrupt.find(&log), [41]);
    }

    #[test]
    fn only_what_comes_while_all_compute_counts() {
        let mark = |number| Line::Mark { number, el2: 0 };
        let visit = |vector, el2| Line::Visit { vector, el2 };
        let log = [
            mark(BEGIN),
            visit(IRQ, 1),
            mark(BEGIN),
            visit(IRQ, 2),
            visit(SYNCHRONOUS, 3),
            mark(END),
            visit(IRQ, 4),
        ];
        assert_eq!(Sample::Visit(IRQ).find(&log), [2]);
        assert_eq!(Sample::Visit(SYNCHRONOUS).find(&log), [3]);
        assert!(Sample::Visit(IRQ).find(&log[..4]).is_empty());
    }
}
