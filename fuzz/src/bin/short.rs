//! A short run without libFuzzer: replays each corpus, then as many mutations of it as the target's
//! table says, the same ones each time.
//!
//! `short` runs all targets; `short NAME FILE…` runs these inputs alone.

use fuzz::mutate::{Random, mutated};
use fuzz::{TARGETS, Target};
use std::{
    env, fs,
    panic::{self, AssertUnwindSafe},
    path::{Path, PathBuf},
    process::exit,
    time::Instant,
};

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let Some((name, files)) = arguments.split_first() else {
        return all();
    };
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        eprintln!("no fuzzer {name}; there are {}", TARGETS.map(|target| target.name).join(" "));
        exit(2);
    };
    for file in files {
        println!("{file}");
        (target.run)(&read(Path::new(file)));
    }
}

/// All targets, with a sum like that of `cargo test`.
fn all() {
    let failed = TARGETS.iter().filter(|target| !one(target)).count();
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    println!("test result: {verdict}. {} passed; {failed} failed", TARGETS.len() - failed);
    exit(i32::from(failed > 0));
}

fn one(target: &Target) -> bool {
    let begun = Instant::now();
    let corpus = corpus(target.name);
    let mut random = Random(0x6d65_7a7a);
    let made = (0..target.inputs).map(|_| mutated(&corpus, &mut random));
    let mut count = 0;
    let failing = corpus.iter().cloned().chain(made).find(|input| {
        count += 1;
        panic::catch_unwind(AssertUnwindSafe(|| (target.run)(input))).is_err()
    });
    let (name, seconds) = (target.name, begun.elapsed().as_secs_f32());
    match failing {
        None => println!("test {name} ... ok ({count} inputs, {seconds:.1} s)"),
        Some(input) => {
            let file = artifact(name, &input);
            println!("test {name} ... FAILED (input {count})");
            println!("again: cargo run --manifest-path fuzz/Cargo.toml --bin short {name} {file}");
            return false;
        }
    }
    true
}

/// The committed inputs of a target.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| {
        eprintln!("{}: {error}", directory.display());
        exit(1)
    });
    let mut files: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> Vec<u8> {
    fs::read(file).unwrap_or_else(|error| {
        eprintln!("{}: {error}", file.display());
        exit(1)
    })
}

/// Keeps an input that fails; returns where.
fn artifact(name: &str, input: &[u8]) -> String {
    let directory =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/fuzz/artifacts").join(name);
    let file = directory.join("short");
    if let Err(error) = fs::create_dir_all(&directory).and_then(|()| fs::write(&file, input)) {
        eprintln!("{}: {error}", file.display());
    }
    format!("target/fuzz/artifacts/{name}/short")
}
