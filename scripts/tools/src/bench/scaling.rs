//! The cost of operations against the number of VMs and of vCPUs on one pCPU, all of which sleep but
//! those that it takes; and of a switch where none sleeps. An exit must cost the same whoever else is there.

use super::{
    CPUS,
    chart::{self, Panel, Series},
    clock,
    counter::Counter,
    describe::{self, Vm},
    outside,
};
use crate::{Error, Result, build::Built, root};
use std::fs;

const VMS: [u64; 7] = [1, 2, 4, 8, 16, 32, 64];
const VCPUS: [u64; 8] = [1, 2, 3, 4, 5, 6, 7, 8];
/// What a guest measures itself, each in a run of its own.
const BY_GUEST: [&str; 2] = ["hvc-version", "timer-due"];
/// What takes two of them, and is counted from outside; and the same where none sleeps.
const SWITCH: &str = "slice-switch";
const SWITCH_OF_ALL: &str = "all computing";
/// A guest that sleeps for longer than any run lasts.
const SLEEPS: &str = "ms=1000000000";

/// VMs that are there beside those that do something.
fn sleepers(count: u64) -> impl Iterator<Item = Vm> {
    (0..count).map(|n| Vm::small(format!("idle{n}"), "idle", SLEEPS))
}

/// `count` VMs, of which the first does `operation`.
fn vms_with_one(operation: &str, count: u64) -> Vec<Vm> {
    let words = format!("only={operation} n=1000 after=1000");
    let first = Vm::small("bench", "bench", &words);
    [first].into_iter().chain(sleepers(count - 1)).collect()
}

/// One VM of `count` vCPUs, of which the first does `operation`.
fn vcpus_with_one(operation: &str, count: u64) -> Vec<Vm> {
    let mut vms = vms_with_one(operation, 1);
    vms[0].cpus = count as usize;
    vms
}

/// From when on all compute. Milliseconds have few instructions in such a run, so it takes many until
/// all the others sleep.
const COMPUTES: &str = "at=20000 ms=2000";

/// `count` VMs, of which two compute.
fn vms_with_two(count: u64) -> Vec<Vm> {
    vms_that_compute(2).into_iter().chain(sleepers(count - 2)).collect()
}

/// One VM of `count` vCPUs, of which two compute.
fn vcpus_with_two(count: u64) -> Vec<Vm> {
    let words = format!("{COMPUTES} busy=2");
    vec![Vm { cpus: count as usize, ..Vm::small("a", "turns", &words) }]
}

/// `count` VMs that compute.
fn vms_that_compute(count: u64) -> Vec<Vm> {
    (0..count).map(|n| Vm::small(format!("turns{n}"), "turns", COMPUTES)).collect()
}

/// One VM of `count` vCPUs that compute.
fn vcpus_that_compute(count: u64) -> Vec<Vm> {
    vec![Vm { cpus: count as usize, ..Vm::small("a", "turns", COMPUTES) }]
}

/// Where the picture goes.
pub const PICTURE: &str = "target/scaling.svg";

/// Measures, prints, and draws.
pub fn measure(built: &Built, counter: &Counter) -> Result<()> {
    let panels = [
        Who {
            axis: "VMs on one pCPU",
            places: &VMS,
            one: vms_with_one,
            two: vms_with_two,
            all: vms_that_compute,
        }
        .measure(built, counter)?,
        Who {
            axis: "vCPUs of one VM on one pCPU",
            places: &VCPUS,
            one: vcpus_with_one,
            two: vcpus_with_two,
            all: vcpus_that_compute,
        }
        .measure(built, counter)?,
    ];
    let file = root().join(PICTURE);
    let title = "Cost of exits against how many there are";
    let vertical = format!("instructions (most frequent) on {}", CPUS[0].0);
    fs::write(&file, chart::draw(title, &vertical, &panels)).map_err(Error::file(&file))?;
    for panel in &panels {
        print(panel);
    }
    println!("drawn in {PICTURE}");
    Ok(())
}

/// Of what there is more and more, and the VMs for so many, of which one does an operation, two
/// compute, or all do.
struct Who {
    axis: &'static str,
    places: &'static [u64],
    one: fn(&str, u64) -> Vec<Vm>,
    two: fn(u64) -> Vec<Vm>,
    all: fn(u64) -> Vec<Vm>,
}

impl Who {
    fn measure(&self, built: &Built, counter: &Counter) -> Result<Panel> {
        let mut series = Vec::new();
        for name in BY_GUEST {
            let mut points = Vec::new();
            for &count in self.places {
                let blob = describe::compile("bench-scaling", &(self.one)(name, count))?;
                let found = clock::boot(super::machine(&built.image, &blob, CPUS[0].1))?;
                let figure = found.get(name).ok_or_else(|| Error::Failed {
                    what: format!("measuring `{name}` with {count} {}", self.axis),
                    how: format!("found {found:?}, wanted a figure of it"),
                })?;
                points.push((count, figure.mode));
            }
            series.push(Series { name: name.into(), points });
        }
        for (name, vms) in [(SWITCH, self.two), (SWITCH_OF_ALL, self.all)] {
            let mut points = Vec::new();
            for &count in self.places.iter().filter(|count| **count >= 2) {
                let blob = describe::compile("bench-scaling", &vms(count))?;
                let machine = super::machine(&built.image, &blob, CPUS[0].1);
                points.push((count, outside::slice_switch(built, counter, machine)?.mode));
            }
            series.push(Series { name: name.into(), points });
        }
        Ok(Panel { axis: self.axis.into(), places: self.places.into(), series })
    }
}

fn print(panel: &Panel) {
    print!("\n{:<28}", panel.axis);
    panel.places.iter().for_each(|place| print!("{place:>7}"));
    println!();
    for series in &panel.series {
        print!("{:<28}", series.name);
        for place in &panel.places {
            let point = series.points.iter().find(|(at, _)| at == place);
            print!("{:>7}", point.map_or("-".into(), |(_, value)| value.to_string()));
        }
        println!();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_are_as_many_as_was_said() {
        for count in VMS {
            assert_eq!(vms_with_one("hvc-version", count).len() as u64, count);
        }
        assert_eq!((vms_with_two(2).len(), vms_that_compute(64).len()), (2, 64));
        assert_eq!(vcpus_with_one("hvc-version", 5)[0].cpus, 5);
        assert_eq!(vcpus_with_two(8)[0].cpus, 8);
    }
}
