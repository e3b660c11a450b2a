//! Malformed descriptions, device trees and images: each VM of them is refused by name, and the
//! good ones beside them start. Whole blobs that are spoilt are refused, or their VMs are.

use super::{end, plans::Plan, victim, zeros};
use crate::harness::{Case, Config, Description, Failure, Outcome, Profile, Verdict, Vm, image};
use mezzanine_tools::session::End;

/// What there is of a good VM.
const FILE: &str = "hostile";
/// The start of RAM.
const RAM: u64 = 0x4000_0000;

/// An Image with another text_offset, image_size and flags.
fn header(text_offset: u64, image_size: u64, flags: u64) -> Result<Vec<u8>, Failure> {
    let mut bytes = image(FILE)?;
    for (at, number) in [(8, text_offset), (16, image_size), (24, flags)] {
        bytes[at..at + 8].copy_from_slice(&number.to_le_bytes());
    }
    Ok(bytes)
}

/// An ELF file of one segment, with these fields changed: where, how many bytes, what.
fn elf(changes: &[(usize, usize, u64)]) -> Vec<u8> {
    let mut bytes = vec![0_u8; 4096];
    let mut set = |at: usize, size: usize, number: u64| {
        bytes[at..at + size].copy_from_slice(&number.to_le_bytes()[..size]);
    };
    // e_ident, e_type, e_machine, e_entry, e_phoff, e_phentsize, e_phnum.
    let head = [(0, 4, 0x464c_457f), (4, 2, 0x0102), (16, 2, 2), (18, 2, 183)];
    let table = [(24, 8, RAM + 0x8_0000), (32, 8, 64), (54, 2, 56), (56, 2, 1)];
    // p_type, p_offset, p_vaddr, p_paddr, p_filesz, p_memsz.
    let where_ = [(64, 4, 1), (72, 8, 0x100), (80, 8, RAM + 0x8_0000), (88, 8, RAM + 0x8_0000)];
    let sizes = [(96, 8, 0x100), (104, 8, 0x1000)];
    for (at, size, number) in head.into_iter().chain(table).chain(where_).chain(sizes) {
        set(at, size, number);
    }
    for &(at, size, number) in changes {
        set(at, size, number);
    }
    bytes
}

/// A device tree with these big-endian words of its header changed.
fn tree(changes: &[(usize, u32)]) -> Result<Vec<u8>, Failure> {
    let mut description = Description::default();
    description.push(Vm::new("inner").without_kernel());
    let mut bytes = description.blob()?;
    for &(at, word) in changes {
        bytes[at..at + 4].copy_from_slice(&word.to_be_bytes());
    }
    Ok(bytes)
}

/// VMs that can't be, each with a word that its refusal says.
fn wrong() -> Result<Vec<(Vm, &'static str)>, Failure> {
    let vm = |name: &str| Vm::new(name).kernel(FILE);
    let kernel = |name: &str, bytes: Vec<u8>| Vm::new(name).bytes("kernel", bytes);
    let raw = |name: &str| vm(name).text("format", "raw");
    let address = |number: u64| number.to_be_bytes().to_vec();
    let entry = |name: &str, at: u64| vm(name).property("entry-address", address(at));
    let region = |name: &str, at: u64, size: u32| vm(name).rom(at, size, FILE);
    let size = image(FILE)?.len() as u64;
    Ok(vec![
        // Image headers.
        (kernel("image-empty", vec![]), "kernel"),
        (kernel("image-offset", header(1 << 40, 0x10_0000, 2)?), "kernel"),
        (kernel("image-offset-wraps", header(!0, 0x10_0000, 2)?), "kernel"),
        (kernel("image-offset-end", header(0u64.wrapping_sub(RAM), 0x10_0000, 2)?), "kernel"),
        (kernel("image-size", header(0, 1 << 40, 2)?), "kernel"),
        (kernel("image-size-wraps", header(0, !0, 2)?), "kernel"),
        (kernel("image-big-endian", header(0, 0x10_0000, 3)?), "big-endian"),
        (
            kernel("image-all-memory", header(0, 14 << 20, 2)?).memory(16).cell("initrd", 1),
            "initrd",
        ),
        (vm("image-without-magic").bytes("kernel", vec![0; 4096]).text("format", "Image"), "magic"),
        (vm("load-odd").property("load-address", address(RAM + 0x1000)), "load-address"),
        (raw("load-below").property("load-address", address(0)), "load-address"),
        (raw("load-wraps").property("load-address", address(!0xfff)), "load-address"),
        (raw("load-end").property("load-address", address(RAM + (16 << 20) - size + 4)), "load"),
        (raw("load-device").property("load-address", address(0x900_0000)), "load-address"),
        (vm("load-short").property("load-address", vec![0; 4]), "load-address"),
        (entry("entry-odd", RAM + (2 << 20) + 2), "entry-address"),
        (entry("entry-device", 0x900_0000), "entry-address"),
        (entry("entry-wraps", !3), "entry-address"),
        (kernel("packed", [&[0x1f, 0x8b, 8, 0][..], &[0; 64]].concat()), "gzip"),
        // ELF headers.
        (kernel("elf-short", elf(&[])[..20].to_vec()), "kernel"),
        (kernel("elf-32", elf(&[(4, 1, 1)])), "ELF"),
        (kernel("elf-x86", elf(&[(18, 2, 62)])), "62"),
        (kernel("elf-relocatable", elf(&[(16, 2, 1)])), "ELF"),
        (kernel("elf-table", elf(&[(32, 8, 1 << 40)])), "kernel"),
        (kernel("elf-table-wraps", elf(&[(32, 8, !0)])), "kernel"),
        (kernel("elf-none", elf(&[(56, 2, 0)])), "segment"),
        (kernel("elf-many", elf(&[(56, 2, 0xffff)])), "kernel"),
        (kernel("elf-small-headers", elf(&[(54, 2, 8)])), "8"),
        (kernel("elf-offset", elf(&[(72, 8, !0)])), "segment"),
        (kernel("elf-file-size", elf(&[(96, 8, !0)])), "segment"),
        (kernel("elf-more-in-file", elf(&[(96, 8, 0x800), (104, 8, 0x400)])), "segment"),
        (kernel("elf-memory", elf(&[(104, 8, !0)])), "kernel"),
        (kernel("elf-device", elf(&[(88, 8, 0x900_0000)])), "kernel"),
        (kernel("elf-wraps", elf(&[(88, 8, !0xfff)])), "kernel"),
        (kernel("elf-entry", elf(&[(24, 8, 0)])), "entry-address"),
        // Device trees of the user's.
        (vm("tree-empty").bytes("device-tree", vec![]), "device-tree"),
        (vm("tree-short").bytes("device-tree", vec![0xd0, 0x0d, 0xfe, 0xed]), "tree-short"),
        (vm("tree-magic").bytes("device-tree", tree(&[(0, 0)])?), "tree-magic"),
        (vm("tree-size").bytes("device-tree", tree(&[(4, !0)])?), "tree-size"),
        (vm("tree-struct").bytes("device-tree", tree(&[(8, !3)])?), "tree-struct"),
        (vm("tree-strings").bytes("device-tree", tree(&[(12, !3)])?), "tree-strings"),
        (vm("tree-reserve").bytes("device-tree", tree(&[(16, !7)])?), "tree-reserve"),
        (vm("tree-version").bytes("device-tree", tree(&[(20, 1), (24, !0)])?), "tree-version"),
        (vm("tree-struct-size").bytes("device-tree", tree(&[(36, !0)])?), "tree-struct-size"),
        // Initrds and memory.
        (vm("initrd-large").memory(4).bytes("initrd", vec![1; 3 << 20]), "initrd"),
        (vm("initrd-empty").bytes("initrd", vec![]), "initrd"),
        (vm("memory-odd").memory(5), "memory-mib"),
        (vm("memory-wraps").memory(u32::MAX), "memory-mib"),
        (vm("memory-all").memory(1 << 20), "memory-mib"),
        (vm("memory-none").memory(0), "memory-mib"),
        // Other memory.
        (region("rom-odd", 0x1000_0001, 4 << 20), "address"),
        (region("rom-in-ram", RAM + (8 << 20), 4 << 20), "address"),
        (region("rom-on-uart", 0x0900_0000, 4 << 20), "address"),
        (region("rom-on-gic", 0x0800_f000, 4 << 20), "address"),
        (region("rom-to-uart", 0x08f0_0000, 4 << 20), "address"),
        (region("rom-on-stolen-time", 0x090a_0000, 4 << 20), "address"),
        (region("rom-wraps", !0xfff, 4 << 20), "address"),
        (region("rom-far", 1 << 50, 4 << 20), "address"),
        (region("rom-small", 0x1000_0000, 16), "size"),
        (region("rom-none", 0x1000_0000, 0), "size"),
        // The rest.
        (vm("spis-odd").cell("spis", 33), "spis"),
        (vm("spis-many").cell("spis", 1 << 20), "spis"),
        (vm("cpus-many").cpus(!0), "cpus"),
        (vm("share-many").share(!0), "share"),
        (vm("affinity-many").cpus(2).affinity(&[1; 5]), "affinity"),
        (vm("words-not-text").property("bootargs", vec![0xff, 0xfe, 0]), "bootargs"),
        (vm("words-long").memory(4).bootargs(&"x".repeat(3 << 20)), "memory-mib"),
        (vm("unknown-property").cell("dma", 1), "dma"),
        (vm("name@8"), "name"),
        (vm("mezzanine"), "name"),
        (vm("victim"), "name"),
    ])
}

/// The family's boots.
pub fn more(plan: &Plan, config: Config) -> Verdict {
    let wrong = wrong()?;
    let mut case = super::machine(config, plan).vm(victim());
    let good = Vm::new("right").kernel(FILE).bootargs("family=39 auto");
    case = case.vm(good);
    for (vm, _) in &wrong {
        case = case.vm(vm.clone());
    }
    let mut talk = case.start()?;
    talk.said("[victim] BEAT n=1 ", "\0")?;
    talk.expect("INFO: right: off")?;
    let outcome = end(talk, 0)?;
    outcome.expect_pass("right", 1)?;
    zeros(&outcome, "right", 1)?;
    for (vm, word) in &wrong {
        let name = vm.name();
        let short = &name[..name.len().min(28)];
        outcome.expect_line("mezzanine", &["ERROR", short, word])?;
        if name != "victim" && name != "mezzanine" {
            outcome.expect_no_line(name, "")?;
        }
    }
    let names = wrong.iter().map(|(vm, _)| format!("forms.{}", vm.name()));
    super::table::variants(39, names);
    outcome.expect_status(1)?;
    if config.profile == Profile::Release {
        spoilt(config)?;
    }
    Ok(())
}

/// Whole descriptions in which some bytes are others. Whatever comes of them, the hypervisor ends
/// by itself, and did not fail.
fn spoilt(config: Config) -> Verdict {
    let mut description = Description::default();
    description.push(Vm::new("one").kernel("hvc").memory(8));
    description.push(Vm::new("two").kernel("hvc").memory(8));
    let good = description.blob()?;
    let word = |at: usize| u32::from_be_bytes([good[at], good[at + 1], good[at + 2], good[at + 3]]);
    let (structure, end) = (word(8) as usize, good.len());
    // The structure block begins with the image; what describes the VMs is behind it.
    let vms = end - 1024;
    let mut random = u64::from(config.smp) << 8 | config.cpu as u64;
    for n in 0..5 {
        let mut blob = good.clone();
        for _ in 0..3 {
            random = random
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            let (low, high) = match n % 3 {
                0 => (0, 40),
                1 => (structure, structure + 64),
                _ => (vms, end),
            };
            let at = low + (random >> 33) as usize % (high - low);
            blob[at] ^= 1 << (random >> 13 & 7) | (random >> 20) as u8;
        }
        let outcome = Case::new(config).blob(blob).run()?;
        sane(&outcome)?;
        super::table::variants(39, [format!("forms.spoilt-{n}")].into_iter());
    }
    Ok(())
}

/// The hypervisor itself did not fail, and said its last word.
fn sane(outcome: &Outcome) -> Verdict {
    outcome.expect_no_line("mezzanine", "on pCPU")?;
    match outcome.end {
        End::Status(_) => Ok(()),
        _ => Err(outcome.failure("a last line wanted")),
    }
}
