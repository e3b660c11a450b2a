//! Fuzzers: each module has a `run` that makes something out of any bytes, feeds it to a part of
//! the hypervisor, and panics where that is not what a plain model says.
//!
//! `fuzz_targets` are the faces that libFuzzer calls (`make fuzz`); `src/bin/short.rs` replays the
//! corpora and mutates them for some seconds, without libFuzzer and the same way each time
//! (`make test`). What a target compares is also run with something mutilated, to see that it is
//! found out (`cargo test`).

pub mod cmdline;
pub mod decode;
pub mod description;
pub mod esr;
pub mod fdt;
pub mod image;
pub mod input;
pub mod machine;
pub mod mutate;
pub mod pl011;
pub mod psci;
pub mod stage2;
pub mod vgic;
pub mod vgic_any;
pub mod walk;

#[cfg(test)]
mod bite;

/// One fuzzer.
pub struct Target {
    /// Its name: the module's, the face's and the corpus's.
    pub name: &'static str,
    /// Takes any bytes; panics where something is wrong.
    pub run: fn(&[u8]),
    /// How many inputs a short run makes.
    pub inputs: u32,
}

/// All of them.
pub const TARGETS: [Target; 13] = [
    Target { name: "cmdline", run: cmdline::run, inputs: 100_000 },
    Target { name: "decode", run: decode::run, inputs: 30_000 },
    Target { name: "description", run: description::run, inputs: 50_000 },
    Target { name: "esr", run: esr::run, inputs: 200_000 },
    Target { name: "fdt", run: fdt::run, inputs: 50_000 },
    Target { name: "image", run: image::run, inputs: 200_000 },
    Target { name: "machine", run: machine::run, inputs: 50_000 },
    Target { name: "pl011", run: pl011::run, inputs: 200_000 },
    Target { name: "psci", run: psci::run, inputs: 200_000 },
    Target { name: "stage2", run: stage2::run, inputs: 1_500 },
    Target { name: "vgic", run: vgic::run, inputs: 4_000 },
    Target { name: "vgic_any", run: vgic_any::run, inputs: 50_000 },
    Target { name: "walk", run: walk::run, inputs: 200_000 },
];

/// What libFuzzer calls; built without it, a program that runs the files named.
#[macro_export]
macro_rules! face {
    ($name:ident) => {
        #[cfg(fuzzing)]
        libfuzzer_sys::fuzz_target!(|data: &[u8]| $crate::$name::run(data));

        #[cfg(not(fuzzing))]
        fn main() {
            for file in std::env::args().skip(1) {
                match std::fs::read(&file) {
                    Ok(bytes) => $crate::$name::run(&bytes),
                    Err(error) => eprintln!("{file}: {error}"),
                }
            }
        }
    };
}
