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
    use log::{error, info};
    use mezzanine::debug;
    use mezzanine::device::trng::Trng;
    use mezzanine::el2::percpu::{self, PerCpu};
    use mezzanine::el2::{features, lrs, mmu, smp, traps};
    use mezzanine::exit::{interrupt, run};
    use mezzanine::memory::Pa;
    use mezzanine::monitor;
    use mezzanine::platform::boot::{self, must};
    use mezzanine::platform::cmdline::CommandLine;
    use mezzanine::platform::virtio::Console;
    use mezzanine::platform::{console, gic, timer};
    use mezzanine::vm::{self, schedule};

    /// The demo: a VM description like any other, made by build.rs.
    static DEMO: &vm::Blob<[u8]> =
        &vm::Blob(*include_bytes!(concat!(env!("OUT_DIR"), "/demo.dtb")));

    /// Time slices a second.
    const SLICES: u64 = 100;

    /// The boot CPU comes here from head.rs: at EL2, translation on, on the boot stack.
    #[unsafe(no_mangle)]
    extern "C" fn kernel_main(tree: u64, image: u64, level: u64) -> ! {
        percpu::adopt_boot();
        let image = Pa::new(image);
        // SAFETY: the boot CPU, once, on the boot map.
        must("EL2's map", unsafe { mmu::init(image) });
        let (machine, tree) = boot::machine(Pa::new(tree));
        if level == 3 {
            smp::note_el3();
        }
        let command_line = CommandLine::new(machine.bootargs);
        console::init_log(command_line.log);
        info!("Mezzanine, entered at EL{level}, runs at EL2, loaded at {image}");

        let claimed = boot::claimed(image, tree, &machine);
        let heap = boot::init_heap(&machine, &claimed);
        let stack = boot::init_stacks(0);
        boot::init_gic(&machine, interrupt::init(&machine));
        init_cpu(0);
        gic::enable_spi(machine.console.intid);
        let pcpus = boot::start_secondaries(&machine);
        must("the run queue", schedule::init(pcpus, timer::frequency() / SLICES));

        let blob = boot::description(&machine).unwrap_or(&DEMO.0);
        let frames = boot::frames(&machine, &claimed, heap);
        let random = boot::entropy(&machine).map(Trng::new);
        if command_line.gdb {
            match Console::find(&machine) {
                Some(console) => {
                    interrupt::init_virtio(console.intid);
                    must("the gdb stub", debug::start(console));
                }
                None => error!("command line: gdb: no virtio console in the device tree"),
            }
        }
        vm::start_all(blob, frames, pcpus, &command_line, random);
        monitor::init(command_line.monitor);
        vm::one_less();
        smp::open_gate();
        mmu::on_stack(stack, run::pcpu_main)
    }

    /// Every other pCPU comes here from head.rs, on its own stack.
    #[unsafe(no_mangle)]
    extern "C" fn secondary_main(block: &'static PerCpu) -> ! {
        init_cpu(block.id.get());
        smp::wait_at_gate();
        run::pcpu_main()
    }

    /// What each pCPU sets up for itself.
    fn init_cpu(id: usize) {
        match features::init() {
            Ok(first) => traps::init(first),
            Err(unlike) => {
                error!("pCPU {id} is left out: {unlike}");
                smp::leave_out()
            }
        }
        must("the GIC", gic::init_cpu());
        lrs::init();
        smp::set_online(id);
    }

    /// An image that was entered at EL1.
    #[unsafe(no_mangle)]
    extern "C" fn entered_at_el1(tree: u64) -> ! {
        boot::too_low(tree)
    }
}
