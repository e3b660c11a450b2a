//! `make bench`: what each operation costs, in instructions, and what it costs elsewhere.
//!
//! Seconds mean little on a shared machine; instructions are exact. Under `-icount shift=0` QEMU's
//! virtual time advances one nanosecond an instruction and a run is the same every time.

mod clock;
mod figures;
mod table;

use crate::{
    Result,
    build::{self, Built, Profile},
    qemu::Machine,
    root,
};
use figures::Figures;
use std::path::{Path, PathBuf};

pub use clock::found_in;

/// CPU models that are measured: a name for the figures, and QEMU's.
const CPUS: [(&str, &str); 2] = [("cortex-a72", "cortex-a72"), ("max", "max,pauth-impdef=on")];

fn committed() -> PathBuf {
    root().join("docs/bench.json")
}

/// The guests, and the hypervisor as it ships.
fn built() -> Result<Built> {
    build::guests()?;
    build::publish(&build::hypervisor(Profile::Release)?)
}

/// Measures, and writes `target/bench.json`.
fn measure() -> Result<Figures> {
    let built = built()?;
    let mut figures = Figures::new();
    for (name, model) in CPUS {
        let of_model = figures.entry(name.into()).or_default();
        of_model.extend(clock::measure(&built, model)?);
    }
    figures::write(&figures, &root().join("target/bench.json"))?;
    Ok(figures)
}

/// The operations that there are figures of.
pub fn operations() -> Result<Vec<String>> {
    let figures = figures::read(&committed())?;
    Ok(figures.into_values().next().unwrap_or_default().into_keys().collect())
}

/// One pCPU, with virtual time counted by instructions.
pub fn machine(image: &Path, blob: &Path, model: &str) -> Machine {
    let mut machine = Machine::new(image);
    machine.properties.push("dtb-randomness=off".into());
    machine.cpu = model.into();
    machine.smp = 1;
    machine.initrd = Some(blob.into());
    machine.extra =
        ["-icount", "shift=0,sleep=off", "-rtc", "clock=vm", "-seed", "1"].map(String::from).into();
    machine
}

/// Measures, prints, and compares with the committed figures: nothing may have grown.
pub fn compare() -> Result<bool> {
    let now = measure()?;
    table::print(&now);
    let worse = figures::worse(&now, &figures::read(&committed())?);
    for line in &worse {
        println!("{line}");
    }
    if !worse.is_empty() {
        println!("Slower than before. If it has to be: make bench-accept");
    }
    Ok(worse.is_empty())
}

/// Measures, prints, and takes the figures for those to compare with.
pub fn accept() -> Result<()> {
    let now = measure()?;
    table::print(&now);
    figures::write(&now, &committed())
}
