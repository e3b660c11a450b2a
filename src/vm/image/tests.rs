use std::string::{String, ToString};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::platform::fdt::testing::cases;
use crate::vm::layout::MAX_VCPUS;

const BASE: u64 = 0x4000_0000;
const MIB: u64 = 1 << 20;
const ROOM: u64 = 0x2000;

/// A VM of one vCPU in which nothing is said but this.
pub(crate) fn vm(kernel: &[u8], memory_mib: u32) -> VmConfig<'_> {
    VmConfig { memory_mib, kernel, affinity: [1; MAX_VCPUS], ..VmConfig::new("test") }
}

fn plan<'a>(vm: &VmConfig<'a>) -> Result<LoadPlan<'a>, Fault> {
    LoadPlan::new(vm, ROOM)
}

fn fault(vm: &VmConfig<'_>) -> String {
    let Err(fault) = plan(vm) else { return "no fault".into() };
    let line = fault.to_string();
    line.strip_prefix("/test: ").expect("the node comes first").into()
}

/// Where a plan puts things: kernel segments as (start, size), entry, tree.
fn places(vm: &VmConfig<'_>) -> (Vec<(u64, u64)>, u64, u64) {
    match plan(vm) {
        Ok(plan) => {
            let kernel = plan.loads.iter().map(|segment| (segment.ipa.get(), segment.size));
            (kernel.collect(), plan.entry.get(), plan.tree.get())
        }
        Err(error) => panic!("{error}"),
    }
}

/// An arm64 Image of `size` bytes.
fn image(text_offset: u64, image_size: u64, flags: u64, size: usize) -> Vec<u8> {
    let mut file = std::vec![0; 64];
    file[8..16].copy_from_slice(&text_offset.to_le_bytes());
    file[16..24].copy_from_slice(&image_size.to_le_bytes());
    file[24..32].copy_from_slice(&flags.to_le_bytes());
    file[56..60].copy_from_slice(b"ARM\x64");
    file.resize(size, 0xd5);
    file
}

/// One program header: type, offset, vaddr, paddr, filesz, memsz.
type Header = (u32, u64, u64, u64, u64, u64);

/// An ELF file with its headers in front and `size` bytes in all.
fn elf(entry: u64, headers: &[Header], size: usize) -> Vec<u8> {
    let mut file = Vec::new();
    file.extend(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    file.extend([2u16, 183].iter().flat_map(|half| half.to_le_bytes()));
    file.extend(1u32.to_le_bytes());
    file.extend([entry, 64, 0].iter().flat_map(|number| number.to_le_bytes()));
    file.extend(0u32.to_le_bytes());
    let halves = [64, 56, headers.len() as u16, 0, 0, 0];
    file.extend(halves.iter().flat_map(|half| half.to_le_bytes()));
    for (kind, offset, vaddr, paddr, in_file, size) in headers {
        file.extend([*kind, 5].iter().flat_map(|word| word.to_le_bytes()));
        let numbers = [*offset, *vaddr, *paddr, *in_file, *size, 0x1000];
        file.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
    file.resize(size.max(file.len()), 0xee);
    file
}

#[test]
fn memory_comes_in_pieces_of_a_frame() {
    let kernel = [0xd5; 0x100];
    let rom = |address, size| Region { name: "rom", address, size, data: &[], read_only: true };
    let mut vm = vm(&kernel, 7);
    // Neither begins where a frame of RAM could, and one ends within a frame.
    vm.regions = std::vec![rom(0x0400_1000, 0x20_0000), rom(0x0500_0000, 0x30_0000)];
    let plan = plan(&vm).expect("a plan");
    let at = |ipa| {
        let piece = plan.piece(Ipa::new(ipa))?;
        let writable = piece.attributes == Attributes::RAM;
        Some((piece.frame, piece.ipa.get(), piece.bytes, writable))
    };
    assert_eq!(at(BASE), Some((0, BASE, 0x20_0000, true)));
    assert_eq!(at(BASE + 0x3f_ffff), Some((1, BASE + 0x20_0000, 0x20_0000, true)));
    assert_eq!(at(BASE + 0x6f_ffff), Some((3, BASE + 0x60_0000, 0x10_0000, true)));
    assert_eq!(at(BASE + 0x70_0000), None);
    assert_eq!(at(0x0420_0fff), Some((4, 0x0400_1000, 0x20_0000, false)));
    assert_eq!((at(0x0400_0fff), at(0x0420_1000), at(u64::MAX), at(0)), (None, None, None, None));
    assert_eq!(at(0x0520_0000), Some((6, 0x0520_0000, 0x10_0000, false)));
    assert_eq!(plan.memory.iter().map(|one| one.1.div_ceil(BLOCK_SIZE)).sum::<u64>(), 7);
}

#[test]
fn formats_are_recognised() {
    assert_eq!(Format::of(&image(0, 0x1000, 0, 64)), Format::Image);
    assert_eq!(Format::of(&elf(0, &[], 0)), Format::Elf);
    assert_eq!(Format::of(b"\x7fEL"), Format::Raw);
    assert_eq!(Format::of(b""), Format::Raw);
    let names = ["Image", "elf", "raw", "bin"].map(Format::from_name);
    assert_eq!(names, [Some(Format::Image), Some(Format::Elf), Some(Format::Raw), None]);
}

#[test]
fn an_image_goes_to_its_text_offset_or_a_block_higher() {
    let high = image(0x8_0000, 0x20_0000, 0, 0x1000);
    assert_eq!(
        places(&vm(&high, 16)),
        (std::vec![(BASE + 0x8_0000, 0x20_0000)], BASE + 0x8_0000, BASE)
    );
    for offset in [0, 4095] {
        let low = image(offset, 0x20_0000, 0, 0x1000);
        let start = BASE + 2 * MIB + offset;
        // Its entry would be odd with an offset that no linker makes.
        let mut vm = vm(&low, 16);
        vm.entry_address = Some(start & !3);
        if offset == 0 {
            assert_eq!(places(&vm), (std::vec![(start, 0x20_0000)], start, BASE));
        }
        assert_eq!(header::load(&vm).unwrap().1, start);
    }
    let page = image(4096, 0x20_0000, 0, 0x1000);
    let (kernel, entry, tree) = places(&vm(&page, 16));
    assert_eq!((kernel[0].0, entry), (BASE + 4096, BASE + 4096));
    assert_eq!(tree, BASE + 8 * MIB, "the first page is too small for it: half of RAM up");
}

#[test]
fn an_image_takes_what_its_header_says_or_its_file_is() {
    let old = image(0x1234, 0, 0, 0x3000);
    assert_eq!(places(&vm(&old, 16)).0, [(BASE + 0x8_0000, 0x3000)]);
    let short = image(0x8_0000, 0x10, 0, 0x3000);
    assert_eq!(places(&vm(&short, 16)).0, [(BASE + 0x8_0000, 0x3000)]);
}

#[test]
fn an_images_faults_are_named() {
    let huge = image(0x8_0000, u64::MAX, 0, 64);
    assert_eq!(
        fault(&vm(&huge, 16)),
        "kernel: found 0xffffffffffffffff bytes to go to 0x40080000, \
         wanted them within RAM, 0x40000000 to 0x41000000"
    );
    let far = image(u64::MAX - 0x1000, 0x1000, 0, 64);
    assert_eq!(
        fault(&vm(&far, 16)),
        "kernel: found text_offset 0xffffffffffffefff, wanted one within RAM"
    );
    let big_endian = image(0, 0x1000, 1, 64);
    assert_eq!(
        fault(&vm(&big_endian, 16)),
        "kernel: found a big-endian Image (flags 0x1), wanted bit 0 clear"
    );
    let good = image(0, 0x1000, 0, 64);
    let mut odd = vm(&good, 16);
    odd.load_address = Some(BASE + 0x8_0000);
    assert_eq!(
        fault(&odd),
        "load-address: found 0x40080000, wanted a multiple of 2 MiB and text_offset, 0x0"
    );
    odd.load_address = Some(BASE + 4 * MIB);
    assert_eq!(places(&odd).1, BASE + 4 * MIB);
    let mut none = vm(b"none", 16);
    none.format = Some(Format::Image);
    assert!(fault(&none).starts_with("kernel: found 4 bytes without the magic of an Image"));
}

#[test]
fn a_raw_image_goes_and_starts_where_it_is_told() {
    let mut vm = vm(&[0xd5; 0x1000], 16);
    assert_eq!(places(&vm), (std::vec![(BASE + 0x8_0000, 0x1000)], BASE + 0x8_0000, BASE));
    vm.load_address = Some(BASE);
    let (kernel, entry, tree) = places(&vm);
    assert_eq!((kernel[0].0, entry), (BASE, BASE));
    assert_eq!(tree, BASE + 8 * MIB, "far above what it may use behind its last byte");
    vm.entry_address = Some(BASE + 0x10);
    assert_eq!(places(&vm).1, BASE + 0x10);
    for entry in [BASE + 2, BASE + 0x1000, BASE - 4, u64::MAX - 3] {
        vm.entry_address = Some(entry);
        assert!(fault(&vm).starts_with("entry-address: found 0x"), "{entry:#x}");
    }
    vm.load_address = Some(u64::MAX - 10);
    assert!(fault(&vm).starts_with("load-address: found 0x1000 bytes to go to 0xfffffffffffffff5"));
    vm.load_address = Some(BASE + 16 * MIB - 0xfff);
    assert!(fault(&vm).contains("wanted them within RAM"));
}

#[test]
fn a_packed_kernel_is_refused_unless_told_raw() {
    let mut packed = vm(b"\x1f\x8b\x08\x00....", 16);
    assert!(fault(&packed).starts_with("kernel: found a file packed by gzip"));
    packed.format = Some(Format::Raw);
    assert_eq!(fault(&packed), "no fault");
}

#[test]
fn an_elf_file_goes_to_its_physical_addresses() {
    let headers = [
        (6, 64, 0, 0, 56, 56),
        (1, 0x1000, 0xffff_0000_0010_0000, BASE + MIB, 0x500, 0x2000),
        (1, 0x1500, 0xffff_0000_0020_0000, BASE + 2 * MIB, 0x10, 0x10),
        (1, u64::MAX, 0xffff_0000_0030_0000, BASE + 3 * MIB, 0, 0x800),
        (1, 0, 0, 0, 0, 0),
    ];
    let file = elf(0xffff_0000_0010_0004, &headers, 0x1510);
    let found = plan(&vm(&file, 16)).unwrap();
    assert_eq!(found.entry, Ipa::new(BASE + MIB + 4), "translated as its segment is");
    let pieces: Vec<_> =
        found.loads.iter().map(|one| (one.ipa.get(), one.bytes.len(), one.size)).collect();
    let wanted =
        [(BASE + MIB, 0x500, 0x2000), (BASE + 2 * MIB, 0x10, 0x10), (BASE + 3 * MIB, 0, 0x800)];
    assert_eq!(pieces, wanted);
    assert_eq!(found.loads[0].bytes.as_ptr(), file[0x1000..].as_ptr());

    let mut moved = vm(&file, 16);
    moved.load_address = Some(BASE);
    let found = places(&moved);
    assert_eq!(found.0, [(BASE, 0x2000), (BASE + MIB, 0x10), (BASE + 2 * MIB, 0x800)]);
    assert_eq!(found.1, BASE + 4);
}

#[test]
fn an_elf_files_faults_are_named() {
    let one = |header: Header| {
        let file = elf(BASE, &[header], 0x2000);
        fault(&vm(&file, 16))
    };
    assert_eq!(one((1, 0x1000, BASE, BASE, 0x1000, 0x1000)), "no fault");
    for (offset, in_file, size) in
        [(0x1000, 0x1001, 0x2000), (u64::MAX, 1, 1), (0x1000, 2, 1), (u64::MAX, u64::MAX, u64::MAX)]
    {
        let found = one((1, offset, BASE, BASE, in_file, size));
        assert!(found.starts_with("kernel: found an ELF segment of"), "{found}");
    }
    assert!(one((1, 0, BASE, BASE, 0x10, u64::MAX)).contains("wanted them within RAM"));
    assert!(one((1, 0, BASE, BASE - 1, 0x10, 0x10)).contains("wanted them within RAM"));
    assert_eq!(
        one((2, 0, BASE, BASE, 0x10, 0x10)),
        "kernel: found no loadable ELF segment, wanted one or more"
    );
    let twice = elf(BASE, &[(1, 0, BASE, BASE, 8, 0x1001), (1, 0, 0, BASE + 0x1000, 8, 8)], 0);
    assert_eq!(
        fault(&vm(&twice, 16)),
        "kernel: found 0x8 bytes at 0x40001000 on what lies at 0x40000000, wanted them apart"
    );
    let many: Vec<Header> = (0..33).map(|n| (1, 0, 0, BASE + n * 0x1000, 8, 8)).collect();
    assert_eq!(
        fault(&vm(&elf(BASE, &many, 0), 16)),
        "kernel: found more loadable ELF segments, wanted at most 32"
    );
    let good = elf(BASE, &[(1, 0x1000, BASE, BASE, 8, 8)], 0x1008);
    let change = |offset: usize, value: u8| {
        let mut file = good.clone();
        file[offset] = value;
        fault(&vm(&file, 16))
    };
    assert!(change(4, 1).starts_with("kernel: found an ELF file of type 2 for machine 183"));
    assert!(change(5, 2).starts_with("kernel: found an ELF file"));
    assert!(change(16, 1).starts_with("kernel: found an ELF file of type 1 for machine 183"));
    assert!(change(18, 62).starts_with("kernel: found an ELF file of type 2 for machine 62"));
    assert!(change(54, 55).starts_with("kernel: found ELF program headers of 55 bytes"));
    assert!(change(39, 0xff).starts_with("kernel: found the ELF file's end at 0x1008"));
    assert!(fault(&vm(&good[..60], 16)).starts_with("kernel: found the ELF file's end at 0x3c"));
    let mut told = vm(b"no elf", 16);
    told.format = Some(Format::Elf);
    assert!(fault(&told).starts_with("kernel: found 6 bytes without the magic of ELF"));
}

#[test]
fn an_initrd_goes_half_way_up_or_right_above_the_kernel() {
    let kernel = [0xd5; 0x1001];
    let initrd = std::vec![0xaa; 7 * MIB as usize];
    let mut vm = vm(&kernel, 16);
    vm.initrd = Some(&initrd);
    let place = |vm: &VmConfig<'_>| plan(vm).map(|plan| plan.initrd.map(|one| one.ipa.get()));
    assert_eq!(place(&vm), Ok(Some(BASE + 8 * MIB)));
    vm.memory_mib = 512;
    assert_eq!(place(&vm), Ok(Some(BASE + 128 * MIB)));
    vm.memory_mib = 12;
    assert_eq!(place(&vm), Ok(Some(BASE + 0x8_2000)), "the page above the kernel's last");
    vm.memory_mib = 6;
    assert_eq!(
        fault(&vm),
        "initrd: found 0x700000 bytes, wanted at most 0x57e000, the RAM above the kernel"
    );
    vm.memory_mib = 16;
    vm.load_address = Some(BASE + 8 * MIB);
    assert_eq!(place(&vm), Ok(Some(BASE + 8 * MIB + 0x2000)));
}

#[test]
fn the_tree_goes_to_the_start_of_ram_or_above_the_initrd() {
    let kernel = [0xd5; 0x1000];
    let initrd = [0xaa; 0x1800];
    let mut vm = vm(&kernel, 16);
    vm.initrd = Some(&initrd);
    assert_eq!(plan(&vm).unwrap().tree, Ipa::new(BASE));
    vm.load_address = Some(BASE + 0x1000);
    let found = plan(&vm).unwrap();
    assert_eq!(found.initrd.unwrap().ipa, Ipa::new(BASE + 8 * MIB));
    assert_eq!(found.tree, Ipa::new(BASE + 8 * MIB + 0x2000));
    assert_eq!(found.tree_room, ROOM);
    vm.load_address = Some(BASE + ROOM);
    assert_eq!(plan(&vm).unwrap().tree, Ipa::new(BASE), "it just fits below");
    let all = std::vec![0xd5; 2 * MIB as usize];
    let mut full = super::tests::vm(&all, 2);
    full.load_address = Some(BASE);
    assert_eq!(fault(&full), "memory-mib: found 0x0 bytes free, wanted 0x2000 for the device tree");
}

/// All that a plan promises.
fn check(vm: &VmConfig<'_>, plan: &LoadPlan<'_>) {
    let end = BASE + vm.memory();
    let tree = Segment { ipa: plan.tree, bytes: &[], size: plan.tree_room };
    let parts: Vec<_> = plan.loads.iter().chain(&plan.initrd).copied().chain([tree]).collect();
    for (index, part) in parts.iter().enumerate() {
        assert!(part.ipa.get() >= BASE && part.bytes.len() as u64 <= part.size);
        assert!(part.ipa.get().checked_add(part.size).is_some_and(|last| last <= end));
        assert!(parts[..index].iter().all(|other| !other.overlaps(part)));
    }
    assert!(plan.entry.is_aligned(4) && plan.tree.is_aligned(PAGE_SIZE));
    assert!(plan.loads.iter().any(|segment| segment.contains(plan.entry.get())));
}

/// Numbers near the edges of things.
fn edge() -> impl Strategy<Value = u64> {
    let near = prop_oneof![
        Just(0),
        Just(BASE),
        Just(BASE + 0x8_0000),
        Just(BASE + MIB),
        Just(BASE + 4 * MIB),
        Just(u64::MAX),
        Just(0x1000),
        Just(64),
        any::<u64>(),
    ];
    (near, 0u64..32).prop_map(|(near, offset)| near.wrapping_add(offset).wrapping_sub(16))
}

proptest! {
    #![proptest_config(cases(1000))]

    #[test]
    fn any_header_is_survived(
        numbers in proptest::collection::vec(edge(), 3), load in proptest::option::of(edge()),
        entry in proptest::option::of(edge()), initrd in 0usize..0x20_0000, memory in 1u32..4)
    {
        let file = image(numbers[0], numbers[1], numbers[2], 0x1000);
        let initrd = std::vec![0; initrd];
        let mut vm = vm(&file, memory * 2);
        (vm.load_address, vm.entry_address, vm.initrd) = (load, entry, Some(&initrd[..]));
        if let Ok(plan) = plan(&vm) {
            check(&vm, &plan);
        }
    }

    #[test]
    fn any_elf_file_is_survived(
        headers in proptest::collection::vec(
            (0u32..3, edge(), edge(), edge(), edge(), edge()), 0..4),
        entry in edge(), load in proptest::option::of(edge()), cut in 0usize..0x400,
        change in proptest::option::of((0usize..0x100, any::<u8>())))
    {
        let mut file = elf(entry, &headers, 0x400);
        if let Some((place, value)) = change {
            file[place] = value;
        }
        let mut vm = vm(&file[cut.saturating_sub(0x300)..], 4);
        vm.load_address = load;
        if let Ok(plan) = plan(&vm) {
            check(&vm, &plan);
        }
        vm.kernel = &file[..0x400 - cut];
        vm.format = Some(Format::Elf);
        if let Ok(plan) = plan(&vm) {
            check(&vm, &plan);
        }
    }

    #[test]
    fn any_raw_image_is_survived(
        size in 0usize..0x1000, load in edge(), entry in edge(), room in edge())
    {
        let file = std::vec![0; size];
        let mut vm = vm(&file, 2);
        (vm.load_address, vm.entry_address) = (Some(load), Some(entry));
        if let Ok(plan) = LoadPlan::new(&vm, room) {
            check(&vm, &plan);
        }
    }
}
