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

/// What is booted, and which of its operations goes by another name. (A WFE that gives way would
/// show a switch between VMs alone, but QEMU 7.2 traps none.)
const RUNS: [(&str, Option<(&str, &str)>); 3] = [
    ("vms/bench.dts", None),
    ("vms/bench-dedicated.dts", Some(("wfi-timer", "wfi-dedicated"))),
    ("vms/bench-beside.dts", Some(("wfi-timer", "wfi-beside-busy"))),
];

/// The figures on one CPU model.
pub fn measure(built: &Built, model: &str) -> Result<Operations> {
    let mut operations = Operations::new();
    for (description, renamed) in RUNS {
        let blob = build::description(&root().join(description))?;
        let mut found = boot(super::machine(&built.image, &blob, model))?;
        if let Some((old, new)) = renamed {
            found = found.remove(old).map(|one| (new.into(), one)).into_iter().collect();
        }
        operations.extend(found);
    }
    Ok(operations)
}

/// The description with which an operation is measured, and what the guest calls it.
pub fn found_in(operation: &str) -> (&'static str, &str) {
    let renamed = |(description, renamed): &(&'static str, Option<(&'static str, &str)>)| {
        renamed.filter(|(_, new)| *new == operation).map(|(old, _)| (*description, old))
    };
    RUNS.iter().find_map(renamed).unwrap_or((RUNS[0].0, operation))
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
