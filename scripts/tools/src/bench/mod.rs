//! `make bench`: what each operation costs, in instructions, and what it costs elsewhere.
//!
//! Seconds mean little on a shared machine; instructions are exact. Under `-icount shift=0` QEMU's
//! virtual time advances one nanosecond an instruction and a run is the same every time. What a
//! guest can measure it measures itself ([`clock`]); the rest is counted from outside ([`outside`]).

mod boot;
mod chart;
mod clock;
pub mod counter;
mod describe;
mod figures;
mod linux;
pub mod outside;
mod scaling;
mod size;
mod table;

use crate::{
    Error, Result,
    build::{self, Built, Profile},
    panics::code::Program,
    qemu::Machine,
    root, var,
};
use boot::Boot;
use counter::Counter;
use figures::Report;
use std::{
    fs,
    path::{Path, PathBuf},
};

pub use boot::profile as boot_profile;
pub use clock::found_in;

/// The name of what comes before all other operations.
pub const BOOT: &str = "boot";

/// CPU models that are measured: a name for the figures, and QEMU's.
const CPUS: [(&str, &str); 2] = [("cortex-a72", "cortex-a72"), ("max", "max,pauth-impdef=on")];

fn committed() -> PathBuf {
    root().join("docs/bench.json")
}

/// The guests, and the hypervisor as it ships.
pub fn built() -> Result<Built> {
    build::guests()?;
    build::publish(&build::hypervisor(Profile::Release)?)
}

/// Measures, prints, and writes `target/bench.json`: with `counter` everything, without it what a
/// guest sees.
fn measure(counter: Option<&Counter>) -> Result<Report> {
    let built = built()?;
    let mut report = Report::default();
    for (name, model) in CPUS {
        let of_model = report.instructions.entry(name.into()).or_default();
        of_model.extend(clock::measure(&built, model)?);
        if let Some(counter) = counter {
            of_model.extend(outside::measure(&built, counter, model)?);
        }
    }
    let boot = counter.map(|counter| boot::measure(&built, counter)).transpose()?;
    let of_first = report.instructions.entry(CPUS[0].0.into()).or_default();
    of_first.extend(boot.iter().map(|boot| (BOOT.into(), boot.figure)));
    report.bytes = size::measure(&built)?;
    table::print(&report.instructions);
    boot.iter().for_each(Boot::print);
    size::print(&report.bytes);
    match counter {
        None => println!("This QEMU takes no plugins: what no guest sees was not counted."),
        Some(counter) if var("ALL").is_some() => {
            let linux = linux::measure(&built, counter)?;
            linux.print();
            report.linux = linux.figures();
            scaling::measure(&built, counter)?;
        }
        Some(_) => {}
    }
    report.write(&root().join("target/bench.json"))?;
    Ok(report)
}

/// Where EL2's image is (src/el2/layout.rs).
pub const IMAGE: u64 = 0xff80_0000_0000;

/// Where a symbol of EL2 is, as an offset in its image.
fn offset(program: &Program, symbol: &str) -> Result<u64> {
    let found = program.named(symbol).first().map(|&index| program.functions[index].start());
    found.and_then(|address| address.checked_sub(IMAGE)).ok_or_else(|| Error::Failed {
        what: "looking for a symbol in target/mezzanine.elf".into(),
        how: format!("found none called `{symbol}`"),
    })
}

/// The operations that there are figures of.
pub fn operations() -> Result<Vec<String>> {
    let instructions = Report::read(&committed())?.instructions;
    Ok(instructions.into_values().next().unwrap_or_default().into_keys().collect())
}

/// One pCPU, with virtual time counted by instructions.
pub fn machine(image: &Path, blob: &Path, model: &str) -> Machine {
    let mut machine = Machine::new(image);
    machine.properties.push("dtb-randomness=off".into());
    machine.cpu = model.into();
    machine.smp = 1;
    machine.one_core = true;
    machine.initrd = Some(blob.into());
    machine.extra =
        ["-icount", "shift=0,sleep=off", "-rtc", "clock=vm", "-seed", "1"].map(String::from).into();
    machine
}

/// Measures, prints, and compares with the committed figures: nothing may have grown.
pub fn compare() -> Result<bool> {
    let counter = Counter::find()?;
    let now = measure(counter.as_ref())?;
    let mut before = Report::read(&committed())?.instructions;
    if counter.is_none() {
        for (cpu, operations) in &mut before {
            let measured = now.instructions.get(cpu);
            operations.retain(|name, _| measured.is_some_and(|now| now.contains_key(name)));
        }
    }
    let worse = figures::worse(&now.instructions, &before);
    for line in &worse {
        println!("{line}");
    }
    if !worse.is_empty() {
        println!("Slower than before. If it has to be: make bench-accept");
    }
    Ok(worse.is_empty())
}

/// Measures, prints, and takes the figures for those to compare with; of what was not measured this
/// time the old ones stay.
pub fn accept() -> Result<()> {
    let mut now = measure(Some(&Counter::new()?))?;
    if now.linux.is_empty() {
        now.linux = Report::read(&committed())?.linux;
    } else {
        let picture = root().join("docs/scaling.svg");
        fs::copy(root().join(scaling::PICTURE), &picture).map_err(Error::file(&picture))?;
    }
    now.write(&committed())
}
