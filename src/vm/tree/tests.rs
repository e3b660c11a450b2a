use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::platform::fdt::testing::{Blob, Tree, cases, spoiled};
use crate::platform::fdt::{Fdt, Node, Property};
use crate::platform::machine::{Machine, PsciMethod};
use crate::vm::image::tests::vm;

const BASE: u64 = 0x4000_0000;
const KERNEL: &[u8] = &[0xd5; 0x1000];

fn made(vm: &VmConfig<'_>) -> Result<Blob, String> {
    let plan = vm.plan().map_err(|fault| fault.to_string())?;
    let tree = build(vm, plan.initrd, false).map_err(|error| error.to_string())?;
    assert!(tree.len() as u64 <= plan.tree_room);
    Ok(Blob::new(&tree))
}

fn text<'a>(tree: &Fdt<'a>, path: &str, name: &str) -> Option<&'a str> {
    tree.node(path)?.property(name)?.string()
}

fn u64_at(tree: &Fdt<'_>, path: &str, name: &str) -> Option<u64> {
    tree.node(path)?.property(name)?.u64()
}

#[test]
fn a_generated_tree_is_a_machine_that_the_hypervisor_itself_understands() {
    let mut vm = vm(KERNEL, 64);
    vm.cpus = 16;
    let blob = made(&vm).unwrap();
    let tree = Fdt::new(&blob).unwrap();
    // Only the maintenance interrupt is missing: a guest at EL1 has none.
    let error = Machine::new(&tree).err().unwrap().to_string();
    assert!(error.starts_with("/intc@8000000: interrupts: found no such property"), "{error}");

    let uart = Machine::console(&tree, tree.node("/chosen").unwrap()).unwrap();
    assert_eq!((uart.registers.base.get(), uart.intid), (UART_BASE, UART_INTID));
    assert_eq!(Machine::psci(&tree).unwrap(), Some(PsciMethod::Hvc));
    assert!(tree.node("/psci").unwrap().is_compatible("arm,psci-1.0"));

    let memory = tree.node("/memory@40000000").unwrap();
    assert_eq!(memory.reg().unwrap().collect::<Vec<_>>(), [(BASE, 64 << 20)]);
    let gic = tree.node("/intc@8000000").unwrap();
    let wanted = [(0x800_0000, 0x1_0000), (0x80a_0000, 16 * 0x2_0000)];
    assert_eq!(gic.reg().unwrap().collect::<Vec<_>>(), wanted);
    let cpus = tree.node("/cpus").unwrap();
    let affinities = cpus.children().map(|cpu| cpu.property("reg").and_then(|reg| reg.u32()));
    assert_eq!(affinities.flatten().collect::<Vec<_>>(), (0..16).collect::<Vec<_>>());
    assert_eq!(cpus.children().last().unwrap().name(), "cpu@f");
    let timer = tree.node("/timer").unwrap().property("interrupts").unwrap();
    let cells: Vec<_> = timer.cells().unwrap().collect();
    assert_eq!(cells, [1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4]);
}

#[test]
fn cpus_have_the_affinities_of_the_description() {
    let mut vm = vm(KERNEL, 64);
    vm.cpus = 3;
    vm.mpidr[..3].copy_from_slice(&[0x2, 0x100, 0x2_0301]);
    let blob = made(&vm).unwrap();
    let tree = Fdt::new(&blob).unwrap();
    let cpus = tree.node("/cpus").unwrap();
    let found = cpus.children().map(|cpu| (cpu.name(), cpu.property("reg").unwrap().u32()));
    let wanted = [("cpu@2", Some(0x2)), ("cpu@100", Some(0x100)), ("cpu@20301", Some(0x2_0301))];
    assert_eq!(found.collect::<Vec<_>>(), wanted);
}

#[test]
fn chosen_says_what_the_plan_says() {
    let initrd = [0xaa; 0x1234];
    let bootargs = "console=ttyAMA0 ".repeat(100);
    let mut vm = vm(KERNEL, 16);
    (vm.initrd, vm.bootargs) = (Some(&initrd[..]), &bootargs);
    let plan = vm.plan().unwrap();
    let blob = Blob::new(&build(&vm, plan.initrd, false).unwrap());
    let tree = Fdt::new(&blob).unwrap();
    let start = plan.initrd.unwrap().ipa.get();
    assert_eq!(u64_at(&tree, "/chosen", "linux,initrd-start"), Some(start));
    assert_eq!(u64_at(&tree, "/chosen", "linux,initrd-end"), Some(start + 0x1234));
    assert_eq!(text(&tree, "/chosen", "bootargs"), Some(&bootargs[..]));
    assert_eq!(text(&tree, "/chosen", "stdout-path"), Some("/pl011@9000000"));
    assert_eq!(text(&tree, "/aliases", "serial0"), Some("/pl011@9000000"));
}

#[test]
fn without_initrd_and_bootargs_chosen_says_nothing_of_them() {
    let blob = made(&vm(KERNEL, 16)).unwrap();
    let tree = Fdt::new(&blob).unwrap();
    let chosen = tree.node("/chosen").unwrap();
    let names: Vec<_> = chosen.properties().map(|property| property.name).collect();
    assert_eq!(names, ["stdout-path"]);
}

#[test]
fn seeds_have_their_places_in_a_generated_tree() {
    let vm = vm(KERNEL, 16);
    let plan = vm.plan().unwrap();
    let blob = Blob::new(&build(&vm, plan.initrd, true).unwrap());
    assert!(blob.len() as u64 <= plan.tree_room);
    let mut filled = blob.to_vec();
    for (number, range) in (1..).zip(seeds(&blob)) {
        filled[range].fill(number);
    }
    let filled = Blob::new(&filled);
    let tree = Fdt::new(&filled).unwrap();
    let value = |name| tree.node("/chosen").unwrap().property(name).unwrap().bytes;
    assert_eq!(value("rng-seed"), [1; 32]);
    assert_eq!(value("kaslr-seed"), [2; 8]);
    assert_eq!(seeds(&made(&vm).unwrap()), []);
}

#[test]
fn seeds_of_a_users_tree_are_filled_in_and_not_added() {
    let blob = users_blob(&users());
    let mut vm = vm(KERNEL, 16);
    vm.device_tree = Some(&blob);
    let blob = Blob::new(&build(&vm, vm.plan().unwrap().initrd, true).unwrap());
    let [kaslr] = &seeds(&blob)[..] else { panic!() };
    assert_eq!(blob[kaslr.clone()], [0, 0, 0, 1, 0, 0, 0, 2]);
}

/// A tree as a user might hand over: made for another machine, with more in it.
fn users() -> Tree {
    Tree::default()
        .cells("/", "#address-cells", &[2])
        .cells("/", "#size-cells", &[1])
        .text("/", "model", "mine")
        .text("/memory@80000000", "device_type", "memory")
        .cells("/memory@80000000", "reg", &[0, 0x8000_0000, 0x1000_0000])
        .text("/memory@90000000", "device_type", "memory")
        .cells("/memory@90000000", "reg", &[0, 0x9000_0000, 0x1000_0000])
        .text("/chosen", "bootargs", "theirs")
        .cells("/chosen", "linux,initrd-start", &[0x8800_0000])
        .cells("/chosen", "linux,initrd-end", &[0x8900_0000])
        .cells("/chosen", "kaslr-seed", &[1, 2])
        .text("/firmware/psci", "compatible", "arm,psci-0.2")
        .text("/firmware/psci", "method", "smc")
        .text("/soc/device@1000", "compatible", "acme,thing")
        .bytes("/soc/device@1000/sub", "odd", &[1, 2, 3])
        .text("/__symbols__", "thing", "/soc/device@1000")
}

/// The tests' own builder cannot write `__symbols__` either: renames it within the blob.
fn users_blob(tree: &Tree) -> Blob {
    let tree = tree.clone().without_node("/", "__symbols__").text("/zzsymbols__", "thing", "/soc");
    let mut bytes = tree.blob_with_reservations(&[(0x4100_0000, 0x1000)]).to_vec();
    let place = bytes.windows(11).position(|name| name == b"zzsymbols__").unwrap();
    bytes[place..place + 2].copy_from_slice(b"__");
    Blob::new(&bytes)
}

/// Every node and property as a line.
fn lines(tree: &Fdt<'_>) -> Vec<String> {
    let line = |property: Property<'_>| std::format!("{}={}", property.name, property);
    let node = |node: Node<'_>| {
        let properties: Vec<_> = node.properties().map(line).collect();
        std::format!("{} {}", node, properties.join(" "))
    };
    tree.nodes().map(node).collect()
}

#[test]
fn a_users_tree_is_patched_only_where_it_must_be() {
    let own = users_blob(&users());
    let initrd = [0xaa; 0x100];
    let mut vm = vm(KERNEL, 16);
    (vm.device_tree, vm.initrd, vm.bootargs) = (Some(&own[..]), Some(&initrd[..]), "ours");
    let blob = made(&vm).unwrap();
    let tree = Fdt::new(&blob).unwrap();
    assert_eq!(
        lines(&tree),
        [
            "/ #address-cells=<0x2> #size-cells=<0x1> model=\"mine\"",
            "/memory@80000000 device_type=\"memory\" reg=<0x0 0x40000000 0x1000000>",
            "/chosen kaslr-seed=<0x1 0x2> bootargs=\"ours\" \
             linux,initrd-start=<0x0 0x40800000> linux,initrd-end=<0x0 0x40800100>",
            "/firmware ",
            "/firmware/psci compatible=\"arm,psci-0.2\" method=\"hvc\"",
            "/soc ",
            "/soc/device@1000 compatible=\"acme,thing\"",
            "/soc/device@1000/sub odd=[01 02 03]",
        ]
    );
    assert_eq!(tree.reservations().collect::<Vec<_>>(), [(0x4100_0000, 0x1000)]);
}

#[test]
fn a_users_bootargs_stay_where_the_description_has_none() {
    let own = users().without_node("/", "__symbols__").blob();
    let mut vm = vm(KERNEL, 16);
    vm.device_tree = Some(&own);
    let blob = made(&vm).unwrap();
    let tree = Fdt::new(&blob).unwrap();
    assert_eq!(text(&tree, "/chosen", "bootargs"), Some("theirs"));
    assert_eq!(u64_at(&tree, "/chosen", "linux,initrd-start"), None);
}

#[test]
fn a_users_tree_gets_memory_and_chosen_where_it_has_none() {
    let own = Tree::default().cells("/", "#size-cells", &[2]).node("/soc").blob();
    let mut vm = vm(KERNEL, 16);
    (vm.device_tree, vm.bootargs) = (Some(&own[..]), "ours");
    let blob = made(&vm).unwrap();
    let tree = Fdt::new(&blob).unwrap();
    assert_eq!(
        lines(&tree),
        [
            "/ #size-cells=<0x2>",
            "/memory@40000000 device_type=\"memory\" reg=<0x0 0x40000000 0x0 0x1000000>",
            "/chosen bootargs=\"ours\"",
            "/soc ",
        ]
    );
}

#[test]
fn a_users_trees_faults_are_named() {
    let fault = |tree: Tree, memory| {
        let own = tree.blob();
        let mut vm = vm(KERNEL, memory);
        vm.device_tree = Some(&own);
        made(&vm).err().unwrap_or_default()
    };
    assert_eq!(
        fault(Tree::default().cells("/", "#address-cells", &[3]), 16),
        "/test: device-tree: /: #address-cells: found <0x3>, wanted 0, 1 or 2 cells"
    );
    assert_eq!(
        fault(Tree::default().cells("/", "#size-cells", &[1]), 4096),
        "/test: device-tree: /: #size-cells: found <0x1>, \
         wanted as many cells as the VM's RAM needs"
    );
    let own = Tree::default().node("/soc/zdd").blob();
    let mut bytes = own.to_vec();
    let place = bytes.windows(3).position(|name| name == b"zdd").unwrap();
    bytes[place] = b'0';
    let own = Blob::new(&bytes);
    let mut vm = vm(KERNEL, 16);
    vm.device_tree = Some(&own);
    assert_eq!(
        made(&vm).err().unwrap(),
        "/test: device-tree: /soc/0dd: found the name 0dd, \
         wanted at most 31 of the characters that the specification allows"
    );
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn every_generated_tree_fits_and_is_well_formed(
        cpus in 1usize..=16, memory in 1u32..2000, bootargs in "[ -~]{0,500}",
        initrd in proptest::option::of(1usize..0x1000))
    {
        let initrd = initrd.map(|size| std::vec![0; size]);
        let mut vm = vm(KERNEL, memory * 2);
        (vm.cpus, vm.bootargs, vm.initrd) = (cpus, &bootargs, initrd.as_deref());
        let blob = made(&vm).unwrap();
        prop_assert!(Fdt::new(&blob).is_ok());
    }

    #[test]
    fn spoiled_user_trees_are_survived(own in spoiled(users_blob(&users()).to_vec())) {
        let mut vm = vm(KERNEL, 16);
        (vm.device_tree, vm.bootargs) = (Some(&own[..]), "ours");
        match made(&vm) {
            Ok(blob) => prop_assert!(Fdt::new(&blob).is_ok()),
            Err(line) => prop_assert!(line.starts_with("/test: ")),
        }
    }
}
