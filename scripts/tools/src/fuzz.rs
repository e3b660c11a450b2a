//! `make fuzz`: each fuzzer under libFuzzer for a while.

use crate::{Error, Result, root, var};
use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// Seconds for each target, where `SECONDS` doesn't say.
const SECONDS: u64 = 60;

/// An input is at most as long as the longest one committed, but at least this.
const LEAST_MAX_LEN: u64 = 1024;

const REMEDY: &str = "rustup toolchain install nightly --profile minimal; \
    cargo install cargo-fuzz --locked; and a C++ compiler (make test runs the fuzzers without)";

/// What became of a target.
#[derive(Debug, Default, PartialEq)]
struct Sum {
    executions: u64,
    /// Inputs that reach what none before them did.
    new: u64,
    /// An input that fails.
    artifact: Option<String>,
}

impl Sum {
    /// Takes a line of libFuzzer's.
    fn take(&mut self, line: &str) {
        let number = |text: &str| text.trim().parse().ok();
        if let Some(count) = line.strip_prefix("stat::number_of_executed_units:").and_then(number) {
            self.executions = count;
        } else if let Some(count) = line.strip_prefix("stat::new_units_added:").and_then(number) {
            self.new = count;
        } else if let Some((_, path)) = line.split_once("Test unit written to ") {
            self.artifact = Some(path.trim().into());
        }
    }
}

/// Runs the target that `TARGET` names, or all, each for `SECONDS`; returns the status to exit with.
pub fn run() -> Result<i32> {
    if !cargo().args(["fuzz", "--version"]).output().is_ok_and(|output| output.status.success()) {
        return Err(Error::Missing { program: "cargo +nightly fuzz".into(), remedy: REMEDY });
    }
    let seconds = match var("SECONDS") {
        None => SECONDS,
        Some(text) => text
            .parse()
            .map_err(|_| Error::Usage(format!("SECONDS={text}: a number of seconds wanted")))?,
    };
    let all = targets()?;
    let chosen = match var("TARGET") {
        None => all,
        Some(name) if all.contains(&name) => vec![name],
        Some(name) => {
            let all = all.join(", ");
            return Err(Error::Usage(format!("TARGET={name}: one of {all} wanted")));
        }
    };
    let mut sums = Vec::new();
    for name in &chosen {
        println!("\n==== {name}");
        sums.push(one(name, seconds)?);
    }
    println!();
    let mut status = 0;
    for (name, (sum, good)) in chosen.iter().zip(sums) {
        let Sum { executions, new, artifact } = sum;
        let verdict = if good { "ok" } else { "FAILED" };
        println!("{name:12} {executions:>10} executions, {new:>5} new inputs, {verdict}");
        if !good {
            status = 1;
        }
        if let Some(artifact) = artifact {
            let again = "cargo run --manifest-path fuzz/Cargo.toml --target-dir target/fuzz";
            println!("  again: {again} --bin short {name} {artifact}");
        }
    }
    Ok(status)
}

/// One target, and whether all went well.
fn one(name: &str, seconds: u64) -> Result<(Sum, bool)> {
    let committed = root().join("fuzz/corpus").join(name);
    let corpus = root().join("target/fuzz/corpus").join(name);
    let artifacts = root().join("target/fuzz/artifacts").join(name);
    let longest = seed(&committed, &corpus)?;
    make(&artifacts)?;
    let mut command = cargo();
    command.args(["fuzz", "run", "--target-dir", "target/fuzz/libfuzzer", name]).arg(&corpus).args(
        [
            "--".into(),
            format!("-max_total_time={seconds}"),
            format!("-max_len={}", longest.max(LEAST_MAX_LEN)),
            format!("-artifact_prefix={}/", artifacts.display()),
            "-timeout=20".into(),
            "-print_final_stats=1".into(),
        ],
    );
    let failed = |error: std::io::Error| Error::Failed {
        what: format!("cargo fuzz run {name}"),
        how: error.to_string(),
    };
    let mut child = command.stderr(Stdio::piped()).spawn().map_err(failed)?;
    let mut sum = Sum::default();
    if let Some(output) = child.stderr.take() {
        for line in BufReader::new(output).split(b'\n').map_while(|line| line.ok()) {
            let line = String::from_utf8_lossy(&line);
            println!("{line}");
            sum.take(&line);
        }
    }
    let status = child.wait().map_err(failed)?;
    Ok((sum, status.success()))
}

/// The nightly cargo. The toolchain that runs us is the pinned one, and says so to those it starts.
fn cargo() -> Command {
    let mut cargo = Command::new("cargo");
    cargo.env_remove("RUSTUP_TOOLCHAIN").env_remove("CARGO").arg("+nightly").current_dir(root());
    cargo
}

/// The names of the faces.
fn targets() -> Result<Vec<String>> {
    let files = entries(&root().join("fuzz/fuzz_targets"))?;
    let names = files.iter().filter_map(|file| file.file_stem()?.to_str());
    Ok(names.map(String::from).collect())
}

/// Copies the committed corpus to where libFuzzer may add to it; returns the length of the longest
/// input.
fn seed(committed: &Path, corpus: &Path) -> Result<u64> {
    make(corpus)?;
    let mut longest = 0;
    for file in entries(committed)? {
        if let Some(name) = file.file_name() {
            let size = fs::copy(&file, corpus.join(name)).map_err(Error::file(&file))?;
            longest = longest.max(size);
        }
    }
    Ok(longest)
}

fn make(directory: &Path) -> Result<()> {
    fs::create_dir_all(directory).map_err(Error::file(directory))
}

fn entries(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(Error::file(directory))?;
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_libfuzzer_says_is_understood() {
        let mut sum = Sum::default();
        for line in [
            "#524288\tpulse  cov: 210 ft: 1180 corp: 97/2210b exec/s: 262144 rss: 60Mb",
            "artifact_prefix='a/'; Test unit written to a/crash-12ab",
            "stat::number_of_executed_units: 3000",
            "stat::new_units_added:          17",
        ] {
            sum.take(line);
        }
        let artifact = Some("a/crash-12ab".into());
        assert_eq!(sum, Sum { executions: 3000, new: 17, artifact });
    }

    #[test]
    fn every_face_has_a_corpus() {
        let names = targets().expect("faces");
        assert!(names.len() >= 10);
        for name in names {
            assert!(
                !entries(&root().join("fuzz/corpus").join(&name)).expect("a corpus").is_empty()
            );
        }
    }
}
