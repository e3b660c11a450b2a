//! From a VM description to VMs that run.

use alloc::string::ToString;
use alloc::vec::Vec;

use log::{error, info, warn};

use super::description::{self, Limits, VmConfig};
use super::{Vm, memory, note_failure, stay, watch};
use crate::device::trng::Trng;
use crate::el2::features::ipa_bits;
use crate::memory::BLOCK_SIZE;
use crate::memory::frames::FrameAllocator;
use crate::platform::cmdline::CommandLine;
use crate::platform::console;

/// Bytes aligned as a device tree blob has to be.
#[repr(C, align(8))]
pub struct Blob<T: ?Sized>(pub T);

/// Makes the VMs of `blob` and starts those that want to be started. What is wrong is said, one
/// line a fault; a VM with a fault is refused, and the others start.
pub fn start_all(
    blob: &'static [u8],
    frames: FrameAllocator,
    pcpus: usize,
    words: &CommandLine<'static>,
    mut random: Option<Trng>,
) {
    if random.is_none() {
        warn!("neither rng-seed in the machine's /chosen nor RNDR: VMs get no random numbers");
    }
    for word in words.errors() {
        error!("{word}");
        note_failure();
    }
    if words.stay {
        stay();
    }
    let limits =
        Limits { pcpus, memory: frames.available() * BLOCK_SIZE, ipa_bits: ipa_bits().into() };
    memory::set_aside(frames);
    let mut configs = match description::read(blob, &limits, |name| words.bootargs(name)) {
        Ok(configs) => configs,
        Err(fault) => {
            return refuse(&fault);
        }
    };
    if words.batch {
        configs.iter_mut().flatten().for_each(|config| tell_batch(config, words));
    }
    for (name, _) in words.replacements() {
        let known = configs.iter().flatten().any(|config| config.name == name);
        if !known {
            refuse(&format_args!("command line: {name}.bootargs: no VM of this name"));
        }
    }
    info!("{pcpus} pCPUs, {} MiB for VMs, {} VMs", limits.memory >> 20, configs.len());
    let made = configs.into_iter().enumerate().map(|(id, config)| {
        let config = config.map_err(|fault| fault.to_string())?;
        Vm::make(id, config, ipa_bits(), random.as_mut().map(Trng::fork))
    });
    // All of them are there before the first one runs.
    let made = made.collect::<Vec<_>>();
    if let Some(records) = words.trace
        && let Err(why) = watch::start_trace(records)
    {
        refuse(&why);
    }
    for vm in made {
        let started = vm.and_then(|vm| {
            let config = &vm.config;
            info!("{}: {} vCPUs, {} MiB", config.name, config.cpus, config.memory_mib);
            if config.autostart {
                vm.start(|| ()).map_err(|refused| refused.to_string())?;
                // The job's first slice takes memory: here, so that VMs have it in their order.
                vm.job_slice();
            }
            Ok(())
        });
        if let Err(why) = started {
            refuse(&why);
        }
    }
    console::begin(words.batch);
}

/// Nobody is at the keyboard. What the command line says is not replaced, nor what a tree of the
/// user's own says; a guest that is told nothing else is told of the batch: the demo's run their
/// script then.
fn tell_batch(config: &mut VmConfig<'static>, words: &CommandLine<'static>) {
    if words.bootargs(config.name).is_some() {
        return;
    }
    if let Some(bootargs) = config.batch_bootargs {
        config.bootargs = bootargs;
    } else if config.bootargs.is_empty() && config.device_tree.is_none() {
        config.bootargs = "batch";
    }
}

fn refuse(why: &dyn core::fmt::Display) {
    error!("{why}");
    note_failure();
}
