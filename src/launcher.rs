//! What the binary is on the host: `cargo run` comes here, and goes on to the bare machine.
//!
//! The same package is run for the bare target, whose runner (`.cargo/config.toml`) starts QEMU.

use std::process::{Command, exit};

/// Runs `cargo run --target aarch64-unknown-none-softfloat` and ends with its status.
pub fn main() {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["run", "--quiet", "--package", "mezzanine"])
        .args(["--bin", "mezzanine"])
        .args(["--target", "aarch64-unknown-none-softfloat"]);
    if !cfg!(debug_assertions) {
        cargo.arg("--release");
    }
    let status = cargo.args(std::env::args_os().skip(1)).status();
    exit(match status {
        Ok(status) => status.code().unwrap_or(1),
        Err(error) => {
            eprintln!("cargo: {error}");
            1
        }
    });
}
