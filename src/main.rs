//! Mezzanine's front door: bring-up, in the order in which it happens.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(not(target_os = "none"))]
mod launcher;

#[cfg(not(target_os = "none"))]
fn main() {
    launcher::main();
}

#[cfg(target_os = "none")]
mod bare {
    use aarch64_cpu::registers::MPIDR_EL1;
    use log::info;
    use mezzanine::el2::{features, mmu, percpu, smp, traps};
    use mezzanine::memory::Pa;
    use mezzanine::platform::boot::{self, give_up, must};
    use mezzanine::platform::cmdline::CommandLine;
    use mezzanine::platform::machine::Machine;
    use mezzanine::platform::{console, power};
    use tock_registers::interfaces::Readable;

    /// The boot CPU comes here from head.rs: at EL2, translation on, on the boot stack.
    #[unsafe(no_mangle)]
    extern "C" fn kernel_main(tree: u64, image: u64, level: u64) -> ! {
        if let Some(block) = percpu::block(0) {
            percpu::adopt(block);
            block.mpidr.set(MPIDR_EL1.get() & 0xff_00ff_ffff);
        }
        let image = Pa::new(image);
        // SAFETY: the boot CPU, once, on the boot map.
        must("EL2's map", unsafe { mmu::init(image) });
        let (tree, tree_region) = boot::tree(Pa::new(tree));
        if level == 3 {
            smp::note_el3();
        }
        let machine = Machine::new(&tree).unwrap_or_else(|error| give_up(error));
        let command_line = CommandLine::new(machine.bootargs);
        console::init_log(command_line.log);
        info!("Mezzanine at EL2, entered at EL{level}, image at {image}");

        let claimed = boot::claimed(image, tree_region, &machine);
        let heap = boot::init_heap(&machine, &claimed);
        let stack = boot::init_stacks(0);
        traps::init();
        features::init();
        let _ = (heap, stack);
        let regions = boot::init_gic(&machine);
        let _ = regions;
        smp::set_online(0);
        let pcpus = boot::start_secondaries(&machine);
        info!("{pcpus} pCPUs");
        power::off(0)
    }

    /// Every other pCPU comes here from head.rs, on its own stack.
    #[unsafe(no_mangle)]
    extern "C" fn secondary_main(block: &'static percpu::PerCpu) -> ! {
        traps::init();
        features::init();
        smp::set_online(block.id.get());
        loop {
            mezzanine::el2::cache::wfi();
        }
    }

    /// An image that was entered at EL1.
    #[unsafe(no_mangle)]
    extern "C" fn entered_at_el1(tree: u64) -> ! {
        boot::too_low(tree)
    }
}
