use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::platform::fdt::testing::{Blob, Tree, cases, spoiled};

pub(super) const LIMITS: Limits = Limits { pcpus: 4, memory: 1 << 30, ipa_bits: 40 };

/// A description with two VMs that have all that they must.
pub(super) fn two() -> Tree {
    let tree = Tree::default()
        .text("/", "compatible", "mezzanine,vms")
        .bytes("/images/kernel", "data", &[0xd5; 100])
        .cells("/images/kernel", "phandle", &[1])
        .bytes("/images/disk", "data", &[0xaa; 5000])
        .cells("/images/disk", "phandle", &[2]);
    vm(vm(tree, "/alpha"), "/beta")
}

pub(super) fn vm(tree: Tree, path: &str) -> Tree {
    tree.text(path, "compatible", "mezzanine,vm").cells(path, "memory-mib", &[16]).cells(
        path,
        "kernel",
        &[1],
    )
}

type Vms<'a> = Vec<Result<VmConfig<'a>, Fault>>;

pub(super) fn read<T>(tree: &Tree, limits: &Limits, look: impl FnOnce(Vms<'_>) -> T) -> T {
    let blob = tree.blob();
    look(super::read(&blob, limits, |_| None).unwrap())
}

/// For each VM its name or its fault.
pub(super) fn summary_on(tree: &Tree, limits: &Limits) -> Vec<String> {
    read(tree, limits, |vms| {
        let line = |vm: &Result<VmConfig<'_>, Fault>| match vm {
            Ok(vm) => vm.name.to_string(),
            Err(fault) => fault.to_string(),
        };
        vms.iter().map(line).collect()
    })
}

fn summary(tree: &Tree) -> Vec<String> {
    summary_on(tree, &LIMITS)
}

/// The one fault, of alpha, when beta is kept.
fn fault(tree: Tree) -> String {
    let found = summary(&tree);
    assert_eq!(found[1..], ["beta"], "the other VM is kept");
    found[0].clone()
}

#[test]
fn defaults_hold_where_nothing_is_said() {
    read(&two(), &LIMITS, |vms| {
        let alpha = vms[0].as_ref().unwrap();
        assert_eq!((alpha.name, alpha.cpus, alpha.memory_mib), ("alpha", 1, 16));
        assert_eq!(alpha.memory(), 16 << 20);
        assert_eq!(alpha.kernel, [0xd5; 100]);
        assert_eq!((alpha.format, alpha.load_address, alpha.entry_address), (None, None, None));
        assert_eq!((alpha.initrd, alpha.device_tree, alpha.bootargs), (None, None, ""));
        assert_eq!((alpha.share, alpha.affinity), (100, [0b1111; MAX_VCPUS]));
        assert_eq!((alpha.spis, alpha.affinities()), (32, &[0][..]));
        assert!(!alpha.dedicated && alpha.autostart);
        assert_eq!(vms[1].as_ref().unwrap().name, "beta");
    });
}

#[test]
fn every_property_is_read() {
    let tree = two()
        .cells("/alpha", "cpus", &[2])
        .text("/alpha", "format", "raw")
        .cells("/alpha", "load-address", &[0, 0x4010_0000])
        .cells("/alpha", "entry-address", &[0, 0x4010_0004])
        .cells("/alpha", "initrd", &[2])
        .text("/alpha", "bootargs", "console=ttyAMA0 quiet")
        .text("/alpha", "batch-bootargs", "batch")
        .cells("/alpha", "share", &[250])
        .cells("/alpha", "affinity", &[1, 0xfe])
        .cells("/alpha", "mpidr", &[0x100, 0xff_ff0f])
        .cells("/alpha", "spis", &[960])
        .bytes("/alpha", "no-autostart", &[])
        .bytes("/beta", "dedicated", &[])
        .cells("/beta", "affinity", &[0b100]);
    read(&tree, &LIMITS, |vms| {
        let alpha = vms[0].as_ref().unwrap();
        assert_eq!((alpha.cpus, alpha.format), (2, Some(Format::Raw)));
        assert_eq!(alpha.load_address, Some(0x4010_0000));
        assert_eq!(alpha.entry_address, Some(0x4010_0004));
        assert_eq!(alpha.initrd.map(<[u8]>::len), Some(5000));
        assert_eq!((alpha.bootargs, alpha.share), ("console=ttyAMA0 quiet", 250));
        assert_eq!(alpha.batch_bootargs, Some("batch"));
        assert_eq!(alpha.affinity[..2], [1, 0b1010], "without the pCPU that beta owns");
        assert_eq!((alpha.spis, alpha.affinities()), (960, &[0x100, 0xff_ff0f][..]));
        assert!(!alpha.autostart);
        let beta = vms[1].as_ref().unwrap();
        assert!(beta.dedicated);
        assert_eq!(beta.affinity[0], 0b100);
    });
}

#[test]
fn nothing_is_copied() {
    let blob = two().blob();
    let vms = super::read(&blob, &LIMITS, |_| None).unwrap();
    let kernel = vms[0].as_ref().unwrap().kernel.as_ptr_range();
    assert!(blob.as_ptr_range().start < kernel.start && kernel.end < blob.as_ptr_range().end);
}

#[test]
fn the_command_line_replaces_bootargs() {
    let blob = two().text("/alpha", "bootargs", "old").blob();
    let vms = super::read(&blob, &LIMITS, |name| (name == "alpha").then_some("new")).unwrap();
    assert_eq!(vms[0].as_ref().unwrap().bootargs, "new");
    assert_eq!(vms[1].as_ref().unwrap().bootargs, "");
}

#[test]
fn another_blob_is_no_description() {
    let wrong = |blob: &Blob| super::read(blob, &LIMITS, |_| None).err().unwrap().to_string();
    let blob = two().text("/", "compatible", "linux,dummy-virt").blob();
    let found = "found \"linux,dummy-virt\", wanted \"mezzanine,vms\"";
    assert_eq!(wrong(&blob), format!("/: compatible: {found}"));
    let found = "offset 0x0: found magic 0x1010101, wanted 0xd00dfeed";
    assert_eq!(wrong(&Blob::new(&[1; 64])), format!("/: VM description: {found}"));
}

#[test]
fn nodes_that_are_neither_vm_nor_images_are_named() {
    assert_eq!(
        fault(two().text("/alpha", "compatible", "mezzanine,vn")),
        "/alpha: compatible: found \"mezzanine,vn\", \
         wanted \"mezzanine,vm\", or the node's name images"
    );
}

#[test]
fn disabled_vms_are_left_out() {
    assert_eq!(summary(&two().text("/alpha", "status", "disabled")), ["beta"]);
    assert_eq!(fault(two().text("/alpha", "status", "okay")), "alpha");
    assert_eq!(
        fault(two().text("/alpha", "status", "off")),
        "/alpha: status: found \"off\", wanted \"okay\" or \"disabled\""
    );
}

#[test]
fn names_are_checked() {
    let name = |name: &str| {
        let found = summary(&vm(two().without_node("/", "alpha"), name));
        assert_eq!(found[0], "beta");
        found[1].clone()
    };
    let wanted = "wanted at most 31 of letters, digits and ,._+-, and not mezzanine or monitor";
    let long = "x".repeat(31);
    assert_eq!(name(&long), long);
    assert_eq!(name("linux-6.1_rt"), "linux-6.1_rt");
    assert_eq!(name("vm@0"), format!("/vm@0: name: found 4 bytes, {wanted}"));
    assert_eq!(name("mezzanine"), format!("/mezzanine: name: found 9 bytes, {wanted}"));
    assert_eq!(name("monitor"), format!("/monitor: name: found 7 bytes, {wanted}"));
}

#[test]
fn a_second_vm_of_one_name_is_refused() {
    // No tool writes this, but a blob may have it: rename "beta" to "beto" and back.
    let blob = vm(two(), "/betb").blob();
    let mut bytes = blob.to_vec();
    let place = bytes.windows(4).position(|four| four == b"betb").unwrap();
    bytes[place + 3] = b'a';
    let blob = Blob::new(&bytes);
    let vms = super::read(&blob, &LIMITS, |_| None).unwrap();
    assert_eq!(
        vms[2].as_ref().unwrap_err().to_string(),
        "/beta: name: found it again, wanted one of its own"
    );
}

#[test]
fn numbers_are_checked() {
    let cpus = |value: &[u32]| fault(two().cells("/alpha", "cpus", value));
    assert_eq!(cpus(&[0]), "/alpha: cpus: found 0, wanted 1 to 16");
    assert_eq!(cpus(&[17]), "/alpha: cpus: found 17, wanted 1 to 16");
    assert_eq!(cpus(&[1, 2]), "/alpha: cpus: found <0x1 0x2>, wanted one cell");
    let share = |value| fault(two().cells("/alpha", "share", &[value]));
    assert_eq!(share(0), "/alpha: share: found 0, wanted 1 to 10000");
    assert_eq!(share(10_001), "/alpha: share: found 10001, wanted 1 to 10000");
    assert_eq!(share(10_000), "alpha");
    let spis = |value| fault(two().cells("/alpha", "spis", &[value]));
    assert_eq!(spis(0), "/alpha: spis: found 0, wanted 32 to 960");
    assert_eq!(spis(961), "/alpha: spis: found 961, wanted 32 to 960");
    assert_eq!(spis(63), "/alpha: spis: found <0x3f>, wanted a multiple of 32");
    assert_eq!(spis(64), "alpha");
    let memory = |value| fault(two().cells("/alpha", "memory-mib", &[value]));
    assert_eq!(memory(0), "/alpha: memory-mib: found 0, wanted 2 to 1047552");
    assert_eq!(memory(15), "/alpha: memory-mib: found <0xf>, wanted an even number of MiB");
    assert_eq!(memory(2 << 20), "/alpha: memory-mib: found 2097152, wanted 2 to 1047552");
    assert_eq!(
        fault(two().without("/alpha", "memory-mib")),
        "/alpha: memory-mib: found no such property, wanted an even number of MiB"
    );
    let narrow = Limits { ipa_bits: 32, memory: 1 << 40, ..LIMITS };
    let tree = two().cells("/alpha", "memory-mib", &[3074]);
    let found = "/alpha: memory-mib: found 3074, wanted 2 to 3072";
    assert_eq!(summary_on(&tree, &narrow), [found, "beta"]);
}

#[test]
fn references_are_checked() {
    let kernel = |value: &[u32]| fault(two().cells("/alpha", "kernel", value));
    assert_eq!(
        kernel(&[9]),
        "/alpha: kernel: found <0x9>, wanted a reference to a node in /images"
    );
    assert_eq!(
        kernel(&[]),
        "/alpha: kernel: found an empty value, wanted a reference to an image, as <&label>"
    );
    assert_eq!(
        fault(two().without("/alpha", "kernel")),
        "/alpha: kernel: found no such property, wanted a reference to an image, as <&label>"
    );
    let itself = two().cells("/alpha", "phandle", &[3]).cells("/alpha", "initrd", &[3]);
    let wanted = "wanted a reference to a node in /images";
    assert_eq!(fault(itself), format!("/alpha: initrd: found <0x3>, {wanted}"));
    let empty = two()
        .bytes("/images/none", "data", &[])
        .cells("/images/none", "phandle", &[4])
        .cells("/alpha", "initrd", &[4]);
    let wanted = "wanted a file's bytes, as /incbin/(\"file\")";
    assert_eq!(fault(empty), format!("/images/none: data: found an empty value, {wanted}"));
}

#[test]
fn other_values_are_checked() {
    assert_eq!(
        fault(two().text("/alpha", "format", "image")),
        "/alpha: format: found \"image\", wanted \"Image\", \"elf\" or \"raw\""
    );
    assert_eq!(
        fault(two().cells("/alpha", "load-address", &[0x4008_0000])),
        "/alpha: load-address: found <0x40080000>, wanted an IPA of two cells (/bits/ 64)"
    );
    assert_eq!(
        fault(two().cells("/alpha", "dedicated", &[1])),
        "/alpha: dedicated: found <0x1>, wanted no value"
    );
    assert_eq!(
        fault(two().bytes("/alpha", "bootargs", b"a\0b\0")),
        "/alpha: bootargs: found \"a\", \"b\", wanted one string"
    );
}

#[test]
fn unknown_properties_are_named_with_the_nearest_known_one() {
    assert_eq!(
        fault(two().cells("/alpha", "memory-mb", &[64])),
        "/alpha: memory-mb: found <0x40>, wanted no such property (perhaps memory-mib)"
    );
    assert_eq!(
        fault(two().text("/alpha", "bootarg", "x=y")),
        "/alpha: bootarg: found \"x=y\", wanted no such property (perhaps bootargs)"
    );
    assert_eq!(
        fault(two().bytes("/alpha", "zzzzzzzzzzzz", &[])),
        "/alpha: zzzzzzzzzzzz: found an empty value, wanted no such property"
    );
    let slips = [
        ("cpu", "cpus"),
        ("vcpus", "cpus"),
        ("memroy-mib", "memory-mib"),
        ("no-auto-start", "no-autostart"),
        ("devicetree", "device-tree"),
        ("afinity", "affinity"),
        ("load-adress", "load-address"),
    ];
    for (slip, known) in slips {
        assert_eq!(perhaps(slip), format!(" (perhaps {known})"));
    }
    assert_eq!((perhaps(""), perhaps("x"), perhaps(&"q".repeat(255))), Default::default());
}

#[test]
fn affinities_are_checked() {
    let affinity = |value: &[u32]| {
        fault(two().cells("/alpha", "cpus", &[2]).cells("/alpha", "affinity", value))
    };
    assert_eq!(affinity(&[0b11]), "alpha");
    assert_eq!(
        affinity(&[0b1, 0xf0]),
        "/alpha: affinity: found 0xf0 for vCPU 1, \
         wanted at least one of the 4 lowest bits, the pCPUs there are"
    );
    assert_eq!(
        affinity(&[1, 1, 1]),
        "/alpha: affinity: found <0x1 0x1 0x1>, wanted one mask for each vCPU, or one for all"
    );
    assert!(
        affinity(&[])
            .ends_with("found an empty value, wanted one mask for each vCPU, or one for all")
    );
}

#[test]
fn mpidrs_are_checked() {
    let mpidr =
        |value: &[u32]| fault(two().cells("/alpha", "cpus", &[3]).cells("/alpha", "mpidr", value));
    assert_eq!(mpidr(&[2, 1, 0]), "alpha");
    assert_eq!(mpidr(&[0, 1]), "/alpha: mpidr: found <0x0 0x1>, wanted one affinity for each vCPU");
    for bad in [0x10, 0x1f0, 0x100_0000, 0x8000_0001] {
        assert_eq!(
            mpidr(&[0, bad, 1]),
            std::format!(
                "/alpha: mpidr: found {bad:#x} for vCPU 1, \
                 wanted 0x00AABB0C: Aff2, Aff1, and an Aff0 of 0 to 15"
            )
        );
    }
    assert_eq!(
        mpidr(&[0x100, 0, 0x100]),
        "/alpha: mpidr: found 0x100 for vCPU 2, wanted an affinity that no vCPU before it has"
    );
}

#[test]
fn images_that_cannot_be_loaded_are_faults() {
    assert_eq!(
        fault(two().text("/alpha", "format", "elf")),
        "/alpha: kernel: found 100 bytes without the magic of ELF, wanted \\x7fELF at 0"
    );
    assert_eq!(
        fault(two().cells("/alpha", "entry-address", &[0, 0x5000_0000])),
        "/alpha: entry-address: found 0x50000000, wanted a multiple of 4 within what is loaded"
    );
    assert_eq!(
        fault(two().cells("/alpha", "device-tree", &[1])),
        "/alpha: device-tree: offset 0x0: found magic 0xd5d5d5d5, wanted 0xd00dfeed"
    );
}

pub(super) fn dedicated(tree: Tree, path: &str, cpus: u32) -> Tree {
    tree.bytes(path, "dedicated", &[]).cells(path, "cpus", &[cpus])
}

pub(super) fn names_a_node(fault: &Fault) -> bool {
    let line = fault.to_string();
    line.starts_with('/') && !line.contains('\n') && line.contains("found ")
}

proptest! {
    #![proptest_config(cases(500))]

    #[test]
    fn spoiled_descriptions_are_survived(blob in spoiled(
        dedicated(two(), "/alpha", 2).cells("/beta", "initrd", &[2]).blob().to_vec()))
    {
        match super::read(&blob, &LIMITS, |_| None) {
            Ok(vms) => {
                for fault in vms.iter().filter_map(|vm| vm.as_ref().err()) {
                    prop_assert!(names_a_node(fault), "{}", fault);
                }
            }
            Err(fault) => prop_assert!(names_a_node(&fault), "{}", fault),
        }
    }
}
