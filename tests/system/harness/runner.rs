//! Runs the tests and reports as libtest does.

use super::{Config, Profile, Test, Verdict};
use mezzanine_tools::{build, fetch, root};
use std::{
    env,
    num::NonZero,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Instant,
};

/// What the command line asks for.
struct Wanted {
    names: Vec<String>,
    all: bool,
    list: bool,
    threads: usize,
}

impl Wanted {
    fn from_arguments() -> Self {
        let mut wanted = Wanted {
            names: Vec::new(),
            all: false,
            list: false,
            threads: thread::available_parallelism().map_or(1, NonZero::get),
        };
        let mut arguments = env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--all" => wanted.all = true,
                "--list" => wanted.list = true,
                "--test-threads" => {
                    let number = arguments.next().and_then(|number| number.parse().ok());
                    wanted.threads = number.unwrap_or(1);
                }
                // libtest's other options change nothing here.
                option if option.starts_with('-') => {}
                name => wanted.names.push(name.into()),
            }
        }
        wanted
    }

    fn takes(&self, name: &str) -> bool {
        self.names.is_empty() || self.names.iter().any(|part| name.contains(part))
    }
}

/// Builds what is needed, once, and runs what the command line asks for.
pub fn main(tests: &[Test]) -> ExitCode {
    let wanted = Wanted::from_arguments();
    let mut runs: Vec<(&Test, Config)> = Vec::new();
    for test in tests {
        for config in test.configs(wanted.all) {
            if wanted.takes(&name(test, config)) {
                runs.push((test, config));
            }
        }
    }
    if wanted.list {
        for (test, config) in &runs {
            println!("{}: test", name(test, *config));
        }
        return ExitCode::SUCCESS;
    }
    if let Err(error) = prepare(&runs) {
        println!("{error}\n\ntest result: FAILED. 0 passed; {} failed", runs.len());
        return ExitCode::FAILURE;
    }
    println!("\nrunning {} tests", runs.len());
    let failures = run_all(&runs, wanted.threads);
    if !failures.is_empty() {
        println!("\nfailures:\n");
        for (name, failure) in &failures {
            println!("==== {name}: {failure}\n");
        }
    }
    let verdict = if failures.is_empty() { "ok" } else { "FAILED" };
    println!(
        "\ntest result: {verdict}. {} passed; {} failed",
        runs.len() - failures.len(),
        failures.len()
    );
    if failures.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn name(test: &Test, config: Config) -> String {
    format!("{} [{config}]", test.name)
}

/// The guests, and the hypervisor in the profiles that are asked for.
fn prepare(runs: &[(&Test, Config)]) -> mezzanine_tools::Result<()> {
    build::guests()?;
    // What tests need of others' systems, by the descriptions that name it.
    let needed = [
        ("real/", "crowd"),
        ("real/", "installer"),
        ("paused/linux", "crowd"),
        ("real/debian-generic", "linux-generic"),
        ("real/debian-rt", "linux-rt"),
    ];
    for (tests, description) in needed {
        if runs.iter().any(|(test, _)| test.name.starts_with(tests)) {
            fetch::needed(&root().join(format!("vms/{description}.dts")))?;
        }
    }
    for profile in [Profile::Release, Profile::Debug] {
        let boots =
            |(test, config): &(&Test, Config)| test.needs_hypervisor && config.profile == profile;
        if runs.iter().any(boots) {
            build::hypervisor(profile)?;
        }
    }
    Ok(())
}

/// Runs each on the next free thread; returns the failures in the order of the tests.
fn run_all(runs: &[(&Test, Config)], threads: usize) -> Vec<(String, super::Failure)> {
    let next = AtomicUsize::new(0);
    let failures = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                while let Some((test, config)) = runs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let start = Instant::now();
                    let verdict: Verdict = (test.body)(*config);
                    let took = start.elapsed().as_secs_f32();
                    let name = name(test, *config);
                    let word = if verdict.is_ok() { "ok" } else { "FAILED" };
                    println!("test {name} ... {word} ({took:.1} s)");
                    if let (Err(failure), Ok(mut failures)) = (verdict, failures.lock()) {
                        failures.push((name, failure));
                    }
                }
            });
        }
    });
    let mut failures = failures.into_inner().unwrap_or_default();
    failures.sort_by(|(one, _), (other, _)| one.cmp(other));
    failures
}
