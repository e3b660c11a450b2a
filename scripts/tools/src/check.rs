//! `make test`: every check there is, one after the other, and one line at the end.

use crate::{
    BARE, Error, Result, bench, browser,
    build::{self, Profile},
    panics, root,
};
use std::{
    io::{BufRead, BufReader},
    process::{Command, ExitStatus, Stdio},
    time::Instant,
};

/// Seconds that Miri may take each time, on a machine that is busy; alone it needs some minutes.
const MIRI_LIMIT: &str = "1200";

/// Rooms without unsafe code of their own that read whole trees in each of their tests, which takes
/// Miri half a minute: only some run.
const MIRI_SLOW: [&str; 3] = ["platform::machine::", "vm::description::", "vm::tree::"];
const MIRI_OF_THESE: [&str; 8] = [
    "platform::machine::tests::qemus_virt_board_is_understood",
    "platform::machine::tests::spoiled_trees_are_survived",
    "vm::description::tests::nothing_is_copied",
    "vm::description::tests::spoiled_descriptions_are_survived",
    "vm::description::region::tests::files_and_read_only_memory_are_read",
    "vm::tree::tests::seeds_have_their_places_in_a_generated_tree",
    "vm::tree::tests::a_users_tree_is_patched_only_where_it_must_be",
    "vm::tree::tests::spoiled_user_trees_are_survived",
];

/// Seconds that any other step may take, so that nothing hangs for ever: an hour and a half.
const LIMIT: &str = "5400";

/// The sum over all steps.
#[derive(Debug, Default)]
struct Count {
    passed: u64,
    failed: u64,
    /// What failed by name, where a name is known.
    names: Vec<String>,
}

/// What a step has to say for itself.
type Step = (&'static str, Box<dyn FnOnce() -> Result<Count>>);

/// Runs all steps, whatever some of them find; returns the status to exit with.
pub fn all(full: bool) -> Result<i32> {
    let start = Instant::now();
    let mut sum = Count::default();
    for (name, step) in steps(full) {
        println!("\n==== {name}");
        let begun = Instant::now();
        let count = step().unwrap_or_else(|error| {
            println!("{error}");
            judged(false)
        });
        let verdict = if count.failed == 0 { "ok" } else { "FAILED" };
        println!("---- {name}: {verdict}, {} s", begun.elapsed().as_secs());
        sum.passed += count.passed;
        sum.failed += count.failed;
        if count.failed > 0 && count.names.is_empty() {
            sum.names.push(name.into());
        }
        sum.names.extend(count.names.iter().map(|test| format!("{name}: {test}")));
    }
    println!("\nall of it: {} s", start.elapsed().as_secs());
    for name in &sum.names {
        println!("failed: {name}");
    }
    println!("{} passed, {} failed", sum.passed, sum.failed);
    Ok(i32::from(sum.failed > 0))
}

/// `make lint`: the first steps alone.
pub fn lint() -> Result<i32> {
    for arguments in LINTS {
        build::check("lint", build::cargo().args(arguments))?;
    }
    Ok(0)
}

/// `make hostile`: the hostile guests on every machine, and a table of what came of each family.
pub fn hostile() -> Result<i32> {
    let mut cargo = build::cargo();
    cargo.args(["test", "--quiet", "--package", "mezzanine", "--test", "system"]);
    let status = cargo.args(["--", "hostile/", "--all", "--table"]).status();
    let status = status.map_err(|error| Error::Failed {
        what: "running the hostile guests".into(),
        how: error.to_string(),
    })?;
    Ok(i32::from(!status.success()))
}

/// `make chaos`: random guests, as many as `N` says.
pub fn chaos() -> Result<i32> {
    let mut cargo = build::cargo();
    cargo.args(["test", "--quiet", "--package", "mezzanine", "--test", "system"]);
    let status = cargo.args(["--", "--chaos"]).status();
    let status = status.map_err(|error| Error::Failed {
        what: "running random guests".into(),
        how: error.to_string(),
    })?;
    Ok(i32::from(!status.success()))
}

const LINTS: [&[&str]; 5] = [
    &["fmt", "--all", "--check"],
    &["clippy", "--quiet", "--workspace", "--all-targets", "--", "-Dwarnings"],
    &[
        "clippy",
        "--quiet",
        "--target",
        BARE,
        "-p",
        "mezzanine",
        "-p",
        "guest-rt",
        "-p",
        "benos",
        "-p",
        "hostile",
        "-p",
        "probes",
        "-p",
        "strain",
        "--",
        "-Dwarnings",
    ],
    &["fmt", "--manifest-path", FUZZ, "--check"],
    &[
        "clippy",
        "--quiet",
        "--manifest-path",
        FUZZ,
        "--target-dir",
        FUZZ_TARGET,
        "--all-targets",
        "--",
        "-Dwarnings",
    ],
];

/// The fuzzers are a workspace of their own, with a directory of their own for what is built.
const FUZZ: &str = "fuzz/Cargo.toml";
const FUZZ_TARGET: &str = "target/fuzz";

fn steps(full: bool) -> Vec<Step> {
    let mut system = vec!["test", "--package", "mezzanine", "--test", "system"];
    if full {
        system.extend(["--", "--all"]);
    }
    vec![
        ("format", cargo(LINTS[0])),
        ("clippy on the host", cargo(LINTS[1])),
        ("clippy on the bare machine", cargo(LINTS[2])),
        ("format of the fuzzers", cargo(LINTS[3])),
        ("clippy on the fuzzers", cargo(LINTS[4])),
        (
            "unit and property tests",
            cargo(&["test", "--workspace", "--exclude", "models", "--lib", "--bins"]),
        ),
        (
            "fuzzers, whether they bite",
            cargo(&["test", "--manifest-path", FUZZ, "--target-dir", FUZZ_TARGET, "--lib"]),
        ),
        (
            "fuzzers, a short run",
            cargo(&[
                "run",
                "--quiet",
                "--manifest-path",
                FUZZ,
                "--target-dir",
                FUZZ_TARGET,
                "--bin",
                "short",
            ]),
        ),
        ("models", cargo(&["test", "--package", "models"])),
        ("Miri", Box::new(miri)),
        ("the timeline's page, in a browser", Box::new(page)),
        ("boundaries", cargo(&["test", "--package", "mezzanine", "--test", "boundaries"])),
        ("system tests", cargo(&system)),
        (
            "panics that an exit can reach",
            Box::new(|| {
                let built = build::publish(&build::hypervisor(Profile::Release)?)?;
                panics::compare(&built.elf).map(judged)
            }),
        ),
        ("instructions of each operation", Box::new(|| bench::compare().map(judged))),
    ]
}

/// One check, passed or not.
fn judged(good: bool) -> Count {
    Count { passed: u64::from(good), failed: u64::from(!good), names: Vec::new() }
}

fn cargo(arguments: &[&str]) -> Box<dyn FnOnce() -> Result<Count>> {
    let arguments: Vec<String> = arguments.iter().map(|&one| one.into()).collect();
    Box::new(move || {
        let cargo = build::cargo();
        let mut command = limited(LIMIT);
        command.arg(cargo.get_program()).args(arguments);
        for (name, value) in cargo.get_envs() {
            if let Some(value) = value {
                command.env(name, value);
            }
        }
        counted(&mut command)
    })
}

/// The page of `make trace`, where there is a browser to open it in. Without one its tests are ignored,
/// and no other run counts them.
fn page() -> Result<Count> {
    if browser::program().is_none() {
        println!("skipped: no Chromium here (make doctor)");
        return Ok(Count::default());
    }
    let tests = ["test", "--package", "mezzanine-tools", "--test", "page", "--", "--ignored"];
    cargo(&tests)()
}

/// The pure rooms under Miri, where a nightly has it.
fn miri() -> Result<Count> {
    let nightly = || {
        let mut cargo = Command::new("cargo");
        // The toolchain that runs us is the pinned one, and says so to those it starts.
        cargo.env_remove("RUSTUP_TOOLCHAIN").current_dir(root());
        cargo
    };
    let found = nightly()
        .args(["+nightly", "miri", "--version"])
        .output()
        .is_ok_and(|output| output.status.success());
    if !found {
        println!("skipped: no nightly with Miri here (make doctor)");
        return Ok(Count::default());
    }
    let run = |arguments: &mut dyn Iterator<Item = &'static str>| {
        let mut command = limited(MIRI_LIMIT);
        command.env_remove("RUSTUP_TOOLCHAIN").args(["cargo", "+nightly", "miri", "test"]);
        command.args(["--package", "mezzanine", "--lib", "--"]).args(arguments);
        counted(&mut command)
    };
    let mut sum = run(&mut MIRI_SLOW.iter().flat_map(|&room| ["--skip", room]))?;
    let some = run(&mut ["--exact"].into_iter().chain(MIRI_OF_THESE))?;
    if some.passed + some.failed != MIRI_OF_THESE.len() as u64 {
        println!("a test that is named in scripts/tools/src/check.rs is not there");
        sum.failed += 1;
    }
    sum.passed += some.passed;
    sum.failed += some.failed;
    sum.names.extend(some.names);
    Ok(sum)
}

fn limited(seconds: &str) -> Command {
    let mut command = Command::new("timeout");
    command.arg(seconds).current_dir(root());
    command
}

/// Runs a step, shows what it prints, and adds up the results of the test programs in it. One that
/// reports none is a check by itself; one that fails without a failed test counts as one.
fn counted(command: &mut Command) -> Result<Count> {
    let what = format!("{command:?}");
    let failed =
        |error: std::io::Error| Error::Failed { what: what.clone(), how: error.to_string() };
    let mut child = command.stdout(Stdio::piped()).spawn().map_err(failed)?;
    let mut results = Vec::new();
    let mut names = Vec::new();
    if let Some(output) = child.stdout.take() {
        for line in BufReader::new(output).split(b'\n').map_while(|line| line.ok()) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            results.extend(result(&line));
            names.extend(failure(&line).map(String::from));
        }
    }
    let status = child.wait().map_err(failed)?;
    Ok(Count { names, ..total(&results, status) })
}

fn total(results: &[(u64, u64)], status: ExitStatus) -> Count {
    if results.is_empty() {
        return judged(status.success());
    }
    let passed = results.iter().map(|(passed, _)| passed).sum();
    let failed: u64 = results.iter().map(|(_, failed)| failed).sum();
    Count { passed, failed: failed.max(u64::from(!status.success())), names: Vec::new() }
}

/// The name of `test NAME ... FAILED`.
fn failure(line: &str) -> Option<&str> {
    let (name, verdict) = line.strip_prefix("test ")?.split_once(" ... ")?;
    verdict.starts_with("FAILED").then_some(name)
}

/// The numbers of `test result: ok. 9 passed; 0 failed; …`.
fn result(line: &str) -> Option<(u64, u64)> {
    let rest = line.strip_prefix("test result: ")?;
    let (_, rest) = rest.split_once(". ")?;
    let mut parts = rest.split("; ");
    let mut number = |word: &str| parts.next()?.strip_suffix(word)?.trim().parse().ok();
    Some((number("passed")?, number("failed")?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_libtest_are_understood() {
        let line = "test result: ok. 9 passed; 1 failed; 0 ignored; 0 measured";
        assert_eq!(result(line), Some((9, 1)));
        assert_eq!(result("test result: FAILED. 3 passed; 4 failed"), Some((3, 4)));
        assert_eq!(result("test a ... ok"), None);
        assert_eq!(failure("test a/b [a72 smp=1] ... FAILED (1.0 s)"), Some("a/b [a72 smp=1]"));
        assert_eq!(failure("test a ... ok"), None);
    }
}
