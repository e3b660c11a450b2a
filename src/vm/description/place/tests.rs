use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::super::tests::{LIMITS, dedicated, names_a_node, read, summary_on, two, vm};
use super::super::{Fault, Limits, VmConfig, read as read_all};
use crate::platform::fdt::testing::{Tree, cases};

#[test]
fn memory_goes_to_the_vms_in_their_order() {
    let tree = vm(two(), "/gamma").cells("/beta", "memory-mib", &[64]);
    let limits = Limits { memory: 41 << 20, ..LIMITS };
    assert_eq!(
        summary_on(&tree, &limits),
        ["alpha", "/beta: memory-mib: found 64, wanted at most 24, what is left", "gamma"]
    );
}

/// The names of the VMs that are kept with their masks, or the fault.
fn placed(tree: &Tree, pcpus: usize) -> Vec<(String, Vec<u8>)> {
    read(tree, &Limits { pcpus, ..LIMITS }, |vms| {
        let line = |vm: &Result<VmConfig<'_>, Fault>| match vm {
            Ok(vm) => (vm.name.to_string(), vm.masks().to_vec()),
            Err(fault) => (fault.to_string(), Vec::new()),
        };
        vms.iter().map(line).collect()
    })
}

#[test]
fn dedicated_vcpus_own_pcpus_from_the_top() {
    let found = placed(&dedicated(two(), "/alpha", 2), 4);
    assert_eq!(found[0].1, [0b0100, 0b1000]);
    assert_eq!(found[1].1, [0b0011]);
    let all = placed(&dedicated(dedicated(two(), "/alpha", 1), "/beta", 1), 2);
    assert_eq!((&all[0].1[..], &all[1].1[..]), (&[0b01][..], &[0b10][..]));
}

#[test]
fn too_many_dedicated_vcpus_are_refused() {
    let one_left = placed(&dedicated(two(), "/alpha", 4), 4);
    assert_eq!(
        one_left[0].0,
        "/alpha: dedicated: found 4 dedicated vCPUs up to this VM, wanted at most 3: \
         there are 4 pCPUs, and the shared VMs need one"
    );
    assert_eq!(one_left[1].1, [0b1111]);
    let none_left = placed(&dedicated(dedicated(two(), "/alpha", 3), "/beta", 2), 4);
    assert_eq!(none_left[0].1, [0b0010, 0b0100, 0b1000]);
    assert_eq!(
        none_left[1].0,
        "/beta: dedicated: found 5 dedicated vCPUs up to this VM, wanted at most 4: \
         there are 4 pCPUs"
    );
}

#[test]
fn affinities_move_dedicated_vcpus_out_of_the_way() {
    // beta must have pCPU 3, so alpha moves on; and gamma must keep pCPU 2.
    let tree = vm(dedicated(dedicated(two(), "/alpha", 1), "/beta", 1), "/gamma")
        .cells("/beta", "affinity", &[0b1000])
        .cells("/gamma", "affinity", &[0b0100]);
    let found = placed(&tree, 4);
    assert_eq!(found[0].1, [0b0010]);
    assert_eq!(found[1].1, [0b1000]);
    assert_eq!(found[2].1, [0b0100]);
    // Both want the same one.
    let found = placed(&tree.cells("/alpha", "affinity", &[0b1000]), 4);
    assert_eq!(found[0].1, [0b1000]);
    assert_eq!(
        found[1].0,
        "/beta: affinity: found 0x8, wanted masks that leave a pCPU of its own to each \
         dedicated vCPU and one to each shared vCPU"
    );
}

/// A description of a few VMs with all manner of values, right and wrong.
fn any_description() -> impl Strategy<Value = Tree> {
    let number = || prop_oneof![4 => 0u32..20, 1 => any::<u32>()];
    let cells = move || proptest::collection::vec(number(), 0..4);
    let property = prop_oneof![
        (
            prop_oneof![
                Just("cpus"),
                Just("memory-mib"),
                Just("kernel"),
                Just("initrd"),
                Just("share"),
                Just("affinity"),
                Just("load-address"),
                Just("entry-address"),
                Just("device-tree"),
            ],
            cells()
        )
            .prop_map(|(name, cells)| (name, cells)),
        Just(("dedicated", Vec::new())),
        Just(("no-autostart", Vec::new())),
    ];
    let vms = proptest::collection::vec(proptest::collection::vec(property, 0..4), 0..6);
    vms.prop_map(|vms| {
        let mut tree = two();
        for (index, properties) in vms.iter().enumerate() {
            let path = format!("/vm{index}");
            tree = vm(tree, &path);
            for (name, cells) in properties {
                tree = tree.cells(&path, name, cells);
            }
        }
        tree
    })
}

/// The same by trying everything: whether the vCPUs can be seated in what is `free`.
fn can_seat(dedicated: &[u8], shared: &[u8], free: u8, all: u8) -> bool {
    let Some((wish, others)) = dedicated.split_first() else {
        return shared.iter().all(|mask| mask & (free | !all) != 0);
    };
    let mut seats = (0..8).map(|pcpu| 1 << pcpu).filter(|seat| wish & free & seat != 0);
    seats.any(|seat| can_seat(others, shared, free & !seat, all))
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn seats_are_found_where_there_are_any(
        dedicated in proptest::collection::vec(1u8.., 1..5),
        shared in proptest::collection::vec(1u8.., 0..3), pcpus in 1u32..9)
    {
        let all = u8::MAX >> (8 - pcpus);
        let found = super::seats(&dedicated, &shared, all);
        prop_assert_eq!(found.is_some(), can_seat(&dedicated, &shared, all, all));
        for (seat, wish) in found.iter().flatten().zip(&dedicated) {
            prop_assert!(seat.count_ones() == 1 && seat & wish & all != 0);
        }
        if let Some(seats) = found {
            let set = seats.iter().fold(0, |set, seat| set | seat);
            prop_assert_eq!((seats.len(), set.count_ones() as usize), (dedicated.len(), seats.len()));
            prop_assert!(shared.iter().all(|mask| mask & !set != 0));
            let higher = (set..all).map(|below| below + 1).filter(|set| {
                set.count_ones() as usize == dedicated.len() && can_seat(&dedicated, &[], *set, all)
            });
            for set in higher {
                prop_assert!(shared.iter().any(|mask| mask & !set == 0), "{set:#b} is higher");
            }
        }
    }

    #[test]
    fn placement_keeps_its_promises(tree in any_description(), pcpus in 1usize..9) {
        let limits = Limits { pcpus, ..LIMITS };
        let blob = tree.blob();
        let vms = read_all(&blob, &limits, |_| None).unwrap();
        for fault in vms.iter().filter_map(|vm| vm.as_ref().err()) {
            prop_assert!(names_a_node(fault), "{}", fault);
        }
        let kept: Vec<_> = vms.iter().flatten().collect();
        let owned: Vec<u8> = kept.iter().filter(|vm| vm.dedicated)
            .flat_map(|vm| vm.masks().to_vec()).collect();
        let all = owned.iter().fold(0, |all, mask| all | mask);
        prop_assert!(owned.iter().all(|mask| mask.count_ones() == 1));
        prop_assert_eq!(all.count_ones() as usize, owned.len(), "each its own");
        prop_assert_eq!(all & !limits.all(), 0);
        for vm in kept.iter().filter(|vm| !vm.dedicated) {
            prop_assert!(vm.masks().iter().all(|mask| *mask != 0 && mask & all == 0));
        }
        let memory: u64 = kept.iter().map(|vm| vm.memory()).sum();
        prop_assert!(memory <= limits.memory);
    }
}
