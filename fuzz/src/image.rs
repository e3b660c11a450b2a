//! Guests' images, headers first: any plan that is made keeps its promises, and loads of an ELF
//! file what a plain reader finds.

use crate::input::Input;
use mezzanine::memory::Ipa;
use mezzanine::vm::description::{Fault, VmConfig};
use mezzanine::vm::image::{Format, LoadPlan, Segment};
use mezzanine::vm::layout::RAM_BASE;

const PAGE: u64 = 4096;

/// Takes some bytes for what is said of a VM, and the rest for its kernel.
pub fn run(data: &[u8]) {
    with(data, |vm, room| LoadPlan::new(vm, room));
}

fn with(data: &[u8], plan: impl for<'a> Fn(&VmConfig<'a>, u64) -> Result<LoadPlan<'a>, Fault>) {
    let mut input = Input::new(data);
    let edges = [RAM_BASE.get(), RAM_BASE.get() + 0x8_0000, RAM_BASE.get() + 0x20_0000, 0x1000, 0];
    let said = input.u8();
    let initrd = vec![0; usize::from(input.u16()) * (1 + input.below(64))];
    let format = [None, Some(Format::Image), Some(Format::Elf), Some(Format::Raw)];
    let mut vm = VmConfig { format: input.pick(&format), ..VmConfig::new("test") };
    vm.memory_mib = 2 * (1 + input.below(8)) as u32;
    if said & 1 != 0 {
        vm.load_address = Some(input.near(&edges));
    }
    if said & 2 != 0 {
        vm.entry_address = Some(input.near(&edges));
    }
    if said & 4 != 0 {
        vm.initrd = Some(&initrd);
    }
    let room = if said & 8 != 0 { input.near(&edges) } else { 0x2000 };
    vm.kernel = input.rest();
    match plan(&vm, room) {
        Ok(plan) => {
            assert!(plan.tree_room >= room);
            check(&vm, &plan);
        }
        Err(fault) => check_fault(&fault),
    }
}

/// A fault is one line that names a node.
pub fn check_fault(fault: &Fault) {
    let line = fault.to_string();
    assert!(line.starts_with('/') && !line.contains('\n') && line.contains("found "), "{line}");
}

/// All that a plan promises, for a VM without read-only regions too.
pub fn check(vm: &VmConfig<'_>, plan: &LoadPlan<'_>) {
    let tree = Segment { ipa: plan.tree, bytes: &[], size: plan.tree_room };
    let parts: Vec<_> = plan.loads.iter().chain(&plan.initrd).copied().chain([tree]).collect();
    let range =
        |ipa: Ipa, size: u64| u128::from(ipa.get())..u128::from(ipa.get()) + u128::from(size);
    let memory: Vec<_> = plan.memory.iter().map(|(ipa, size, _)| range(*ipa, *size)).collect();
    assert_eq!(memory[0], range(RAM_BASE, vm.memory()));
    for (index, part) in parts.iter().enumerate() {
        assert!(part.bytes.len() as u64 <= part.size);
        let own = range(part.ipa, part.size);
        let inside = |all: &std::ops::Range<u128>| all.start <= own.start && own.end <= all.end;
        assert!(memory.iter().any(inside), "{own:x?} is in no memory");
        for other in parts[..index].iter().map(|other| range(other.ipa, other.size)) {
            let apart = other.end <= own.start || own.end <= other.start;
            assert!(apart || own.is_empty() || other.is_empty(), "{own:x?} on {other:x?}");
        }
    }
    let entry = plan.entry.get();
    let is_loaded = |load: &Segment<'_>| range(load.ipa, load.size).contains(&entry.into());
    assert!(entry.is_multiple_of(4) && plan.loads.iter().any(is_loaded), "entry {entry:#x}");
    assert!(plan.tree.get().is_multiple_of(PAGE));
    assert_eq!(plan.initrd.map(|initrd| initrd.bytes), vm.initrd);
    let is_elf = vm.format == Some(Format::Elf)
        || vm.format.is_none()
            && vm.kernel.starts_with(b"\x7fELF")
            && vm.kernel.get(56..60) != Some(b"ARM\x64");
    if is_elf {
        let segments = segments(vm.kernel).expect("a file with a plan has segments");
        assert!(segments.len() <= plan.loads.len());
        let shift = plan.loads[0].ipa.get().wrapping_sub(segments[0].0);
        for ((paddr, bytes, size), load) in segments.iter().zip(&plan.loads) {
            assert_eq!((load.ipa.get(), load.size), (paddr.wrapping_add(shift), *size));
            assert_eq!(load.bytes, *bytes);
        }
        assert!(shift == 0 || vm.load_address.is_some());
    }
}

/// p_paddr, bytes and p_memsz of the loadable segments of an ELF file (System V gABI, chapter 5).
fn segments(file: &[u8]) -> Option<Vec<(u64, &[u8], u64)>> {
    let number = |at: usize, size: usize| {
        let bytes = file.get(at..at.checked_add(size)?)?;
        Some(bytes.iter().rev().fold(0u64, |number, byte| number << 8 | u64::from(*byte)))
    };
    let (table, each, count) = (number(32, 8)? as usize, number(54, 2)?, number(56, 2)?);
    let mut segments = Vec::new();
    for index in 0..count as usize {
        let header = table.checked_add(index * each as usize)?;
        let [offset, paddr, in_file, size] = [8, 24, 32, 40].map(|at| number(header + at, 8));
        let (offset, in_file, size) = (offset? as usize, in_file? as usize, size?);
        if number(header, 4)? == 1 && size != 0 {
            let first = if in_file == 0 { 0 } else { offset };
            segments.push((paddr?, file.get(first..first.checked_add(in_file)?)?, size));
        }
    }
    (!segments.is_empty()).then_some(segments)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bite::assert_bites;

    #[test]
    fn an_image_size_that_does_not_count_is_found() {
        assert_bites("image", run, |data| {
            with(data, |vm, room| {
                let mut plan = LoadPlan::new(vm, room)?;
                // As if only the file's bytes were to be kept free.
                plan.tree = Ipa::new(
                    (plan.loads[0].ipa.get() + plan.loads[0].bytes.len() as u64)
                        .next_multiple_of(PAGE),
                );
                Ok(plan)
            });
        });
    }

    #[test]
    fn an_entry_outside_is_found() {
        assert_bites("image", run, |data| {
            with(data, |vm, room| {
                let mut plan = LoadPlan::new(vm, room)?;
                plan.entry = plan.loads[0].end();
                Ok(plan)
            });
        });
    }

    #[test]
    fn the_corpus_is_planned() {
        crate::bite::assert_deep("image", |data| {
            let planned = std::cell::Cell::new(false);
            with(data, |vm, room| {
                let plan = LoadPlan::new(vm, room).inspect_err(|fault| println!("{fault}"));
                planned.set(plan.is_ok());
                plan
            });
            planned.get()
        });
    }
}
