//! The demo: what `make run` shows, built in and as a description, and on the bare machine.

use crate::harness::{Case, Cpu, Outcome, Profile, Test, Verdict};
use mezzanine_tools::{build, root};
use std::fs;

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("demo/built-in", |config| {
            let outcome = Case::new(config).run()?;
            outcome.expect_status(0)?;
            both_were_there(&outcome)?;
            interleaved(&outcome)
        }),
        Test::new("demo/two-benos", |config| {
            let blob = build::description(&root().join("vms/two-benos.dts"))?;
            let blob = fs::read(&blob).map_err(mezzanine_tools::Error::file(&blob))?;
            let outcome = Case::new(config).blob(blob).run()?;
            outcome.expect_status(0)?;
            both_were_there(&outcome)
        })
        .smp(&[2])
        .cpu(Cpu::A72)
        .profile(Profile::Release),
        Test::without_hypervisor("demo/bare-el1", |config| {
            let outcome = Case::bare(config, "benos").append("batch").run()?;
            outcome.expect_off()?;
            outcome.expect_line("", &["Booting at EL 1"])?;
            demonstration(&outcome, "")
        })
        .smp(&[2])
        .profile(Profile::Release),
        Test::without_hypervisor("demo/bare-el2", |config| {
            let case = Case::bare(config, "benos").append("batch");
            let outcome = case.properties(&["virtualization=on"]).run()?;
            outcome.expect_off()?;
            outcome.expect_line("", &["Booting at EL 2"])?;
            demonstration(&outcome, "")
        })
        .smp(&[2])
        .profile(Profile::Release),
    ]
}

fn both_were_there(outcome: &Outcome) -> Verdict {
    for name in ["alpha", "beta"] {
        outcome.expect_line(name, &["Booting at EL 1"])?;
        demonstration(outcome, name)?;
    }
    Ok(())
}

/// The steps of the guest's script, by what only their success prints.
fn demonstration(outcome: &Outcome, name: &str) -> Verdict {
    for parts in [
        &["Welcome BenOS!"][..],
        &["mmu: on"],
        &["12345"],
        &["abcde"],
        &["threads: both have ended"],
        &["svc: back at EL 1", "ended with 42"],
        &["PSCI_VERSION gives 1."],
        &["synchronous external abort"],
        &["survived"],
        &["cpu 1: at EL 1", "MPIDR_EL1 = 0x80000001"],
        &["cpu 1 answered an SGI"],
        &["BenOS: switching off"],
    ] {
        outcome.expect_line(name, parts)?;
    }
    ticks(outcome, name)
}

/// Handled ticks are those that were due, give or take one: `ticks: 22 handled, 22 due`.
pub fn ticks(outcome: &Outcome, name: &str) -> Verdict {
    let line = outcome.lines(name).find(|line| line.starts_with("ticks: "));
    let numbers: Vec<u64> = line
        .into_iter()
        .flat_map(|line| line.split(|c: char| !c.is_ascii_digit()))
        .filter_map(|number| number.parse().ok())
        .collect();
    match numbers[..] {
        [handled, due] if handled.abs_diff(due) <= 1 && due > 0 => Ok(()),
        _ => Err(outcome.failure(format!("[{name}] ticks: {line:?}"))),
    }
}

/// The two share the machine: each prints while the other has begun and not ended.
fn interleaved(outcome: &Outcome) -> Verdict {
    let names: Vec<&str> = outcome
        .all_lines()
        .filter_map(|line| {
            ["alpha", "beta"].into_iter().find(|name| line.starts_with(&format!("[{name}] ")))
        })
        .collect();
    let changes = names.windows(2).filter(|pair| pair[0] != pair[1]).count();
    // One after the other would be a single change.
    if changes < 4 {
        return Err(outcome.failure(format!("the VMs took turns {changes} times only")));
    }
    Ok(())
}
