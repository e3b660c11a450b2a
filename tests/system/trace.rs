//! The timeline: taken from a machine as `make trace` takes it, it says what happened there.

use crate::harness::{Config, Failure, Profile, Test, Verdict};
use mezzanine::trace::format::{Kind, NO_VCPU};
use mezzanine_tools::{
    BARE,
    qemu::Machine,
    root,
    trace::{capture::capture, file::Trace, html, model::Model, pftrace, words},
};
use std::{collections::BTreeMap, fs, path::PathBuf, time::Duration};

/// More than the demo takes.
const LONG: Duration = Duration::from_secs(60);

/// Exits by VM, vCPU and kind.
type Counts = BTreeMap<(String, u8, String), u64>;

/// The demo's trace to its end, and what the console said.
fn demo(config: Config, name: &str, records: u32) -> Result<(Trace, String), Failure> {
    let directory = root().join("target").join(BARE).join(config.profile.directory());
    let mut machine = Machine::new(directory.join("mezzanine.img"));
    machine.cpu = config.cpu.model().into();
    machine.smp = config.smp;
    machine.append = vec![format!("trace={records}"), "log=debug".into()];
    let profile = config.profile.directory();
    let file: PathBuf = root().join(format!("target/trace-{name}-{}-{profile}.bin", config.smp));
    let console = capture(machine, LONG, &file)?;
    let bytes = fs::read(&file).map_err(mezzanine_tools::Error::file(&file))?;
    let trace = Trace::parse(&bytes).map_err(|fault| Failure::new(fault.to_string()))?;
    fs::remove_file(&file).map_err(mezzanine_tools::Error::file(&file))?;
    Ok((trace, console))
}

/// `alpha vCPU 0: 5031 exits: 6 calls, 4 registers, …`: what each vCPU counted until its VM ended.
fn counted(console: &str) -> Counts {
    let mut counts = Counts::new();
    for line in console.lines() {
        let Some((_, line)) = line.split_once("[mezzanine] DEBUG: ") else { continue };
        let Some((vcpu, kinds)) = line.split_once(" exits: ") else { continue };
        let Some((vm, vcpu)) = vcpu.split_once(" vCPU ") else { continue };
        let Some(Ok(vcpu)) = vcpu.split(':').next().map(str::parse) else { continue };
        for kind in kinds.trim().split(", ") {
            if let Some((Ok(count), kind)) = kind.split_once(' ').map(|(n, kind)| (n.parse(), kind))
            {
                counts.insert((vm.into(), vcpu, kind.into()), count);
            }
        }
    }
    counts
}

/// The same as the trace has them.
fn traced(trace: &Trace, model: &Model) -> Counts {
    let mut counts = Counts::new();
    for exit in model.exits.iter().filter(|exit| exit.kind != Kind::None) {
        let (vm, vcpu) = model.vcpus[exit.vcpu];
        let vm = trace.vm(vm).unwrap_or("none").to_owned();
        *counts.entry((vm, vcpu, words::kind(exit.kind).into())).or_default() += 1;
    }
    counts
}

/// Every slice nests, and the Perfetto file has as many exits as the trace.
fn nests(trace: &Trace, model: &Model) -> Verdict {
    let file = pftrace::read(&pftrace::write(trace, model));
    let file = file.map_err(|error| Failure::new(format!("the Perfetto file: {error}")))?;
    let slices = pftrace::slices(&file).map_err(Failure::new)?;
    let exits = slices.iter().filter(|slice| slice.name.starts_with("exit:"));
    // Within what its vCPU does.
    let (inner, all) = (exits.clone().filter(|slice| slice.depth == 1).count(), exits.count());
    if (inner, all) == (model.exits.len(), model.exits.len()) {
        return Ok(());
    }
    let found = format!("{all} exits in the Perfetto file, {inner} within their vCPU");
    Err(Failure::new(format!("{found}, of {}", model.exits.len())))
}

/// A trace that has lost nothing has every exit that was counted.
fn whole(config: Config) -> Verdict {
    let (trace, console) = demo(config, "whole", 65536)?;
    let model = Model::new(&trace);
    if trace.lost() != 0 {
        return Err(Failure::new(format!("{} records lost", trace.lost())));
    }
    nests(&trace, &model)?;
    let (counted, traced) = (counted(&console), traced(&trace, &model));
    if counted.len() < 8 {
        return Err(Failure::new(format!("the console counts {counted:?}")));
    }
    if counted != traced {
        return Err(Failure::new(format!("counted {counted:?}\ntraced {traced:?}")));
    }
    let page = html::page(&trace, &model);
    for text in ["alpha, beta", "HVC PSCI_VERSION", "write UARTDR", "alpha is running"] {
        if !page.contains(text) {
            return Err(Failure::new(format!("the page does not say `{text}`")));
        }
    }
    Ok(())
}

/// One that has lost its beginning says so, and holds its end.
fn cut(config: Config) -> Verdict {
    let (trace, _) = demo(config, "cut", 256)?;
    let model = Model::new(&trace);
    nests(&trace, &model)?;
    let most = 255 * config.smp as usize;
    let full = trace.rings.iter().all(|ring| ring.lost > 0);
    if !full || trace.events.len() != most {
        let rings = &trace.rings;
        return Err(Failure::new(format!("{} of {most} records, {rings:?}", trace.events.len())));
    }
    // The last thing that happened: the VMs end.
    let ends = trace.events.iter().filter(|event| event.record.vcpu == NO_VCPU);
    let ends = ends.filter(|event| words::event(event.event) == "life cycle").count();
    if ends > 0 { Ok(()) } else { Err(Failure::new("no VM's end is seen")) }
}

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("trace/whole", whole),
        Test::new("trace/cut", cut).smp(&[1, 2]).profile(Profile::Release),
    ]
}
