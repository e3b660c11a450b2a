//! What stands behind the make verbs, and what the system tests share with them: building the
//! hypervisor and its guests, QEMU's command line, and a watched QEMU process.

pub mod bench;
pub mod browser;
pub mod build;
pub mod check;
pub mod error;
pub mod fetch;
pub mod fuzz;
pub mod initramfs;
pub mod marks;
pub mod panics;
pub mod profile;
pub mod qemu;
pub mod run;
pub mod session;
pub mod trace;

pub use error::{Error, Result};

use std::path::PathBuf;

/// The Rust target of everything that runs on the bare machine.
pub const BARE: &str = "aarch64-unknown-none-softfloat";

/// The root of the checkout that this program was built from.
pub fn root() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
        .components()
        .collect::<PathBuf>()
        .canonicalize()
        .unwrap_or_else(|_| PathBuf::from("."))
}

/// An environment variable, where unset and empty are the same: make exports its variables empty.
pub fn var(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}
