//! The shell: a table of commands, a line editor, and the script of the batch mode.

use crate::{cpus, input, sched, tick, user};
use core::arch::asm;
use guest_rt::vectors::{class, expect_fault};
use guest_rt::{mmio, mrs, print, println, psci, timer};

struct Command {
    name: &'static str,
    help: &'static str,
    run: fn(),
}

/// All commands, in the order in which the script runs them; `help` shows them in this order.
const COMMANDS: [Command; 13] = [
    Command { name: "help", help: "this list", run: help },
    Command { name: "el", help: "exception level and mask bits", run: user::show_level },
    Command { name: "regs", help: "ID and control registers", run: registers },
    Command { name: "threads", help: "the two threads again", run: sched::two_threads },
    Command { name: "svc", help: "go to EL0 and come back by SVC", run: user::demonstrate },
    Command { name: "hvc", help: "call whoever is below by HVC", run: hypercalls },
    Command { name: "abort", help: "touch an address where nothing is, and survive", run: abort },
    Command {
        name: "vcpus",
        help: "start the second CPU, ping it, list all",
        run: cpus::demonstrate,
    },
    Command { name: "ps", help: "the threads", run: processes },
    Command { name: "ticks", help: "ticks handled and ticks due", run: ticks },
    Command { name: "uptime", help: "seconds since the counter started", run: uptime },
    Command { name: "reboot", help: "PSCI SYSTEM_RESET", run: reboot },
    Command { name: "off", help: "PSCI SYSTEM_OFF", run: off },
];

/// What the batch mode runs.
const SCRIPT: [&str; 9] = ["el", "regs", "svc", "hvc", "abort", "vcpus", "ps", "ticks", "off"];

fn find(name: &str) -> Option<&'static Command> {
    COMMANDS.iter().find(|command| command.name == name)
}

/// Runs the script, each step announced by a line.
pub fn run_script() {
    for name in SCRIPT {
        if let Some(command) = find(name) {
            println!("benos> {:<6} # {}", command.name, command.help);
            (command.run)();
        }
    }
}

/// Reads commands and runs them, for ever.
pub fn run() -> ! {
    println!("Type help for the list of commands.");
    let mut line = [0; 80];
    loop {
        print!("benos> ");
        let name = read_line(&mut line).trim();
        match find(name) {
            Some(command) => (command.run)(),
            None if name.is_empty() => {}
            None => println!("{name}: no such command, try help"),
        }
    }
}

/// Reads a line with echo; backspace works. What doesn't fit is dropped.
fn read_line(line: &mut [u8]) -> &str {
    let mut length = 0;
    loop {
        match input::read() {
            b'\r' | b'\n' => {
                println!("");
                return core::str::from_utf8(&line[..length]).unwrap_or("");
            }
            8 | 127 if length > 0 => {
                length -= 1;
                print!("\x08 \x08");
            }
            byte @ b' '..=b'~' if length < line.len() => {
                line[length] = byte;
                length += 1;
                print!("{}", byte as char);
            }
            _ => {}
        }
    }
}

fn help() {
    for command in &COMMANDS {
        println!("  {:<8} {}", command.name, command.help);
    }
}

fn registers() {
    macro_rules! show {
        ($($register:ident)*) => { $(
            println!("  {:<16} {:#018x}", stringify!($register), mrs!($register));
        )* };
    }
    show!(MIDR_EL1 MPIDR_EL1 ID_AA64PFR0_EL1 ID_AA64MMFR0_EL1 ID_AA64ISAR0_EL1);
    show!(SCTLR_EL1 TCR_EL1 TTBR0_EL1 MAIR_EL1 VBAR_EL1 CPACR_EL1);
    show!(CNTFRQ_EL0 CNTV_CTL_EL0 CNTKCTL_EL1 ICC_PMR_EL1);
}

/// A function number that nobody answers to (SMCCC: vendor-specific hypervisor service).
const UNKNOWN_FUNCTION: u32 = 0x8600_ff00;

fn hypercalls() {
    let undefined = expect_fault(|| {
        let mut version = u64::from(psci::VERSION);
        // SAFETY: by SMCCC a call changes x0 to x17 at most. Where there is nobody to answer the
        // instruction is undefined and nothing changes.
        unsafe { asm!("hvc #0", inout("x0") version, clobber_abi("C")) };
        if psci::conduit() == "hvc" {
            println!("  hvc #0: PSCI_VERSION gives {}.{}", version >> 16, version & 0xffff);
        }
    });
    if let Some(fault) = undefined {
        println!("  hvc #0: {}: nobody is at EL 2", class::name(fault.class()));
        let version = psci::version();
        println!("  smc #0: PSCI_VERSION gives {}.{}", version >> 16, version & 0xffff);
    }
    println!(
        "  {}: an unknown function gives {}",
        psci::conduit(),
        psci::call(UNKNOWN_FUNCTION, [0; 3])
    );
}

/// A physical address at which neither the board nor a virtual machine has anything.
const NOTHING: usize = 0x0b00_0000;

fn abort() {
    println!("  reading {NOTHING:#x}, where nothing is");
    match expect_fault(|| {
        mmio::read32(NOTHING);
    }) {
        Some(fault) => {
            // ESR_EL1.ISS for data aborts: bits 5:0 say what went wrong.
            let what = match fault.esr & 0x3f {
                0x10 => "synchronous external abort",
                0x04..=0x07 => "translation fault",
                _ => "other",
            };
            println!(
                "  {}, {what}: ESR_EL1 = {:#x}, FAR_EL1 = {:#x}",
                class::name(fault.class()),
                fault.esr,
                fault.far
            );
            println!("  survived");
        }
        None => println!("  no abort: something answered"),
    }
}

fn processes() {
    let (threads, current) = sched::threads();
    for (index, thread) in threads.iter().enumerate() {
        let state = match thread.state {
            sched::State::Free => continue,
            sched::State::Ended => "ended",
            sched::State::Ready if index == current => "running",
            sched::State::Ready => "ready",
        };
        println!("  {index} {:<8} {state:<8} {} ticks", thread.name, thread.ticks);
    }
}

fn ticks() {
    // Let those come that are due, then ask both within one tick.
    let start = tick::count();
    sched::wait_until(|| tick::count() != start);
    let (count, due) = (tick::count(), tick::due());
    println!("ticks: {count} handled, {due} due");
}

fn uptime() {
    println!("uptime: {} ms by CNTVCT_EL0", timer::now() / timer::ms(1));
}

fn off() {
    println!("BenOS: switching off");
    psci::system_off();
}

fn reboot() {
    println!("BenOS: starting anew");
    psci::system_reset();
}
