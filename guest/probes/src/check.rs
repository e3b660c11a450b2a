//! The protocol: checks, counts and the last line.

use core::fmt::Debug;
use core::sync::atomic::{AtomicU32, Ordering};
use guest_rt::println;

static PASSED: AtomicU32 = AtomicU32::new(0);
static FAILED: AtomicU32 = AtomicU32::new(0);

/// Notes and prints a result.
pub fn passed(name: &str) {
    PASSED.fetch_add(1, Ordering::Relaxed);
    println!("PASS {name}");
}

/// Notes and prints a failure: what was found and what was wanted.
pub fn failed(name: &str, got: impl core::fmt::Display, want: impl core::fmt::Display) {
    FAILED.fetch_add(1, Ordering::Relaxed);
    println!("FAIL {name}: got {got}, want {want}");
}

/// Says that something cannot be tested here, and why. It counts neither way.
pub fn skipped(name: &str, why: &str) {
    println!("SKIP {name}: {why}");
}

/// Checks that two numbers, or two tuples of them, are the same.
pub fn equal<T: PartialEq + Debug>(name: &str, got: T, want: T) {
    if got == want {
        passed(name);
    } else {
        failed(name, format_args!("{got:x?}"), format_args!("{want:x?}"));
    }
}

/// Checks that something holds; `want` says what, in words.
pub fn that(name: &str, holds: bool, want: &str) {
    if holds {
        passed(name);
    } else {
        failed(name, "otherwise", want);
    }
}

/// Checks that a number lies within bounds, both included.
pub fn within(name: &str, got: u64, low: u64, high: u64) {
    if (low..=high).contains(&got) {
        passed(name);
    } else {
        failed(name, got, format_args!("{low} to {high}"));
    }
}

/// The last line.
pub fn end() {
    println!(
        "END passed={} failed={}",
        PASSED.load(Ordering::Relaxed),
        FAILED.load(Ordering::Relaxed)
    );
}
