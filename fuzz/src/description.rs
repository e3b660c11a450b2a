//! VM descriptions: each VM that is read can be planned and gets a good tree; what is given out is
//! there, and once only.

use crate::image;
use crate::input::with_aligned;
use mezzanine::memory::BLOCK_SIZE;
use mezzanine::platform::fdt::Fdt;
use mezzanine::vm::description::{self, Fault, Limits, MAX_NAME, VmConfig};
use mezzanine::vm::layout::MAX_VCPUS;
use mezzanine::vm::tree;

const LIMITS: Limits = Limits { pcpus: 4, memory: 256 << 20, ipa_bits: 40 };

/// Takes the bytes for a description.
pub fn run(data: &[u8]) {
    with(data, |_| {});
}

/// The same, with VMs that `spoil` has changed.
fn with(data: &[u8], spoil: impl Fn(&mut Vec<VmConfig<'_>>)) {
    with_aligned(data, |blob| {
        let vms = match description::read(blob, &LIMITS, |name| {
            (name == "alpha").then_some("from the command line")
        }) {
            Ok(vms) => vms,
            Err(fault) => return image::check_fault(&fault),
        };
        vms.iter().filter_map(|vm| vm.as_ref().err()).for_each(image::check_fault);
        let mut vms: Vec<_> = vms.into_iter().filter_map(Result::ok).collect();
        spoil(&mut vms);
        check(&vms);
    });
}

fn check(vms: &[VmConfig<'_>]) {
    let mut owned = 0;
    for (index, vm) in vms.iter().enumerate() {
        assert!((1..=MAX_NAME).contains(&vm.name.len()) && vm.name != "mezzanine");
        assert!(vms[..index].iter().all(|other| other.name != vm.name), "{} twice", vm.name);
        assert!((1..=MAX_VCPUS).contains(&vm.cpus) && vm.spis.is_multiple_of(32));
        assert!(vm.memory_mib > 0 && vm.memory_mib.is_multiple_of(2) && vm.share > 0);
        assert!(vm.name != "alpha" || vm.bootargs == "from the command line");
        for mask in &vm.affinity[..vm.cpus] {
            assert!(*mask != 0 && *mask & 0xf0 == 0, "{}: {mask:#x}", vm.name);
            if vm.dedicated {
                assert!(mask.is_power_of_two() && owned & mask == 0, "a pCPU given twice");
                owned |= mask;
            }
        }
        plan(vm).unwrap_or_else(|fault| panic!("{fault}"));
    }
    for vm in vms.iter().filter(|vm| !vm.dedicated) {
        assert!(vm.affinity[..vm.cpus].iter().all(|mask| mask & owned == 0), "an owned pCPU");
    }
    let frames: u64 = vms.iter().map(VmConfig::frames).sum();
    assert!(frames * BLOCK_SIZE <= LIMITS.memory, "{frames} frames");
}

fn plan(vm: &VmConfig<'_>) -> Result<(), Fault> {
    let plan = vm.plan()?;
    image::check(vm, &plan);
    let built = tree::build(vm, plan.initrd, true)?;
    assert!(built.len() as u64 <= plan.tree_room);
    with_aligned(&built, |blob| {
        let tree = Fdt::new(blob).expect("a tree that we have made");
        assert!(tree.node("/chosen").is_some());
        assert!(tree.nodes().any(|node| {
            node.reg().is_ok_and(|mut reg| reg.any(|pair| pair == (0x4000_0000, vm.memory())))
        }));
        for seed in tree::seeds(blob) {
            assert!(seed.start >= 40 && seed.end <= blob.len());
        }
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bite::assert_bites;

    #[test]
    fn a_shared_vcpu_on_an_owned_pcpu_is_found() {
        assert_bites("description", run, |data| {
            with(data, |vms| {
                let shared = vms.iter_mut().filter(|vm| !vm.dedicated);
                shared.for_each(|vm| vm.affinity = [0xf; MAX_VCPUS]);
            });
        });
    }

    #[test]
    fn more_memory_than_there_is_is_found() {
        assert_bites("description", run, |data| {
            with(data, |vms| vms.iter_mut().for_each(|vm| vm.memory_mib *= 64));
        });
    }

    #[test]
    fn the_corpus_is_read() {
        crate::bite::assert_deep("description", |data| {
            with_aligned(data, |blob| {
                let vms = description::read(blob, &LIMITS, |_| None).expect("a description");
                vms.iter().filter_map(|vm| vm.as_ref().err()).for_each(|fault| println!("{fault}"));
                vms.iter().all(Result::is_ok) && !vms.is_empty()
            })
        });
    }
}
