//! Bring-up of the machine: from an address of a device tree to facts, memory and pCPUs. Its steps
//! are never inlined, so that a breakpoint finds each by its name, and `make bench` its instructions.

use core::fmt::Write;

use log::info;

use super::console::{self, Emergency};
use super::fdt::{Fdt, HEADER_SIZE, Odd};
use super::gic::{self, Block};
use super::machine::{Machine, Region};
use super::pl011::Uart;
use super::{power, psci};
use crate::el2::{features, layout, mmu, percpu, smp};
use crate::memory::frames::FrameAllocator;
use crate::memory::{BLOCK_SIZE, PAGE_SIZE, Pa, Va, align_up, heap};

/// EL2's own memory, as a part of RAM and within bounds: VMs, vCPUs and stage-2 tables.
const HEAP_SHARE: u64 = 32;
const HEAP_LEAST: u64 = 4 << 20;
const HEAP_MOST: u64 = 64 << 20;

/// Says why the machine isn't fit to run, and ends.
pub fn give_up(why: impl core::fmt::Display) -> ! {
    let _ = writeln!(Emergency::seize(), "ERROR: {why}");
    power::off(1)
}

/// Unwraps a step of the bring-up, or ends with what it said.
pub fn must<T, E: core::fmt::Display>(what: &str, result: Result<T, E>) -> T {
    result.unwrap_or_else(|error| give_up(format_args!("{what}: {error}")))
}

/// PSCI and the console: enough to say what is wrong, where a tree has at least these.
///
/// # Safety
/// `base` gives the address at which a region's registers can be reached, as device memory.
unsafe fn voice<'a>(
    tree: &Fdt<'a>,
    machine: Result<Machine<'a>, Odd<'a>>,
    base: impl Fn(Region) -> Va,
) -> Result<Machine<'a>, Odd<'a>> {
    let (psci, uart) = match &machine {
        Ok(machine) => (machine.psci, Some(machine.console)),
        Err(_) => {
            let console = tree.node("/chosen").map(|chosen| Machine::console(tree, chosen));
            (Machine::psci(tree).ok().flatten(), console.and_then(Result::ok))
        }
    };
    psci::init(psci);
    if let Some(uart) = uart {
        // SAFETY: as the caller promises; the tree says that it is a PL011.
        console::init(unsafe { Uart::new(base(uart.registers)) });
    }
    machine
}

/// `length` bytes at `at`.
///
/// # Safety
/// They are readable, and memory that stays what it is.
unsafe fn bytes(at: Va, length: usize) -> &'static [u8] {
    // SAFETY: as the caller promises.
    unsafe { core::slice::from_raw_parts(at.get() as *const u8, length) }
}

/// The machine, by its device tree, which is mapped and checked, and where that is. Opens the console
/// that it names.
///
/// Without a tree there is nothing to speak through: the CPU sleeps.
pub fn machine(pa: Pa) -> (Machine<'static>, Region) {
    let map = |area, size| {
        let at = mmu::map_bytes(area, pa, size as u64, mmu::Access::ReadOnly);
        // SAFETY: mapped just now, read-only, and memory that stays the tree's.
        unsafe { bytes(must("the device tree's map", at), size) }
    };
    let size = must("the device tree", Fdt::total_size(map(layout::TREE_HEADER, HEADER_SIZE)));
    let tree = must("the device tree", Fdt::new(map(layout::TREE, size)));
    let base = |uart: Region| must("the UART's map", mmu::map_device(uart.base, uart.size));
    // SAFETY: `map_device` maps as device memory.
    let machine = unsafe { voice(&tree, Machine::new(&tree), base) };
    let machine = machine.unwrap_or_else(|error| give_up(error));
    (machine, Region { base: pa, size: size as u64 })
}

/// The farewell of an image that was entered at EL1: what to change, and off.
pub fn too_low(tree: u64) -> ! {
    // SAFETY: head.rs's map at EL1 has all memory at its own address; the tree lies in the same
    // GiB as the image, where it is Normal memory, by the boot protocol (512 MiB at most apart).
    let bytes = |size| unsafe { bytes(Va::new(tree), size) };
    let size = Fdt::total_size(bytes(HEADER_SIZE));
    if let Ok(tree) = size.and_then(|size| Fdt::new(bytes(size))) {
        // SAFETY: and all devices as device memory.
        let _ = unsafe { voice(&tree, Machine::new(&tree), |uart| Va::new(uart.base.get())) };
    }
    give_up(
        "entered at EL1, wanted EL2: this machine gives no hypervisor level. \
         On QEMU say -M virt,virtualization=on,gic-version=3",
    )
}

/// What of RAM is taken by what was loaded.
pub fn claimed(image: Pa, tree: Region, machine: &Machine<'_>) -> [Region; 3] {
    unsafe extern "C" {
        static __image_end: u8;
    }
    let size = (&raw const __image_end) as u64 - layout::IMAGE.get();
    [Region { base: image, size }, tree, machine.initrd.unwrap_or_default()]
}

/// Takes EL2's heap from RAM; returns what it took.
#[inline(never)]
pub fn init_heap(machine: &Machine<'_>, claimed: &[Region]) -> Region {
    let wanted = (machine.ram_size() / HEAP_SHARE).clamp(HEAP_LEAST, HEAP_MOST) & !(BLOCK_SIZE - 1);
    let fits = |region: &Region| {
        let start = align_up(region.base.get(), BLOCK_SIZE)?;
        (start.checked_add(wanted)? <= region.end().get()).then_some(Pa::new(start))
    };
    let Some(base) = machine.usable_ram(claimed).find_map(|region| fits(&region)) else {
        give_up(format_args!("RAM: found no free {wanted:#x} bytes in a row for the hypervisor"))
    };
    must("the heap's map", mmu::map(layout::HEAP, base, wanted, mmu::Access::Data));
    must("the windows", mmu::init_windows());
    // SAFETY: free RAM, mapped just now, once.
    unsafe { heap::init(base, wanted) };
    Region { base, size: wanted }
}

/// Gives pCPU `id` its stacks; returns the top of the first.
pub fn init_stacks(id: usize) -> Va {
    let pages = mmu::STACKS_SIZE / PAGE_SIZE;
    let Some(memory) = heap::zeroed_pages(pages, PAGE_SIZE) else {
        give_up(format_args!("no memory for the stacks of pCPU {id}"))
    };
    must("a stack's map", mmu::map_stacks(id, heap::pa(memory)));
    let (stack, emergency) = mmu::stack_tops(id);
    if let Some(block) = percpu::block(id) {
        block.id.set(id);
        block.emergency_top.set(emergency.get());
    }
    stack
}

/// Maps the GIC, and sets up its distributor.
#[inline(never)]
pub fn init_gic(machine: &Machine<'_>, ppis: [u32; 3]) {
    let block = |region: &Region| Block {
        va: must("the GIC's map", mmu::map_device(region.base, region.size)),
        pa: region.base,
        length: region.size,
    };
    let redistributors = machine.gic.redistributors.iter().map(block).collect();
    gic::init(block(&machine.gic.distributor), redistributors, ppis);
}

/// The VM description that was handed over, mapped for good: VMs are reloaded from it.
pub fn description(machine: &Machine<'_>) -> Option<&'static [u8]> {
    let Region { base, size } = machine.initrd?;
    let at = mmu::map_bytes(layout::BLOB, base, size, mmu::Access::ReadOnly);
    // SAFETY: mapped just now, read-only, and no frame for VMs is cut from it.
    Some(unsafe { bytes(must("the VM description's map", at), size as usize) })
}

/// Entropy to begin with: what the boot loader hands over, and the CPU's own where it has RNDR.
/// `None` if neither is there. The seed stays in the machine's tree, which no guest ever sees.
pub fn entropy(machine: &Machine<'_>) -> Option<[u8; 32]> {
    let given = if machine.rng_seed.len() < 32 { &[] } else { machine.rng_seed };
    let own = features::random();
    if given.is_empty() && own.is_none() {
        return None;
    }
    let mut seed = own.unwrap_or_default();
    for part in given.chunks(32) {
        seed.iter_mut().zip(part).for_each(|(byte, given)| *byte ^= given);
    }
    Some(seed)
}

/// The frames for VMs: all RAM that is nobody's, in whole frames.
#[inline(never)]
pub fn frames(machine: &Machine<'_>, claimed: &[Region; 3], heap: Region) -> FrameAllocator {
    let [image, tree, initrd] = *claimed;
    let taken = [image, tree, initrd, heap];
    FrameAllocator::new(machine.usable_ram(&taken).map(|region| (region.base, region.size)))
}

/// Starts every other pCPU of the tree; returns how many run.
#[inline(never)]
pub fn start_secondaries(machine: &Machine<'_>) -> usize {
    let boot = percpu::this().mpidr.get();
    let mut running = 1;
    // One that fails to come leaves its stack to the next.
    let mut free_stack = None;
    for mpidr in machine.cpus.iter().copied().filter(|mpidr| *mpidr != boot) {
        let stack = *free_stack.get_or_insert_with(|| init_stacks(running));
        let Some(block) = percpu::block(running) else { break };
        block.mpidr.set(mpidr);
        let entry = smp::prepare(stack, block);
        if smp::entered_at_el3() {
            smp::release_from_pen(mpidr);
        } else if let Err(code) = psci::cpu_on(mpidr, entry) {
            log::error!("pCPU {running} (MPIDR {:#x}): CPU_ON failed: {code:?}", mpidr);
            continue;
        }
        if smp::has_come(running) {
            free_stack = None;
            running += 1;
        }
    }
    must("the identity map", mmu::unmap_identity());
    if machine.cpus_left_out > 0 {
        info!("{} CPUs of the tree are left out", machine.cpus_left_out);
    }
    running
}
