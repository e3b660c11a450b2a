//! What `make debug` and `make gdb` promise: symbols, a first breakpoint where an exit is handled,
//! words that show why the guest left, and commands that understand VMs (`watch.rs`). And, by gdb's
//! hand, what EL2 says when it fails itself.

mod guest;
mod talk;
mod watch;

use crate::harness::{Case, Config, Cpu, Failure, Outcome, Profile, Test, Verdict, Vm};
use mezzanine_tools::{BARE, root};
use std::{
    process::Command,
    sync::atomic::{AtomicUsize, Ordering},
};

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let test = |name: &str, body: fn(Config) -> Verdict| {
        Test::new(name, body).smp(&[2]).cpu(Cpu::A72).profile(Profile::Release)
    };
    let mut tests = vec![
        test("gdb/first-exit", first_exit),
        test("fatal/lost", lost),
        test("fatal/stack", stack_overflow),
        test("gdb/virtual-serror", virtual_serror).smp(&[1]),
    ];
    tests.extend(watch::tests());
    tests.extend(guest::tests());
    tests
}

fn first_exit(config: Config) -> Verdict {
    let commands = ["continue", "why", "world", "el", "delete", "kill"];
    let (said, _) = under_gdb(config, &commands)?;
    for wanted in
        ["hit Breakpoint 1, mezzanine::exit::handle", "ESR_EL2", "IPA page", "VMID", "EL2, SPSel 1"]
    {
        if !said.contains(wanted) {
            return Err(Failure::new(format!("gdb did not say `{wanted}`:\n{said}")));
        }
    }
    Ok(())
}

/// EL2 at an address where nothing is: the report, decoded, and a status that says so.
fn lost(config: Config) -> Verdict {
    let (_, outcome) = under_gdb(config, &["continue", "delete", "set $pc = 0x10", "continue"])?;
    let report = ["ERROR: synchronous exception at EL2 itself (from SP_EL2), on pCPU"];
    outcome.expect_line("mezzanine", &report)?;
    outcome.expect_line("mezzanine", &["EC 0x21 instruction abort at the same EL"])?;
    outcome.expect_line("mezzanine", &["ELR_EL2 0x0000000000000010"])?;
    outcome.expect_line("mezzanine", &["x30 0x0000ff80"])?;
    outcome.expect_line("mezzanine", &["backtrace: 0x10 0xff80"])?;
    outcome.expect_status(1)
}

/// A stack that runs into its guard: reported from the emergency stack.
fn stack_overflow(config: Config) -> Verdict {
    let into_guard = "set $sp = ($sp as u64 & 0xffffffffffff0000) + 0x4000";
    let (_, outcome) = under_gdb(config, &["continue", "delete", into_guard, "continue"])?;
    outcome.expect_line("mezzanine", &["EC 0x25 data abort at the same EL: "])?;
    outcome.expect_line("mezzanine", &["in a stack's guard: the stack overflowed"])?;
    outcome.expect_status(1)
}

/// No machine here has a source of SErrors, so gdb makes one of an exit, by the argument of its
/// handler: the guest is passed a virtual one, takes it once, and does again what it had left for.
fn virtual_serror(config: Config) -> Verdict {
    let pend = "set $x1 = 3";
    let p = Vm::new("p").kernel("serror").bootargs("wait");
    // Alone: the first exit must be its own.
    let case = Case::new(config).vm(p);
    let (_, outcome) = case_under_gdb(case, config, &["continue", "delete", pend, "continue"])?;
    outcome.expect_line("mezzanine", &["WARN: p vCPU 0: EC ", ": passed on to it"])?;
    outcome.expect_pass("p", 1)?;
    outcome.expect_status(0)
}

/// Boots the demo under gdb, with `make gdb`'s set-up, and gives it `commands`; returns what gdb
/// and what the machine said.
pub fn under_gdb(config: Config, commands: &[&str]) -> Result<(String, Outcome), Failure> {
    case_under_gdb(Case::new(config), config, commands)
}

fn case_under_gdb(
    case: Case,
    config: Config,
    commands: &[&str],
) -> Result<(String, Outcome), Failure> {
    let socket = socket()?;
    let mut talk = case.qemu(&["-S", "-gdb", &stub(&socket)]).start()?;
    talk.wait_for_file(&socket)?;
    let said = attach(config, &socket, commands)?;
    let outcome = talk.finish()?;
    let _ = std::fs::remove_file(&socket);
    Ok((said, outcome))
}

/// The name of a socket for QEMU's gdb stub. Tests run side by side: each its own.
fn socket() -> Result<String, Failure> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let directory = root().join("target/system");
    std::fs::create_dir_all(&directory).map_err(mezzanine_tools::Error::file(&directory))?;
    let socket = directory.join(format!("gdb-{}-{number}", std::process::id()));
    Ok(socket.display().to_string())
}

/// What QEMU's `-gdb` is told of it.
fn stub(socket: &str) -> String {
    format!("unix:{socket},server=on,wait=off")
}

/// gdb, attached to a machine as `make gdb` does it; what it says to `commands`.
fn attach(config: Config, socket: &str, commands: &[&str]) -> Result<String, Failure> {
    let mut gdb = gdb(config);
    gdb.args(["-ex", "set architecture aarch64"])
        .args(["-ex", &format!("target remote {socket}")])
        .args(["-x", "scripts/gdbinit"]);
    for command in commands {
        gdb.args(["-ex", command]);
    }
    said_by(gdb)
}

/// gdb with the hypervisor's symbols, and a time limit. What it says of errors goes where the rest
/// goes, so that it stands behind the command that failed.
fn gdb(config: Config) -> Command {
    let elf = root().join("target").join(BARE).join(config.profile.directory()).join("mezzanine");
    let mut gdb = Command::new("sh");
    gdb.args(["-c", "exec timeout 120 gdb-multiarch -q -batch -nx \"$@\" 2>&1", "gdb"]);
    gdb.arg(elf).current_dir(root());
    gdb
}

fn said_by(mut gdb: Command) -> Result<String, Failure> {
    let output = gdb.output().map_err(|error| Failure::new(format!("gdb-multiarch: {error}")))?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
