use std::format;
use std::string::String;
use std::vec::Vec;

use super::super::tests::{LIMITS, read, summary_on, two};
use super::Region;
use crate::memory::stage2::Attributes;
use crate::platform::fdt::testing::Tree;

/// alpha, 16 MiB, with a node of this address.
fn with(address: u64) -> Tree {
    let address = [(address >> 32) as u32, address as u32];
    two().cells("/alpha/extra", "address", &address)
}

/// The one fault.
fn fault(tree: Tree) -> String {
    let found = summary_on(&tree, &LIMITS);
    assert_eq!(found[1..], ["beta"], "the other VM is kept");
    found[0].clone()
}

#[test]
fn files_and_read_only_memory_are_read() {
    let tree = with(0x4080_0000)
        .cells("/alpha/extra", "data", &[2])
        .cells("/alpha/flash", "address", &[0, 0x0400_0000])
        .cells("/alpha/flash", "size", &[0x3_0001])
        .bytes("/alpha/flash", "read-only", &[]);
    read(&tree, &LIMITS, |vms| {
        let alpha = vms[0].as_ref().unwrap();
        let [extra, flash] = &alpha.regions[..] else { panic!("{:?}", alpha.regions) };
        let size = (extra.size, extra.data.len(), extra.frames());
        assert_eq!((extra.name, extra.address, size), ("extra", 0x4080_0000, (5000, 5000, 0)));
        let wanted = Region {
            name: "flash",
            address: 0x0400_0000,
            size: 0x3_1000,
            data: &[],
            read_only: true,
        };
        assert_eq!((flash, flash.frames()), (&wanted, 1));
        assert_eq!(alpha.frames(), 8 + 1);
        let plan = alpha.plan().unwrap();
        let loads: Vec<_> = plan.loads.iter().map(|one| (one.ipa.get(), one.bytes.len())).collect();
        assert_eq!(loads[1..], [(0x4080_0000, 5000), (0x0400_0000, 0)]);
        let memory: Vec<_> = plan.memory.iter().map(|one| (one.0.get(), one.1, one.2)).collect();
        let ram = (0x4000_0000, 16 << 20, Attributes::RAM);
        assert_eq!(memory, [ram, (0x0400_0000, 0x3_1000, Attributes::ROM)]);
    });
}

#[test]
fn initrd_and_tree_keep_clear_of_what_is_loaded() {
    let tree = with(0x4080_0000).cells("/alpha/extra", "size", &[0x1000]);
    read(&tree.cells("/alpha", "initrd", &[2]), &LIMITS, |vms| {
        let plan = vms[0].as_ref().unwrap().plan().unwrap();
        // Half of RAM is taken, so it goes right above.
        assert_eq!(plan.initrd.map(|one| one.ipa.get()), Some(0x4080_1000));
        assert_eq!(plan.tree.get(), 0x4000_0000);
    });
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(
        fault(two().cells("/alpha/extra", "size", &[1])),
        "/alpha/extra: address: found no such property, wanted an IPA of two cells (/bits/ 64)"
    );
    assert_eq!(
        fault(with(0x4080_0000)),
        "/alpha/extra: size: found 0, wanted at least the bytes of `data`, 0x0, and not 0"
    );
    let small = with(0x4080_0000).cells("/alpha/extra", "data", &[2]);
    assert_eq!(
        fault(small.cells("/alpha/extra", "size", &[4999])),
        "/alpha/extra: size: found 4999, wanted at least the bytes of `data`, 0x1388, and not 0"
    );
    assert_eq!(
        fault(with(0x4080_0000).cells("/alpha/extra", "reg", &[1])),
        "/alpha/extra: reg: found <0x1>, wanted address, size, data or read-only"
    );
}

#[test]
fn places_are_checked() {
    let in_ram = "wanted to lie in RAM and apart from other regions, or read-only";
    let outside =
        "wanted a multiple of 4 KiB, and to lie apart from RAM, devices and other regions";
    let sized = |address| with(address).cells("/alpha/extra", "size", &[0x2000]);
    let rom = |address| sized(address).bytes("/alpha/extra", "read-only", &[]);
    for address in [0x3fff_f000, 0x40ff_f000, 0x4100_0000, 0x0400_0000, u64::MAX - 0xfff] {
        let found = format!("/alpha/extra: address: found 0x2000 bytes at {address:#x}, {in_ram}");
        assert_eq!(fault(sized(address)), found);
    }
    let devices = [0x07ff_f000, 0x0800_0000, 0x080b_f000, 0x0900_0000];
    let others = [0x0400_0800, 0x3fff_f000, 0x40ff_f000, 0xff_ffff_f000];
    for address in devices.into_iter().chain(others) {
        let found = format!("/alpha/extra: address: found 0x2000 bytes at {address:#x}, {outside}");
        assert_eq!(fault(rom(address)), found);
    }
    for address in [0, 0x0400_0000, 0x080c_0000, 0x4100_0000, 0xff_ffff_e000] {
        assert_eq!(fault(rom(address)), "alpha");
    }
    // On another, and on the kernel.
    let twin = rom(0x0400_0000)
        .cells("/alpha/twin", "address", &[0, 0x0400_1000])
        .cells("/alpha/twin", "size", &[1])
        .bytes("/alpha/twin", "read-only", &[]);
    assert_eq!(
        fault(twin),
        format!("/alpha/twin: address: found 0x1000 bytes at 0x4001000, {outside}")
    );
    assert_eq!(
        fault(sized(0x4008_0000)),
        "/alpha: extra: found 0x2000 bytes at 0x40080000 on what lies at 0x40080000, wanted them apart"
    );
}
