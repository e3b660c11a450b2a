//! System tests: the hypervisor in QEMU, guest programs on top, assertions on what they print.
//!
//! Each file beside this one is an area; a test is a function from a machine (CPU model, number
//! of pCPUs, profile) to a verdict. `cargo test --test system -- NAME` runs those whose name
//! contains `NAME`; `--all` takes the full product of machines instead of the pairwise choice,
//! `--list` shows what there is, `--table` sums the hostile guests up. `--chaos` runs no test but
//! random guests, by SEED, FROM and N.

mod bare;
mod boot;
mod calls;
mod chaos;
mod console;
mod cpu;
mod demo;
mod descriptions;
mod exits;
mod gdb;
mod gic;
mod harness;
mod hostile;
mod machines;
mod monitor;
mod paused;
mod probes;
mod real;
mod shares;
mod sharing;
mod trace;
mod walls;

use std::process::ExitCode;

fn main() -> ExitCode {
    if std::env::args().any(|argument| argument == "--chaos") {
        return chaos::main();
    }
    let areas = [
        demo::tests(),
        exits::tests(),
        sharing::tests(),
        shares::tests(),
        machines::tests(),
        monitor::tests(),
        paused::tests(),
        cpu::tests(),
        calls::tests(),
        boot::tests(),
        console::tests(),
        descriptions::tests(),
        gdb::tests(),
        trace::tests(),
        walls::tests(),
        gic::tests(),
        bare::tests(),
        real::tests(),
        hostile::tests(),
        chaos::tests(),
    ];
    let code = harness::main(&areas.into_iter().flatten().collect::<Vec<_>>());
    if std::env::args().any(|argument| argument == "--table") {
        hostile::table::print();
    }
    code
}
