use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::platform::fdt::testing::{Blob, Tree, cases, spoiled};

const GIC: &str = "/intc@8000000";
const UART: &str = "/pl011@9000000";

/// The tree of QEMU's `virt` board, as far as a hypervisor cares.
fn virt() -> Tree {
    let mut tree = Tree::default()
        .cells("/", "#address-cells", &[2])
        .cells("/", "#size-cells", &[2])
        .cells("/", "interrupt-parent", &[0x8005])
        .text("/psci", "method", "smc")
        .text("/psci", "compatible", "arm,psci-1.0\0arm,psci-0.2\0arm,psci")
        .text("/memory@40000000", "device_type", "memory")
        .cells("/memory@40000000", "reg", &[0, 0x4000_0000, 0, 0x8000_0000])
        .text(UART, "compatible", "arm,pl011\0arm,primecell")
        .cells(UART, "reg", &[0, 0x900_0000, 0, 0x1000])
        .cells(UART, "interrupts", &[0, 1, 4])
        .text(GIC, "compatible", "arm,gic-v3")
        .cells(GIC, "phandle", &[0x8005])
        .cells(GIC, "#interrupt-cells", &[3])
        .cells(GIC, "#redistributor-regions", &[1])
        .cells(GIC, "reg", &[0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0xf6_0000])
        .cells(GIC, "interrupts", &[1, 9, 4])
        .text("/timer", "compatible", "arm,armv8-timer\0arm,armv7-timer")
        .cells("/timer", "interrupts", &[1, 13, 4, 1, 14, 4, 1, 11, 4, 1, 10, 4])
        .cells("/cpus", "#address-cells", &[1])
        .cells("/cpus", "#size-cells", &[0])
        .text("/chosen", "stdout-path", UART);
    for index in 0..2 {
        let cpu = format!("/cpus/cpu@{index}");
        tree = tree.text(&cpu, "device_type", "cpu").text(&cpu, "enable-method", "psci").cells(
            &cpu,
            "reg",
            &[index],
        );
    }
    tree
}

fn with<T>(blob: &Blob, read: impl FnOnce(Machine<'_>) -> T) -> T {
    let tree = Fdt::new(blob).unwrap();
    match Machine::new(&tree) {
        Ok(machine) => read(machine),
        Err(error) => panic!("{error}"),
    }
}

fn error(tree: &Tree) -> String {
    let blob = tree.blob();
    let tree = Fdt::new(&blob).unwrap();
    Machine::new(&tree).map_or_else(|error| error.to_string(), |_| "no error".into())
}

fn region(base: u64, size: u64) -> Region {
    Region { base: Pa::new(base), size }
}

#[test]
fn qemus_virt_board_is_understood() {
    with(&virt().blob(), |machine| {
        assert_eq!(*machine.ram, [region(0x4000_0000, 0x8000_0000)]);
        assert_eq!(machine.ram_size(), 2 << 30);
        assert!(machine.reserved.is_empty());
        assert_eq!(*machine.cpus, [0, 1]);
        assert_eq!(machine.gic.distributor, region(0x800_0000, 0x1_0000));
        assert_eq!(*machine.gic.redistributors, [region(0x80a_0000, 0xf6_0000)]);
        assert_eq!(machine.gic.maintenance, 25);
        assert_eq!((machine.timer.virt, machine.timer.hypervisor), (27, 26));
        assert_eq!(machine.console, Uart { registers: region(0x900_0000, 0x1000), intid: 33 });
        assert_eq!(machine.psci, Some(PsciMethod::Smc));
        assert_eq!((machine.initrd, machine.bootargs), (None, ""));
    });
}

#[test]
fn chosen_gives_initrd_command_line_and_seed() {
    let tree = virt()
        .cells("/chosen", "linux,initrd-start", &[0x4800_0000])
        .cells("/chosen", "linux,initrd-end", &[0, 0x4800_1234])
        .text("/chosen", "bootargs", "batch log=info");
    with(&tree.blob(), |machine| {
        assert_eq!(machine.initrd, Some(region(0x4800_0000, 0x1234)));
        assert_eq!(machine.bootargs, "batch log=info");
    });
    let end = |value: &[u32]| error(&tree.clone().cells("/chosen", "linux,initrd-end", value));
    assert_eq!(end(&[0x4800_0000]), "no error");
    assert_eq!(
        end(&[0x47ff_ffff]),
        "/chosen: linux,initrd-end: found <0x47ffffff>, wanted no less than linux,initrd-start"
    );
    assert_eq!(
        end(&[1, 0]),
        "/chosen: linux,initrd-start: found <0x48000000>, wanted an initrd that lies in RAM"
    );
    assert_eq!(
        error(&tree.clone().without("/chosen", "linux,initrd-end")),
        "/chosen: linux,initrd-end: found no such property, wanted it beside linux,initrd-start"
    );
    assert_eq!(
        error(&tree.clone().bytes("/chosen", "bootargs", b"open")),
        "/chosen: bootargs: found <0x6f70656e>, wanted one string"
    );
}

#[test]
fn the_console_is_found_by_path_or_alias_with_options() {
    let tree = virt().text("/aliases", "serial0", UART);
    for path in ["serial0", "serial0:115200n8", "/pl011", "/pl011@9000000:115200"] {
        with(&tree.clone().text("/chosen", "stdout-path", path).blob(), |machine| {
            assert_eq!(machine.console.intid, 33, "{path}");
        });
    }
    assert_eq!(
        error(&tree.clone().text("/chosen", "stdout-path", "serial1:9600")),
        "/chosen: stdout-path: found \"serial1:9600\", wanted the path or alias of a PL011"
    );
    assert_eq!(
        error(&tree.clone().text("/chosen", "stdout-path", "/timer")),
        "/timer: compatible: found \"arm,armv8-timer\", \"arm,armv7-timer\", \
         wanted \"arm,pl011\", as /chosen/stdout-path leads here"
    );
    assert_eq!(
        error(&tree.clone().text(UART, "status", "disabled")),
        "/pl011@9000000: status: found \"disabled\", \
         wanted \"okay\", as /chosen/stdout-path leads here"
    );
    assert_eq!(
        error(&tree.without("/chosen", "stdout-path")),
        "/chosen: stdout-path: found no such property, wanted the path or alias of a PL011"
    );
}

#[test]
fn status_is_honoured() {
    let tree = virt()
        .text("/secram@e000000", "device_type", "memory")
        .cells("/secram@e000000", "reg", &[0, 0xe00_0000, 0, 0x100_0000])
        .text("/secram@e000000", "status", "disabled")
        .text("/cpus/cpu@0", "status", "fail")
        .text("/psci", "status", "disabled");
    with(&tree.blob(), |machine| {
        assert_eq!(*machine.ram, [region(0x4000_0000, 0x8000_0000)]);
        assert_eq!(*machine.cpus, [1]);
        assert_eq!(machine.psci, None);
    });
}

#[test]
fn a_machine_without_psci_is_legal() {
    let tree = virt().without_node("/", "psci").without("/cpus/cpu@1", "enable-method");
    with(&tree.blob(), |machine| {
        assert_eq!(machine.psci, None);
    });
    assert_eq!(
        error(&virt().text("/psci", "compatible", "arm,psci")),
        "/psci: compatible: found \"arm,psci\", wanted \"arm,psci-0.2\" or later"
    );
    assert_eq!(
        error(&virt().text("/psci", "method", "call")),
        "/psci: method: found \"call\", wanted \"smc\" or \"hvc\""
    );
}

#[test]
fn affinities_have_one_cell_or_two() {
    let tree = virt()
        .cells("/cpus", "#address-cells", &[2])
        .cells("/cpus/cpu@0", "reg", &[1, 0x0002_0304])
        .cells("/cpus/cpu@1", "reg", &[0, 5]);
    with(&tree.blob(), |machine| {
        assert_eq!(machine.cpus[0], 0x1_0002_0304);
        assert_eq!(machine.cpus[1], 5);
    });
    assert_eq!(
        error(&virt().cells("/cpus/cpu@1", "reg", &[0x8000_0000])),
        "/cpus/cpu@1: reg: found <0x80000000>, wanted the affinity fields of an MPIDR"
    );
    assert_eq!(
        error(&virt().cells("/cpus/cpu@1", "reg", &[0])),
        "/cpus/cpu@1: reg: found <0x0>, wanted an affinity that no CPU before it has"
    );
}

#[test]
fn more_cpus_than_fit_are_counted() {
    let mut tree = virt();
    for index in 2..11 {
        let cpu = format!("/cpus/cpu@{index}");
        tree = tree.text(&cpu, "device_type", "cpu").cells(&cpu, "reg", &[index]);
    }
    with(&tree.blob(), |machine| {
        assert_eq!((machine.cpus.len(), machine.cpus_left_out), (8, 3));
    });
}

#[test]
fn several_redistributor_regions_are_read() {
    let reg = [0, 0x800_0000, 0, 0x1_0000, 0, 0x80a_0000, 0, 0x2_0000, 1, 0, 0, 0x4_0000];
    let tree = virt().cells(GIC, "#redistributor-regions", &[2]).cells(GIC, "reg", &reg);
    with(&tree.blob(), |machine| {
        let regions = [region(0x80a_0000, 0x2_0000), region(1 << 32, 0x4_0000)];
        assert_eq!(*machine.gic.redistributors, regions);
    });
    assert!(
        error(&tree.clone().cells(GIC, "#redistributor-regions", &[3]))
            .starts_with("/intc@8000000: reg: found <0x0 0x8000000 ")
    );
    assert_eq!(
        error(&tree.cells(GIC, "#redistributor-regions", &[17])),
        "/intc@8000000: #redistributor-regions: found <0x11>, wanted 1 to 8"
    );
}

#[test]
fn an_older_gic_and_cpu_say_what_to_change() {
    assert_eq!(
        error(&virt().text(GIC, "compatible", "arm,cortex-a15-gic")),
        "/intc@8000000: compatible: found \"arm,cortex-a15-gic\", \
         wanted \"arm,gic-v3\" (QEMU: -M virt,gic-version=3)"
    );
    assert_eq!(
        error(&virt().without_node("/", "intc@8000000")),
        "/: compatible: found no usable node, \
         wanted \"arm,gic-v3\" (QEMU: -M virt,gic-version=3)"
    );
    assert_eq!(
        error(&virt().without(GIC, "interrupts")),
        "/intc@8000000: interrupts: found no such property, \
         wanted the maintenance interrupt (QEMU: virtualization=on)"
    );
    assert_eq!(
        error(&virt().text("/timer", "compatible", "arm,armv7-timer")),
        "/: compatible: found no usable node, wanted \"arm,armv8-timer\" (QEMU: a 64-bit -cpu, such as cortex-a72)"
    );
}

#[test]
fn timer_interrupts_follow_their_names() {
    let tree = virt()
        .cells("/timer", "interrupts", &[1, 10, 4, 1, 11, 4, 1, 14, 4, 1, 13, 4])
        .text("/timer", "interrupt-names", "hyp-phys\0virt\0phys\0sec-phys");
    with(&tree.blob(), |machine| {
        assert_eq!((machine.timer.virt, machine.timer.hypervisor), (27, 26));
    });
    assert_eq!(
        error(&virt().cells("/timer", "interrupts", &[1, 13, 4, 1, 14, 4])),
        "/timer: interrupts: found <0x1 0xd 0x4 0x1 0xe 0x4>, \
         wanted four interrupts of three cells each"
    );
}

#[test]
fn interrupts_may_name_their_controller_and_have_four_cells() {
    let tree = virt()
        .cells(GIC, "#interrupt-cells", &[4])
        .cells(GIC, "interrupts", &[1, 9, 4, 0])
        .without(UART, "interrupts")
        .cells(UART, "interrupts-extended", &[0x8005, 2, 3, 4, 0])
        .cells("/timer", "interrupts", &[1, 13, 4, 0, 1, 14, 4, 0, 3, 1, 4, 0, 1, 10, 4, 0]);
    with(&tree.blob(), |machine| {
        assert_eq!((machine.gic.maintenance, machine.console.intid), (25, 4099));
        assert_eq!((machine.timer.virt, machine.timer.hypervisor), (1057, 26));
    });
    assert_eq!(
        error(&virt().cells(UART, "interrupts", &[1, 16, 4])),
        "/pl011@9000000: interrupts: found <0x1 0x10 0x4>, wanted one interrupt"
    );
}

#[test]
fn reserved_memory_is_listed() {
    let tree = virt()
        .cells("/reserved-memory", "#address-cells", &[2])
        .cells("/reserved-memory", "#size-cells", &[2])
        .bytes("/reserved-memory", "ranges", &[])
        .cells("/reserved-memory/tz@41000000", "reg", &[0, 0x4100_0000, 0, 0x1000])
        .cells("/reserved-memory/cma", "size", &[0, 0x100_0000])
        .cells("/reserved-memory/off@42000000", "reg", &[0, 0x4200_0000, 0, 0x1000])
        .text("/reserved-memory/off@42000000", "status", "disabled");
    let blob = tree.blob_with_reservations(&[(0x4000_0000, 0x800)]);
    with(&blob, |machine| {
        assert_eq!(*machine.reserved, [region(0x4000_0000, 0x800), region(0x4100_0000, 0x1000)]);
        let claimed = [region(0x4000_0c00, 0x401), region(0x4100_1000, 0)];
        let usable: Vec<_> = machine.usable_ram(&claimed).collect();
        assert_eq!(
            usable,
            [region(0x4000_2000, 0xff_e000), region(0x4100_1000, 0x7eff_f000)],
            "pages touched by a reservation or a claim are left out"
        );
    });
}

#[test]
fn ram_faults_are_named() {
    let memory = |reg: &[u32]| error(&virt().cells("/memory@40000000", "reg", reg));
    assert_eq!(
        memory(&[u32::MAX, u32::MAX, 0, 1]),
        "/memory@40000000: reg: found 0x1 bytes at 0xffffffffffffffff, wanted an end below 2^64"
    );
    assert_eq!(
        memory(&[0, 0, 0]),
        "/memory@40000000: reg: found <0x0 0x0 0x0>, \
         wanted pairs of address and size, by the parent's #address-cells and #size-cells"
    );
    let none = "/: device_type: found no usable node, wanted \"memory\" with a size above 0";
    assert_eq!(memory(&[0, 0x4000_0000, 0, 0]), none);
    assert_eq!(error(&virt().without("/memory@40000000", "device_type")), none);
    let many: Vec<u32> = (0..33).flat_map(|index| [index, 0, 0, 0x1000]).collect();
    assert_eq!(
        memory(&many),
        "/memory@40000000: reg: found 0x1000 bytes at 0x1000000000, wanted at most 16 RAM regions"
    );
}

/// The same by counting pages one by one, for small addresses.
fn usable_pages(ram: &[Region], taken: &[Region]) -> Vec<u64> {
    let inside =
        |page: u64, region: &Region| region.base.get() <= page && page + 4096 <= region.end().get();
    let touches = |page: u64, region: &Region| {
        region.size > 0 && region.base.get() < page + 4096 && page < region.end().get()
    };
    (0..64)
        .map(|index| index * 4096)
        .filter(|page| ram.iter().any(|region| inside(*page, region)))
        .filter(|page| !taken.iter().any(|region| touches(*page, region)))
        .collect()
}

fn regions(count: usize) -> impl Strategy<Value = Vec<Region>> {
    let number = || prop_oneof![(0u64..16).prop_map(|page| page * 4096), 0u64..0x1_0000];
    let one = (number(), number()).prop_map(|(base, size)| region(base, size));
    proptest::collection::vec(one, 0..count)
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn usable_ram_is_what_counting_pages_gives(
        ram in regions(5), reserved in regions(4), claimed in regions(4)
    ) {
        let usable: Vec<_> = ram::usable(&ram, [&reserved, &claimed]).collect();
        let pages: Vec<_> = usable
            .iter()
            .flat_map(|region| (region.base.get()..region.end().get()).step_by(4096))
            .collect();
        let taken = [&reserved[..], &claimed].concat();
        prop_assert_eq!(pages, usable_pages(&ram, &taken));
        prop_assert!(usable.windows(2).all(|pair| pair[0].end() < pair[1].base));
    }

    #[test]
    fn ram_at_the_ends_of_the_address_space_is_survived(
        bases in proptest::collection::vec(any::<u64>(), 3), size in any::<u64>()
    ) {
        let cut = |base: u64| region(base, size.min(u64::MAX - base));
        let ram = [cut(bases[0]), cut(0), cut(u64::MAX - 1)];
        let reserved = [cut(bases[1])];
        let claimed = [Region { base: Pa::new(bases[2]), size }];
        prop_assert!(ram::usable(&ram, [&reserved, &claimed]).count() < 16);
    }

    #[test]
    fn spoiled_trees_are_survived(blob in spoiled(virt().blob().to_vec())) {
        if let Ok(tree) = Fdt::new(&blob) {
            match Machine::new(&tree) {
                Ok(machine) => {
                    let _ = (machine.usable_ram(&[]).count(), machine.ram_size());
                }
                Err(error) => prop_assert!(error.to_string().starts_with('/')),
            }
        }
    }
}

#[test]
fn virtio_transports_are_all_that_are_enabled_and_whole() {
    let transport =
        |tree: Tree, at: u32, spi: u32| {
            let node = format!("/virtio_mmio@{at:x}");
            tree.text(&node, "compatible", "virtio,mmio")
                .cells(&node, "reg", &[0, at, 0, 0x200])
                .cells(&node, "interrupts", &[0, spi, 1])
        };
    let mut tree = virt();
    for index in 0..40 {
        tree = transport(tree, 0xa00_0000 + index * 0x200, 16 + index);
    }
    // One for somebody else, and one that nobody can drive.
    tree = tree.text("/virtio_mmio@a000000", "status", "disabled");
    tree = tree.cells("/virtio_mmio@a000200", "interrupts", &[0]);
    with(&tree.blob(), |machine| {
        assert_eq!(machine.virtio().count(), 38);
        let first = machine.virtio().next().unwrap();
        assert_eq!(first.registers, Region { base: Pa::new(0xa00_0400), size: 0x200 });
        assert_eq!(first.intid, 32 + 18);
    });
    with(&virt().blob(), |machine| assert_eq!(machine.virtio().count(), 0));
}
