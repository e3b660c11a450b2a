//! Operations that the guest `bench` measures by itself, as its clock counts instructions: it does
//! each many times and prints `BENCH <operation> samples=… min=… mode=… p99=… max=…`. Guest's and
//! hypervisor's instructions together, from the guest's instruction to its next one, or to the
//! first one of its interrupt vector.

use super::figures::{Figure, Operations};
use crate::{
    Error, Result,
    build::{self, Built},
    qemu::Machine,
    root,
    session::Session,
};
use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

/// Time for one run.
const LIMIT: Duration = Duration::from_secs(300);

/// What is booted, and which of its operations is taken, by another name.
struct Run {
    description: &'static str,
    /// What the guest calls it, and we.
    renamed: Option<(&'static str, &'static str)>,
    /// Boot arguments of the description that are to stay where others are given.
    words: &'static str,
}

/// (A WFE that gives way would show a switch between VMs alone, but QEMU 7.2 traps none.)
const RUNS: [Run; 4] = [
    Run { description: "vms/bench.dts", renamed: None, words: "" },
    Run {
        description: "vms/bench-dedicated.dts",
        renamed: Some(("wfi-timer", "wfi-dedicated")),
        words: "",
    },
    Run {
        description: "vms/bench-beside.dts",
        renamed: Some(("wfi-timer", "wfi-beside-busy")),
        words: "later=1000",
    },
    Run {
        description: "vms/bench-touch.dts",
        renamed: Some(("stage2-fault", "stage2-fault")),
        words: "",
    },
];

/// The figures on one CPU model.
pub fn measure(built: &Built, model: &str) -> Result<Operations> {
    let mut operations = Operations::new();
    for run in &RUNS {
        let blob = build::description(&root().join(run.description))?;
        let mut found = boot(super::machine(&built.image, &blob, model))?;
        if let Some((old, new)) = run.renamed {
            found = found.remove(old).map(|one| (new.into(), one)).into_iter().collect();
        }
        operations.extend(found);
    }
    Ok(operations)
}

/// The description with which an operation is measured, what the guest calls it, and further boot
/// arguments.
pub fn found_in(operation: &str) -> (&'static str, &str, &'static str) {
    let renamed = |run: &Run| {
        let (old, _) = run.renamed.filter(|(_, new)| *new == operation)?;
        Some((run.description, old, run.words))
    };
    RUNS.iter().find_map(renamed).unwrap_or((RUNS[0].description, operation, RUNS[0].words))
}

/// Boots until the guest has measured everything.
pub fn boot(machine: Machine) -> Result<Operations> {
    let mut session = Session::held(&mut machine.command())?;
    let ended = session.wait_for("BENCH end", 0, Instant::now() + LIMIT);
    let console = String::from_utf8_lossy(&session.raw);
    let found = parse(&console);
    if ended.is_none() || found.is_empty() {
        return Err(Error::Failed {
            what: format!("the benchmark on {}", machine.cpu),
            how: format!(
                "no `BENCH end`\n{console}\n{}",
                String::from_utf8_lossy(&session.complaints)
            ),
        });
    }
    Ok(found)
}

/// The lines `[…] BENCH <operation> samples=N …` of a console.
fn parse(console: &str) -> Operations {
    let mut operations = Operations::new();
    for line in console.lines() {
        let Some((_, rest)) = line.split_once("BENCH ") else {
            continue;
        };
        let mut words = rest.split_whitespace();
        let operation = words.next().unwrap_or_default();
        let fields: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        let number = |key: &str| fields.get(key).and_then(|text| text.parse().ok());
        if let Some(figure) = Figure::by(number) {
            operations.insert(operation.to_owned(), figure);
        }
    }
    operations
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_found_among_others() {
        let found = parse(
            "x\n[b] BENCH hvc samples=10 min=7 mode=9 p99=10 max=30 mean=800\n\
             [b] BENCH odd samples=10 min=7 mode=x p99=10 max=30\n",
        );
        let figure = Figure { samples: 10, min: 7, mode: 9, p99: 10, max: 30 };
        assert_eq!(found, Operations::from([("hvc".into(), figure)]));
    }
}
