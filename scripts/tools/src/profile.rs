//! `make bench OP=<operation>`: where the instructions of an operation go, by EL2's functions.
//!
//! The benchmark does the operation so often, and twice so often, and a plugin (scripts/counter)
//! counts how often each instruction of EL2 is executed. Virtual time is counted by instructions, so
//! that both runs are the same but for the second half: their difference is the operation's alone.

use crate::{
    Error, Result, bench,
    build::{self, Profile},
    panics::code::Program,
    root,
    session::Session,
    var,
};
use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Time for one run.
const LIMIT: Duration = Duration::from_secs(300);
/// How often the operation is done in the first run.
const TIMES: u64 = 1000;
/// Where EL2's image is (src/el2/layout.rs).
const IMAGE: u64 = 0xff80_0000_0000;

/// How often each instruction was executed, by its offset in the image.
type Counts = BTreeMap<u64, u64>;

/// Measures `operation`, and prints a line for each function.
pub fn print(operation: &str) -> Result<()> {
    let known = bench::operations()?;
    if !known.iter().any(|name| name == operation) {
        let known = known.join(", ");
        return Err(Error::Usage(format!("OP={operation}: one of these was wanted: {known}")));
    }
    build::guests()?;
    let built = build::publish(&build::hypervisor(Profile::Release)?)?;
    let plugin = build::counter()?;
    let cpu = var("CPU").unwrap_or_else(|| "cortex-a72".into());
    let (description, name) = bench::found_in(operation);
    let blob = build::description(&root().join(description))?;
    let run = |times: u64| -> Result<Counts> {
        let file = root().join(format!("target/profile-{times}"));
        let mut machine = bench::machine(&built.image, &blob, &cpu);
        machine.append.push(format!("bench.bootargs=\"only={name} n={times}\""));
        let argument = format!("{},profile={}", plugin.display(), file.display());
        machine.extra.extend(["-plugin".into(), argument]);
        let mut session = Session::held(&mut machine.command())?;
        // To the machine's own end: what comes after the benchmark is then the same in both runs.
        let beside_another = session.wait_for("BENCH end", 0, Instant::now() + LIMIT).is_some()
            && session.wait_for("machine off", 0, Instant::now() + LIMIT / 60).is_none();
        if beside_another {
            session.stop();
        }
        session.finish(Some(Instant::now() + LIMIT))?;
        let measured = String::from_utf8_lossy(&session.raw).contains(&format!("BENCH {name} "));
        if !measured {
            return Err(Error::Failed {
                what: format!("measuring `{operation}` on {cpu}"),
                how: format!("no such line\n{}", String::from_utf8_lossy(&session.raw)),
            });
        }
        read(&file)
    };
    let (once, twice) = (run(TIMES)?, run(2 * TIMES)?);
    let functions = by_function(&Program::read(&built.elf)?, &once, &twice);
    let total: f64 = functions.iter().map(|(_, count)| count).sum();
    println!("{operation} on {cpu}: {total:.1} instructions of EL2 each time");
    for (name, count) in functions.iter().filter(|(_, count)| *count >= 0.1) {
        println!("{count:>9.1} {:>5.1} %  {name}", 100.0 * count / total);
    }
    Ok(())
}

/// The lines of a profile.
fn read(file: &Path) -> Result<Counts> {
    let text = fs::read_to_string(file).map_err(Error::file(file))?;
    let number = |line: &str| {
        let (offset, count) = line.split_once(' ')?;
        Some((offset.parse().ok()?, count.parse().ok()?))
    };
    Ok(text.lines().filter_map(number).collect())
}

/// By how much the second run executed more of each function, for each time, the dearest first.
fn by_function(program: &Program, once: &Counts, twice: &Counts) -> Vec<(String, f64)> {
    let mut functions: BTreeMap<&str, f64> = BTreeMap::new();
    for (offset, count) in twice {
        let more = *count as f64 - once.get(offset).copied().unwrap_or(0) as f64;
        let name = program.name_at(IMAGE + offset).unwrap_or("(no function)");
        *functions.entry(name).or_default() += more / TIMES as f64;
    }
    let mut functions: Vec<_> =
        functions.into_iter().map(|(name, count)| (name.to_owned(), count)).collect();
    functions.sort_by(|(_, a), (_, b)| b.total_cmp(a));
    functions
}
