//! `make bench OP=<operation>`: where the instructions of an operation go, by EL2's functions.
//!
//! The benchmark does the operation so often, and twice so often, and a plugin (scripts/counter)
//! counts how often each instruction of EL2 is executed. Virtual time is counted by instructions, so
//! that both runs are the same but for the second half: their difference is the operation's alone.

use crate::{
    Error, Result,
    bench::{
        self,
        counter::{Counter, Outcome, Profile, Wanted},
        outside::Run,
    },
    build::{self, Built},
    panics::code::Program,
    root, var,
};
use std::collections::BTreeMap;

/// How often an operation is done in the first run, where the guest can be told so.
const TIMES: u64 = 1000;

/// Measures `operation`, and prints a line for each function.
pub fn print(operation: &str) -> Result<()> {
    let known = bench::operations()?;
    if !known.iter().any(|name| name == operation) {
        let known = known.join(", ");
        return Err(Error::Usage(format!("OP={operation}: one of these was wanted: {known}")));
    }
    let built = bench::built()?;
    let counter = Counter::new()?;
    let cpu = var("CPU").unwrap_or_else(|| "cortex-a72".into());
    let measure = |factor: u64| match Run::of(operation) {
        // It is done once in a run, so the other half of the comparison is nothing.
        None if operation == bench::BOOT => match factor {
            1 => Ok((0, Profile::new())),
            _ => Ok((1, bench::boot_profile(&built, &counter, &cpu)?)),
        },
        Some(run) => {
            let outcome = run.boot(&built, &counter, &cpu, factor, true)?;
            Ok((run.samples(operation, &outcome) as u64, outcome.profile))
        }
        None => by_guest(operation, &built, &counter, &cpu, factor * TIMES),
    };
    let ((once, less), (twice, more)) = (measure(1)?, measure(2)?);
    let times = twice.saturating_sub(once).max(1);
    let functions = by_function(&Program::read(&built.elf)?, &less, &more, times);
    let total: f64 = functions.iter().map(|(_, count)| count).sum();
    let names = Run::of(operation).map_or(operation.into(), Run::names);
    println!("{names} on {cpu}: {total:.1} instructions of EL2 each time");
    for (name, count) in functions.iter().filter(|(_, count)| *count >= 0.1) {
        println!("{count:>9.1} {:>5.1} %  {name}", 100.0 * count / total);
    }
    Ok(())
}

/// Has the guest `bench` do the operation so often; returns how often that was, and the profile.
fn by_guest(
    operation: &str,
    built: &Built,
    counter: &Counter,
    cpu: &str,
    times: u64,
) -> Result<(u64, Profile)> {
    let (description, name, words) = bench::found_in(operation);
    let blob = build::description(&root().join(description))?;
    let mut machine = bench::machine(&built.image, &blob, cpu);
    let arguments = format!("only={name} n={times} {words}");
    machine.append.push(format!("bench.bootargs=\"{}\"", arguments.trim()));
    // To the machine's own end, if it has one: what comes after the benchmark is then the same in
    // both runs.
    let wanted = Wanted { profile: true, ..Wanted::default() };
    let Outcome { profile, console, .. } = counter.run(machine, &wanted, "BENCH end")?;
    if !console.contains(&format!("BENCH {name} ")) {
        return Err(Error::Failed {
            what: format!("measuring `{operation}` on {cpu}"),
            how: format!("no such line\n{console}"),
        });
    }
    Ok((times, profile))
}

/// By how much the second run executed more of each function, for each of so many times, the
/// dearest first.
fn by_function(
    program: &Program,
    less: &Profile,
    more: &Profile,
    times: u64,
) -> Vec<(String, f64)> {
    let mut functions: BTreeMap<&str, f64> = BTreeMap::new();
    for (offset, count) in more {
        let difference = *count as f64 - less.get(offset).copied().unwrap_or(0) as f64;
        let name = program.name_at(bench::IMAGE + offset).unwrap_or("(no function)");
        *functions.entry(name).or_default() += difference / times as f64;
    }
    let mut functions: Vec<_> =
        functions.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    functions.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    functions
}
