//! `make bench`: what each operation costs, in instructions, and what it costs elsewhere.
//!
//! Seconds mean little on a shared machine; instructions are exact. Under `-icount shift=0` QEMU's
//! virtual time advances one nanosecond an instruction and a run is the same every time. The
//! guest `bench` does each operation many times and prints `BENCH <operation> mode=N max=M`:
//! guest's and hypervisor's instructions together, from the guest's instruction to its next one.

use crate::{
    Error, Result,
    build::{self, Profile},
    qemu::Machine,
    root,
    session::Session,
};
use serde_json::{Map, Value, json};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Time for one run.
const LIMIT: Duration = Duration::from_secs(300);

/// What may grow without anyone's asking: so much of the figure, or so many instructions.
const TOLERATED_PERCENT: u64 = 3;
const TOLERATED: u64 = 6;

/// CPU models that are measured: a name for the figures, and QEMU's.
const CPUS: [(&str, &str); 2] = [("cortex-a72", "cortex-a72"), ("max", "max,pauth-impdef=on")];

/// Other hypervisors' figures, measured by the same method on QEMU 7.2.22 (mode): the operation;
/// a stub that saves, decodes and returns; Bao 2.0, Xen 4.17, KVM 6.1 nVHE on cortex-a72; KVM VHE
/// on max.
const PEERS: [(&str, [Option<u64>; 5]); 10] = [
    ("hvc-version", [Some(53), Some(189), Some(471), Some(1545), Some(1051)]),
    ("hvc-unknown", [Some(53), Some(1692), Some(1638), Some(1482), Some(988)]),
    ("mrs-mdscr", [Some(53), None, Some(436), Some(1830), Some(1358)]),
    ("mrs-pfr0", [Some(53), None, Some(430), Some(1906), Some(1415)]),
    ("gicd-typer", [Some(53), Some(226), Some(600), Some(2279), Some(1809)]),
    ("gicr-typer", [Some(53), Some(270), Some(602), Some(2330), Some(1874)]),
    ("gicd-isenabler", [Some(53), Some(3564), Some(741), Some(2291), Some(1821)]),
    ("sgi-self", [None, Some(776), Some(1097), Some(2948), Some(2486)]),
    ("timer-due", [None, Some(200), Some(1084), Some(2911), Some(2434)]),
    ("wfi-timer", [None, Some(201), Some(7500), Some(13406), Some(12991)]),
];

/// Mode and maximum of one operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Figure {
    mode: u64,
    max: u64,
}

/// What is booted, and which of its operations goes by another name: beside a busy VM, waking up is
/// a switch between VMs. (A WFE that gives way would show two of these alone, but QEMU 7.2 traps
/// none.)
const RUNS: [(&str, Option<(&str, &str)>); 3] = [
    ("vms/bench.dts", None),
    ("vms/bench-dedicated.dts", Some(("wfi-timer", "wfi-dedicated"))),
    ("vms/bench-switch.dts", Some(("wfi-timer", "vm-switch"))),
];

/// Figures by CPU model and operation.
type Figures = BTreeMap<String, BTreeMap<String, Figure>>;

fn committed() -> PathBuf {
    root().join("docs/bench.json")
}

/// Measures, and writes `target/bench.json`.
fn measure() -> Result<Figures> {
    build::guests()?;
    let built = build::publish(&build::hypervisor(Profile::Release)?)?;
    let mut figures = Figures::new();
    for (description, renamed) in RUNS {
        let blob = build::description(&root().join(description))?;
        for (name, model) in CPUS {
            let mut found = boot(machine(&built.image, &blob, model))?;
            if let Some((old, new)) = renamed {
                found = found.remove(old).map(|one| (new.into(), one)).into_iter().collect();
            }
            figures.entry(name.into()).or_default().extend(found);
        }
    }
    write(&figures, &root().join("target/bench.json"))?;
    Ok(figures)
}

/// The operations that there are figures of.
pub fn operations() -> Result<Vec<String>> {
    let figures = read(&committed())?;
    Ok(figures.into_values().next().unwrap_or_default().into_keys().collect())
}

/// The description with which an operation is measured, and what the guest calls it.
pub fn found_in(operation: &str) -> (&'static str, &str) {
    let renamed = |(description, renamed): &(&'static str, Option<(&'static str, &str)>)| {
        renamed.filter(|(_, new)| *new == operation).map(|(old, _)| (*description, old))
    };
    RUNS.iter().find_map(renamed).unwrap_or((RUNS[0].0, operation))
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

/// Boots until the guest has measured everything.
fn boot(machine: Machine) -> Result<BTreeMap<String, Figure>> {
    let mut session = Session::held(&mut machine.command())?;
    let ended = session.wait_for("BENCH end", 0, Instant::now() + LIMIT);
    let console = String::from_utf8_lossy(&session.raw);
    let found = parse(&console);
    if ended.is_none() || found.is_empty() {
        return Err(Error::Failed {
            what: format!("the benchmark on {}", machine.cpu),
            how: format!(
                "no `BENCH end`\n{console}\n{}",
                String::from_utf8_lossy(&session.complaints)
            ),
        });
    }
    Ok(found)
}

/// The lines `[…] BENCH <operation> mode=N max=M` of a console.
fn parse(console: &str) -> BTreeMap<String, Figure> {
    let mut figures = BTreeMap::new();
    for line in console.lines() {
        let Some((_, rest)) = line.split_once("BENCH ") else {
            continue;
        };
        let mut words = rest.split_whitespace();
        let operation = words.next().unwrap_or_default();
        let fields: BTreeMap<&str, &str> = words.filter_map(|word| word.split_once('=')).collect();
        let number = |key| fields.get(key).and_then(|text| text.parse().ok());
        if let (Some(mode), Some(max)) = (number("mode"), number("max")) {
            figures.insert(operation.to_owned(), Figure { mode, max });
        }
    }
    figures
}

fn write(figures: &Figures, file: &Path) -> Result<()> {
    let mut object = Map::new();
    for (cpu, operations) in figures {
        let operations = operations
            .iter()
            .map(|(name, one)| (name.clone(), json!({ "mode": one.mode, "max": one.max })));
        object.insert(cpu.clone(), Value::Object(operations.collect()));
    }
    let text = serde_json::to_string_pretty(&Value::Object(object)).unwrap_or_default();
    fs::write(file, text + "\n").map_err(Error::file(file))
}

fn read(file: &Path) -> Result<Figures> {
    let text = fs::read_to_string(file).map_err(Error::file(file))?;
    let value: Value = serde_json::from_str(&text)
        .map_err(|error| Error::File { path: file.into(), why: error.to_string() })?;
    let mut figures = Figures::new();
    for (cpu, operations) in value.as_object().into_iter().flatten() {
        for (name, one) in operations.as_object().into_iter().flatten() {
            if let (Some(mode), Some(max)) = (one["mode"].as_u64(), one["max"].as_u64()) {
                let figure = Figure { mode, max };
                let cpu = figures.entry(cpu.clone()).or_default();
                cpu.insert(name.clone(), figure);
            }
        }
    }
    Ok(figures)
}

/// What grew by more than is tolerated, or is gone: one line each.
fn worse(now: &Figures, before: &Figures) -> Vec<String> {
    let mut lines = Vec::new();
    for (cpu, operations) in before {
        for (name, old) in operations {
            let allowed = old.mode + (old.mode * TOLERATED_PERCENT / 100).max(TOLERATED);
            match now.get(cpu).and_then(|operations| operations.get(name)) {
                None => lines.push(format!("{name} on {cpu}: not measured any more")),
                Some(new) if new.mode > allowed => lines.push(format!(
                    "{name} on {cpu}: {} instructions, committed {}, {allowed} tolerated",
                    new.mode, old.mode
                )),
                Some(_) => {}
            }
        }
    }
    lines
}

fn print(now: &Figures) {
    let column = |figure: Option<u64>| figure.map_or("-".into(), |number| number.to_string());
    println!(
        "{:<16} {:>7} {:>7} {:>7} {:>7} | {:>6} {:>6} {:>6} {:>8} {:>8}",
        "instructions",
        "a72",
        "worst",
        "max",
        "worst",
        "floor",
        "Bao",
        "Xen",
        "KVM nVHE",
        "KVM VHE"
    );
    let mut names: Vec<&str> = Vec::new();
    for operations in now.values() {
        let fresh = operations.keys().map(String::as_str);
        names.extend(fresh.filter(|name| !names.contains(name)).collect::<Vec<_>>());
    }
    for name in names {
        let of = |cpu: &str| now.get(cpu).and_then(|operations| operations.get(name));
        let (a72, max) = (of("cortex-a72"), of("max"));
        let peers = PEERS.iter().find(|(peer, _)| *peer == name);
        let peers = peers.map_or([None; 5], |(_, figures)| *figures).map(column);
        println!(
            "{name:<16} {:>7} {:>7} {:>7} {:>7} | {:>6} {:>6} {:>6} {:>8} {:>8}",
            column(a72.map(|one| one.mode)),
            column(a72.map(|one| one.max)),
            column(max.map(|one| one.mode)),
            column(max.map(|one| one.max)),
            peers[0],
            peers[1],
            peers[2],
            peers[3],
            peers[4],
        );
    }
}

/// Measures, prints, and compares with the committed figures: nothing may have grown.
pub fn compare() -> Result<bool> {
    let now = measure()?;
    print(&now);
    let worse = worse(&now, &read(&committed())?);
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
    print(&now);
    write(&now, &committed())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn figures(mode: u64) -> Figures {
        let one = BTreeMap::from([("hvc".to_owned(), Figure { mode, max: 2 * mode })]);
        BTreeMap::from([("max".to_owned(), one)])
    }

    #[test]
    fn lines_are_found_among_others() {
        let found = parse("x\n[b] BENCH hvc mode=120 max=300 n=10\n[b] BENCH odd mode=x max=1\n");
        assert_eq!(found, BTreeMap::from([("hvc".into(), Figure { mode: 120, max: 300 })]));
    }

    #[test]
    fn a_figure_may_grow_by_a_little() {
        assert!(worse(&figures(106), &figures(100)).is_empty());
        assert_eq!(worse(&figures(107), &figures(100)).len(), 1);
        assert!(worse(&figures(1030), &figures(1000)).is_empty());
        assert_eq!(worse(&figures(1031), &figures(1000)).len(), 1);
        assert_eq!(worse(&Figures::new(), &figures(100)).len(), 1);
    }
}
