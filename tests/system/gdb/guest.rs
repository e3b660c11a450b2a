//! The gdb stub for guests: an ordinary gdb on a VM, while the others run on.

use super::socket;
use super::talk::Gdb;
use crate::harness::{Case, Config, Cpu, Profile, Talk, Test, Verdict, Vm};
use crate::paused;
use std::{cell::RefCell, io::Write, os::unix::net::UnixStream};

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let test = |name: &str, body: fn(Config) -> Verdict| Test::new(name, body).smp(&[1, 2]);
    vec![
        test("gdb/guest/breaks", breaks),
        test("gdb/guest/interrupts", interrupts),
        test("gdb/guest/time", time),
        test("gdb/guest/begins-anew", begins_anew).cpu(Cpu::A72),
        test("gdb/guest/ends", ends).cpu(Cpu::A72),
        test("gdb/guest/turned-off", turned_off).cpu(Cpu::A72),
        test("gdb/guest/no-console", no_console).smp(&[1]).cpu(Cpu::A72),
        test("gdb/guest/linux", linux).smp(&[2]).cpu(Cpu::A72).profile(Profile::Release),
    ]
}

/// An instruction of BenOS's, which is called a hundred times a second, to gdb.
const HANDLER: &str = "*(benos::irq::handle as *const u32)";

/// Types for the VM of this number.
fn type_for(talk: &mut Talk, vm: u32, keys: &str) -> Verdict {
    talk.say(&format!("\u{1d}{vm}{keys}"))
}

/// The demo at its prompts.
fn demo(config: Config, socket: &str) -> Result<Talk, crate::harness::Failure> {
    let mut talk = Case::new(config).attended().debugged(socket).start()?;
    talk.said("[alpha] Type help", "\0")?;
    talk.said("[beta] Type help", "\0")?;
    Ok(talk)
}

/// Both guests of the demo still do what they are told.
fn demo_ends(mut talk: Talk) -> Verdict {
    type_for(&mut talk, 1, "off\r")?;
    talk.expect("INFO: beta: off")?;
    type_for(&mut talk, 0, "off\r")?;
    let outcome = talk.finish()?;
    outcome.expect_line("alpha", &["BenOS: switching off"])?;
    outcome.expect_status(0)
}

/// Breakpoints, steps, watchpoints, registers, memory and a backtrace in one VM; the other goes on.
fn breaks(config: Config) -> Verdict {
    let socket = socket()?;
    let mut talk = demo(config, &socket)?;
    let mut gdb = Gdb::start(Some("benos"))?;
    gdb.ask(&format!("target extended-remote {socket}"))?;
    gdb.expect("attach 2", &["process 2"])?;
    talk.expect("INFO: beta: a debugger is attached")?;
    gdb.expect("info threads", &["* 1", "Thread 2.1 (vCPU 0 of beta)"])?;
    gdb.expect("bt", &["benos::shell::run ()"])?;

    // Software: the interrupts' handler.
    let instruction = gdb.value(HANDLER)?;
    gdb.expect("break benos::irq::handle", &["Breakpoint 1"])?;
    gdb.expect("continue", &["Breakpoint 1, benos::irq::handle"])?;
    gdb.expect("bt", &["guest_rt::bare::vectors::handle"])?;
    gdb.expect("bt", &["benos::shell::run ()"])?;
    gdb.expect("info registers ELR_EL1", &["0x402"])?;
    let pc = gdb.value("$pc")?;
    gdb.ask("stepi")?;
    if gdb.value("$pc")? != pc + 4 {
        return Err(gdb.failure("a step isn't one instruction"));
    }

    // It stands where it is, and its neighbour answers.
    type_for(&mut talk, 1, "uptime\r")?;
    type_for(&mut talk, 0, "uptime\r")?;
    talk.expect("[alpha] uptime: ")?;
    talk.so_far().expect_no_line("beta", "uptime: ")?;
    let ticks = gdb.value("benos::tick::TICKS.v.value")?;

    // Hardware: behind it; the tick has been counted once.
    gdb.ask("delete")?;
    gdb.expect("hbreak benos::sched::preempt", &["Hardware assisted breakpoint 2"])?;
    gdb.expect("continue", &["Breakpoint 2, benos::sched::preempt"])?;
    if gdb.value("benos::tick::TICKS.v.value")? != ticks + 1 {
        return Err(gdb.failure("not the tick after"));
    }
    gdb.ask("delete")?;
    gdb.expect("watch benos::tick::TICKS", &["Hardware watchpoint 3"])?;
    let hit = gdb.ask("continue")?;
    gdb.has(&hit, &["Hardware watchpoint 3: benos::tick::TICKS"])?;
    gdb.has(&hit, &["Old value", &format!("value: {}", ticks + 1)])?;
    gdb.has(&hit, &["New value", &format!("value: {}", ticks + 2)])?;
    gdb.ask("delete")?;

    // Memory and registers can be changed; where nothing is gdb is told.
    gdb.ask("set var benos::tick::TICKS.v.value = 123456")?;
    gdb.expect("output benos::tick::TICKS.v.value", &["123456"])?;
    gdb.ask(&format!("set var benos::tick::TICKS.v.value = {}", ticks + 2))?;
    gdb.ask("set $x9 = 0x1234567890")?;
    gdb.expect("output/x $x9", &["0x1234567890"])?;
    let cpsr = gdb.value("$cpsr")?;
    gdb.ask("set $cpsr = 0x3c9")?;
    if gdb.value("$cpsr")? & 0xf != cpsr & 0xf {
        return Err(gdb.failure("gdb has moved a vCPU to another level"));
    }
    gdb.ask(&format!("set $cpsr = {cpsr}"))?;
    gdb.expect("x/gx 0xb000000", &["Cannot access memory at address 0xb000000"])?;
    gdb.expect("x/gx 0xffff000000000000", &["Cannot access memory"])?;
    gdb.expect("set var *(0xb000000 as *mut u32) = 1", &["Cannot access memory"])?;
    if gdb.value(HANDLER)? != instruction {
        return Err(gdb.failure("a breakpoint is left in memory"));
    }
    gdb.expect("detach", &["detached"])?;
    talk.said("INFO: beta: the debugger has let it go", "\0")?;
    talk.said("[beta] uptime: ", "\0")?;
    demo_ends(talk)
}

/// Ctrl-C stops all vCPUs, wherever they are; one goes on alone, and then all.
fn interrupts(config: Config) -> Verdict {
    let socket = socket()?;
    let case = paused::case(config, "").debugged(&socket);
    let mut talk = case.start()?;
    talk.expect("[p] TICK n=2 ")?;
    let mut gdb = Gdb::start(Some("paused"))?;
    gdb.expect(&format!("target remote {socket}"), &["in"])?;
    gdb.expect("info threads", &["Thread 1.1 (vCPU 0 of p)"])?;
    gdb.expect("info threads", &["Thread 1.2 (vCPU 1 of p)"])?;
    for _ in 0..3 {
        gdb.tell("continue")?;
        // It takes a key: so it runs.
        talk.say("k")?;
        talk.expect("[p] KEY k")?;
        gdb.interrupt()?;
        let stopped = gdb.answer()?;
        gdb.has(&stopped, &["received signal SIGINT"])?;
        let still = gdb.ask("thread apply all output $pc")?;
        talk.expect("[n] TICK ")?;
        talk.expect("[n] TICK ")?;
        // gdb remembers no registers.
        gdb.ask("flushregs")?;
        if gdb.ask("thread apply all output $pc")? != still {
            return Err(gdb.failure("a vCPU went on"));
        }
    }
    // Each in turn, with the other held and not: its own sight, and no other's.
    gdb.ask("set scheduler-locking on")?;
    gdb.ask("thread 1")?;
    let first = gdb.value("$pc")?;
    gdb.ask("thread 2")?;
    gdb.expect("tbreak probes::paused::look", &["Temporary breakpoint 1"])?;
    gdb.expect("continue", &["hit Temporary breakpoint 1", "(cpu=1)"])?;
    for _ in 0..40 {
        gdb.ask("stepi")?;
    }
    gdb.ask("thread 1")?;
    if gdb.value("$pc")? != first {
        return Err(gdb.failure("vCPU 0 was held, and went on"));
    }
    gdb.ask("set scheduler-locking off")?;
    gdb.expect("tbreak probes::paused::look thread 2", &["Temporary breakpoint 2"])?;
    gdb.expect("continue", &["hit Temporary breakpoint 2", "(cpu=1)"])?;
    gdb.expect("detach", &["detached"])?;
    paused::finish(talk)?;
    Ok(())
}

/// The VM's virtual time stands still as long as gdb has it stopped.
fn time(config: Config) -> Verdict {
    let socket = socket()?;
    let talk = paused::case(config, "wfi").debugged(&socket).start()?;
    let attached = RefCell::new(Gdb::start(Some("paused"))?);
    let attach = format!("target remote {socket}");
    paused::stands_still(
        talk,
        |_| attached.borrow_mut().ask(&attach).map(|_| ()),
        |_| attached.borrow_mut().expect("detach", &["detached"]).map(|_| ()),
    )
}

/// gdb dies while a VM is stopped, and garbage comes; the next one finds everything as it should be.
fn begins_anew(config: Config) -> Verdict {
    let socket = socket()?;
    let mut talk = demo(config, &socket)?;
    let garbage = |bytes: &[u8]| {
        let sent = UnixStream::connect(&socket).and_then(|mut stream| stream.write_all(bytes));
        sent.map_err(|error| crate::harness::Failure::new(format!("{socket}: {error}")))
    };
    garbage(b"\x03\x00-+hello$$##$qC#00$vCont;x;s:p1.5#11\xff\xfe}")?;
    garbage(&[b"$m".as_slice(), &[b'0'; 100_000]].concat())?;
    let mut gdb = Gdb::start(Some("benos"))?;
    gdb.ask(&format!("target remote {socket}"))?;
    gdb.expect("info threads", &["vCPU 0 of alpha"])?;
    let instruction = gdb.value(HANDLER)?;
    // In memory all the time.
    gdb.ask("set breakpoint always-inserted on")?;
    gdb.ask("break benos::irq::handle")?;
    gdb.ask("hbreak benos::sched::preempt")?;
    gdb.expect("continue", &["Breakpoint 1"])?;
    gdb.die();
    garbage(b"$g#67$?#3f\x03\x03")?;
    type_for(&mut talk, 1, "uptime\r")?;
    talk.expect("[beta] uptime: ")?;
    talk.so_far().expect_no_line("mezzanine", "let it go")?;

    let mut gdb = Gdb::start(Some("benos"))?;
    gdb.ask(&format!("target remote {socket}"))?;
    gdb.expect("info threads", &["vCPU 0 of alpha"])?;
    if gdb.value(HANDLER)? != instruction {
        return Err(gdb.failure("a breakpoint of the gdb before is left in memory"));
    }
    gdb.tell("continue")?;
    type_for(&mut talk, 0, "uptime\r")?;
    talk.expect("[alpha] uptime: ")?;
    // And while it runs.
    gdb.die();
    type_for(&mut talk, 0, "uptime\r")?;
    talk.expect("[alpha] uptime: ")?;
    let mut gdb = Gdb::start(None)?;
    gdb.ask(&format!("target remote {socket}"))?;
    gdb.expect("detach", &["detached"])?;
    demo_ends(talk)
}

/// A VM that ends, or starts anew, with gdb attached; and one that gdb turns off.
fn ends(config: Config) -> Verdict {
    let socket = socket()?;
    let mut talk = demo(config, &socket)?;
    let mut gdb = Gdb::start(Some("benos"))?;
    gdb.ask(&format!("target extended-remote {socket}"))?;
    gdb.expect("attach 7", &["failed"])?;
    gdb.expect("attach 2", &["process 2"])?;
    // Reset: memory is new, and registers hold what gdb has put there.
    gdb.expect("break benos::tick::due", &["Breakpoint 1"])?;
    gdb.expect("hbreak guest_main", &["Hardware assisted breakpoint 2"])?;
    gdb.tell("continue")?;
    type_for(&mut talk, 1, "ticks\r")?;
    let stopped = gdb.answer()?;
    gdb.has(&stopped, &["Breakpoint 1, "])?;
    // A step over it may be the exception of an interrupt: then it is hit again.
    gdb.ask("ignore 1 9")?;
    gdb.tell("continue")?;
    type_for(&mut talk, 1, "reboot\r")?;
    let stopped = gdb.answer()?;
    gdb.has(&stopped, &["Breakpoint 2, "])?;
    gdb.expect("bt", &["benos::guest_main ()"])?;
    gdb.ask("delete")?;
    gdb.tell("continue")?;
    talk.expect("INFO: beta: reset")?;
    talk.expect("[beta] Type help")?;
    talk.say("off\r")?;
    let ended = gdb.answer()?;
    gdb.has(&ended, &["exited normally"])?;
    talk.said("INFO: beta: off", "\0")?;
    gdb.expect("attach 2", &["failed"])?;
    gdb.expect("attach 1", &["process 1"])?;
    gdb.ask("kill")?;
    let outcome = talk.finish()?;
    outcome.expect_line("mezzanine", &["INFO: alpha: off"])?;
    outcome.expect_status(0)
}

/// A VM that the operator turns off while it stands still: the breakpoint that gdb takes back has no
/// memory any more, and no pCPU looks for it for ever.
fn turned_off(config: Config) -> Verdict {
    let socket = socket()?;
    let mut talk = demo(config, &socket)?;
    let mut gdb = Gdb::start(Some("benos"))?;
    gdb.ask(&format!("target extended-remote {socket}"))?;
    gdb.expect("attach 2", &["process 2"])?;
    gdb.ask("set breakpoint always-inserted on")?;
    gdb.expect("break benos::irq::handle", &["Breakpoint 1"])?;
    talk.say("\u{1d}mvm stop beta\r")?;
    talk.expect("INFO: beta: off")?;
    // Memory of a VM that is off isn't shown as zeros either.
    talk.say("mem beta 0x40200000 16\r")?;
    talk.expect("error: beta has no memory at IPA 0x40200000")?;
    gdb.ask("delete")?;
    type_for(&mut talk, 0, "uptime\r")?;
    talk.expect("[alpha] uptime: ")?;
    gdb.ask("detach")?;
    type_for(&mut talk, 0, "off\r")?;
    talk.finish()?.expect_status(0)
}

/// Asked for on a machine that has no port for it: a line says so, and the rest goes on.
fn no_console(config: Config) -> Verdict {
    let outcome = Case::new(config).append("gdb").run()?;
    let line = ["ERROR: command line: gdb: no virtio console in the device tree"];
    outcome.expect_line("mezzanine", &line)?;
    outcome.expect_status(0)
}

/// The kernel of a Linux guest, by addresses that it tells itself.
fn linux(config: Config) -> Verdict {
    let socket = socket()?;
    let case = Case::new(config).attended().vm(Vm::linux("linux", 2, "nokaslr")).timeout(300);
    let mut talk = case.debugged(&socket).start()?;
    talk.expect("/ # ")?;
    talk.say("grep ' ksys_sync$' /proc/kallsyms\r")?;
    talk.expect(" T ksys_sync")?;
    let heard = talk.so_far();
    let line = heard.lines("linux").find_map(|line| line.strip_suffix(" T ksys_sync"));
    let sync = line.and_then(|digits| u64::from_str_radix(digits, 16).ok());
    let sync = sync.ok_or_else(|| heard.failure("no address of ksys_sync"))?;
    let mut gdb = Gdb::start(None)?;
    gdb.ask("set language c")?;
    gdb.ask(&format!("target remote {socket}"))?;
    gdb.expect("info threads", &["Thread 1.1 (vCPU 0 of linux)"])?;
    gdb.expect("info threads", &["Thread 1.2 (vCPU 1 of linux)"])?;
    // The kernel's own page tables, and which half it runs in.
    if gdb.value("$SCTLR_EL1")? & 1 == 0 || gdb.value("$VBAR_EL1")? >> 48 != 0xffff {
        return Err(gdb.failure("not a kernel with its MMU on"));
    }
    gdb.tell("continue")?;
    talk.say("echo $((6 * 7)) runs\r")?;
    talk.expect("42 runs")?;
    gdb.interrupt()?;
    let stopped = gdb.answer()?;
    gdb.has(&stopped, &["received signal SIGINT"])?;
    for kind in ["hbreak", "break"] {
        gdb.ask(&format!("{kind} *{sync:#x}"))?;
        gdb.tell("continue")?;
        talk.say("sync\r")?;
        let stopped = gdb.answer()?;
        gdb.has(&stopped, &["reakpoint ", &format!("{sync:016x}")])?;
        if gdb.value("$pc")? != sync {
            return Err(gdb.failure("not at the breakpoint"));
        }
        // The name in the task that runs, to which SP_EL0 leads, through the kernel's tables.
        gdb.expect("find $SP_EL0, +4096, \"sync\"", &["pattern", "found"])?;
        gdb.ask("delete")?;
        gdb.ask("stepi")?;
        gdb.ask("stepi")?;
    }
    gdb.expect("detach", &["detached"])?;
    talk.say("exit\r")?;
    let outcome = talk.finish()?;
    outcome.expect_line("linux", &["reboot: Power down"])?;
    for complaint in ["rcu: INFO", "BUG:", "Oops", "clocksource: timekeeping"] {
        outcome.expect_no_line("linux", complaint)?;
    }
    outcome.expect_status(0)
}
