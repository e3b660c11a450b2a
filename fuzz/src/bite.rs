//! That a target bites: with something mutilated, its corpus and what can be made of it finds out.
//! And that its corpus gets past the first checks.

use crate::mutate::{Random, mutated};
use std::{
    cell::Cell,
    fs,
    panic::{self, AssertUnwindSafe},
    path::Path,
    sync::Once,
};

/// Inputs until which a mutilated part has to be found out.
const INPUTS: usize = 5000;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// Asserts that some input makes `mutilated` panic, and that the product, `run`, stands it.
pub fn assert_bites(name: &str, run: impl Fn(&[u8]), mutilated: impl Fn(&[u8])) {
    let corpus = corpus(name);
    let mut random = Random(1);
    let made = (0..INPUTS).map(|_| mutated(&corpus, &mut random));
    let found = corpus.iter().cloned().chain(made).find(|input| panics(&mutilated, input));
    let input = found.unwrap_or_else(|| panic!("{name}: nobody noticed"));
    run(&input);
}

/// Whether an input makes `run` panic, without a word of it.
fn panics(run: impl Fn(&[u8]), input: &[u8]) -> bool {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !QUIET.get() {
                loud(info);
            }
        }));
    });
    QUIET.set(true);
    let found = panic::catch_unwind(AssertUnwindSafe(|| run(input))).is_err();
    QUIET.set(false);
    found
}

/// Asserts that each committed input gets as far as `deep` says.
pub fn assert_deep(name: &str, deep: impl Fn(&[u8]) -> bool) {
    for (index, input) in corpus(name).iter().enumerate() {
        assert!(deep(input), "{name}: input {index} is refused");
    }
}

/// The committed inputs of a target.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(name);
    let entries = fs::read_dir(directory).expect("a corpus");
    let mut files: Vec<_> = entries.map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    files.into_iter().map(|file| fs::read(file).expect("a file")).collect()
}
