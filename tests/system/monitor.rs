//! The operator's monitor: what it shows is so, what it is told is done, and whoever runs beside it
//! goes on.

use std::fs;

use crate::harness::{Case, Config, Failure, Outcome, Talk, Test, Verdict, Vm};
use hostile::chaos::MEMORY_MIB;
use mezzanine_tools::{
    root,
    trace::{file::Trace, log},
};

/// What moves the keyboard, before a digit or `m`.
const ESCAPE: &str = "\u{1d}";
/// Where BenOS and the other guests are loaded.
const IMAGE: u64 = 0x4020_0000;

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("monitor/script", script),
        Test::new("monitor/keys", keys).smp(&[1, 2]),
        Test::new("monitor/looks", looks).smp(&[1, 2]),
        Test::new("monitor/traps", traps).smp(&[1, 2]),
        Test::new("monitor/lives", lives).smp(&[1, 2]),
        Test::new("monitor/pins", pins).smp(&[2]),
        Test::new("monitor/rates", rates).smp(&[1, 2]),
        Test::new("monitor/trace", trace).smp(&[1, 2]),
        Test::new("monitor/wrong", wrong).smp(&[1, 2]),
        Test::new("monitor/nothing-lost", nothing_lost).smp(&[1, 2]),
        Test::new("monitor/hostile", hostile).smp(&[1, 2]),
    ]
}

fn benos(name: &str) -> Vm {
    Vm::new(name).kernel("benos").cpus(2)
}

/// A person at the monitor, and how many answers were waited for.
struct Operator(Talk, u16);

impl Operator {
    /// Boots, waits until each of these has said what it says when it is up, and opens the monitor.
    fn start(case: Case, up: &[&str]) -> Result<Self, Failure> {
        let mut talk = case.attended().timeout(30).start()?;
        for said in up {
            talk.said(said, "\0")?;
        }
        talk.say(&format!("{ESCAPE}m"))?;
        talk.expect("INFO: console: the monitor has the keyboard")?;
        Ok(Operator(talk, 0))
    }

    /// Gives a command, and waits for a part of its answer.
    fn ask(&mut self, command: &str, answer: &str) -> Verdict {
        self.0.say(&format!("{command}\r"))?;
        self.0.expect(answer)
    }

    /// Gives a command, waits until it is done, and gives its answer back.
    fn answer(&mut self, command: &str) -> Result<Vec<String>, Failure> {
        // A question that has not been asked before: when it is answered, so is what came before it.
        self.1 += 1;
        let last = format!("esr 0x5a00{:04x}", self.1);
        self.ask(&format!("{command}\r{last}"), &format!("HVC from AArch64: #{:#x}", self.1))?;
        answer(&self.0.so_far(), command)
    }

    /// Stops these VMs, and waits for the end of the machine.
    fn end(mut self, vms: &[&str]) -> Result<Outcome, Failure> {
        for vm in vms {
            self.ask(&format!("vm stop {vm}"), &format!("INFO: {vm}: off"))?;
        }
        let outcome = self.0.finish()?;
        outcome.expect_status(0)?;
        Ok(outcome)
    }
}

/// The lines that followed a command, the last time that it was given.
fn answer(outcome: &Outcome, command: &str) -> Result<Vec<String>, Failure> {
    let lines: Vec<&str> = outcome.lines("monitor").collect();
    let echo = format!("mz> {command}");
    let at = lines.iter().rposition(|line| *line == echo);
    let at = at.ok_or_else(|| outcome.failure(format!("`{command}` was not echoed")))?;
    let answer = lines[at + 1..].iter().take_while(|line| !line.starts_with("mz> "));
    Ok(answer.map(|line| line.to_string()).collect())
}

/// The line of an answer with all these parts.
fn line<'a>(operator: &Operator, answer: &'a [String], parts: &[&str]) -> Result<&'a str, Failure> {
    let found = answer.iter().find(|line| parts.iter().all(|part| line.contains(part)));
    let why = || operator.0.so_far().failure(format!("no line with {parts:?} in {answer:#?}"));
    found.map(String::as_str).ok_or_else(why)
}

/// The hexadecimal number behind a word.
fn number(line: &str, before: &str) -> Option<u64> {
    let digits = line.split_once(before)?.1.trim_start().trim_start_matches("0x");
    let end = digits.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(digits.len());
    u64::from_str_radix(&digits[..end], 16).ok()
}

/// Commands of the command line: echoed, answered, in order, with nobody at the keyboard; and the
/// machine waits for them.
fn script(config: Config) -> Verdict {
    let case = Case::new(config).append(
        "monitor=\"vm list; stat ;; help vm; vm show alpha; esr 0x93850045; nonsense; wait 1\"",
    );
    let outcome = case.run()?;
    outcome.expect_status(0)?;
    let echoes: Vec<_> =
        outcome.lines("monitor").filter_map(|line| line.strip_prefix("mz> ")).collect();
    let wanted =
        ["vm list", "stat", "help vm", "vm show alpha", "esr 0x93850045", "nonsense", "wait 1"];
    if echoes != wanted {
        return Err(outcome.failure(format!("echoed {echoes:?}, wanted {wanted:?}")));
    }
    let list = answer(&outcome, "vm list")?;
    let row = |vm: &str| {
        list.iter().any(|line| line.contains(vm) && line.contains("16 MiB at 0x40000000"))
    };
    if list.len() != 3 || !row("0   alpha") || !row("1   beta") {
        return Err(outcome.failure(format!("vm list: {list:?}")));
    }
    if answer(&outcome, "stat")?.len() != 5 || answer(&outcome, "help vm")?.len() != 9 {
        return Err(outcome.failure("stat has a head and four vCPUs, help vm eight commands"));
    }
    outcome.expect_line("monitor", &["EC 0x24 data abort from a lower EL: write of 4 bytes from w5, translation fault level 1"])?;
    outcome.expect_line("monitor", &["error: \"nonsense\" is no command: `help` lists them"])
}

/// Typed at the prompt: edited, called back, interrupted; other lines come between, and the VM has its
/// own prompt back.
fn keys(config: Config) -> Verdict {
    let case = Case::new(config).vm(benos("one")).vm(Vm::new("n").kernel("paused").bootargs("wfi"));
    let mut operator = Operator::start(case, &["[one] benos> ", "[n] TICK n=3 "])?;
    // Half a line, while lines of the neighbour's come: it steps aside, and is there again.
    operator.0.say("vm lost")?;
    operator.0.expect("[n] TICK")?;
    operator.0.expect("[monitor] mz> vm lost")?;
    operator.ask("\u{7f}\u{8}\u{7f}ist", "one        Running")?;
    // Left, and a letter that was missing; and back through the history.
    operator.ask(
        "vm sow one\u{1b}[D\u{1b}[D\u{1b}[D\u{1b}[D\u{1b}[D\u{1b}[Dh",
        "VM 0 one: Running, life 1",
    )?;
    operator.ask("\u{1b}[A\u{1b}[A", "one        Running")?;
    // Until a key is pressed.
    operator.ask("wait 3600", "mz> wait 3600")?;
    operator.0.say("x")?;
    operator.ask("help esr", "esr VALUE           an exception syndrome in words")?;
    operator.ask("stat -w", "serrors")?;
    operator.0.expect("serrors")?;
    operator.0.say("x")?;
    operator.ask("help log", "log LEVEL           what is worth a line")?;
    // The shell never saw any of it, and has its prompt.
    operator.0.say(&format!("{ESCAPE}0el\r"))?;
    operator.0.expect("[one] el: CurrentEL = 1")?;
    operator.0.say(&format!("{ESCAPE}?"))?;
    operator.0.expect("INFO: console: the monitor\r\n")?;
    // Fast: what is typed for the monitor is its own, though the keyboard goes on at once.
    operator.0.say(&format!("{ESCAPE}mvm stop one\r{ESCAPE}1q"))?;
    operator.0.expect("INFO: one: off")?;
    let outcome = operator.0.finish()?;
    outcome.expect_line("monitor", &["mz> vm list"])?;
    outcome.expect_no_line("one", "vm ")?;
    outcome.expect_pass("n", 1)?;
    outcome.expect_status(0)
}

/// A guest whose memory and registers are known, looked at while it runs.
fn looks(config: Config) -> Verdict {
    let mut operator = Operator::start(Case::new(config).vm(benos("one")), &["[one] benos> "])?;
    let said = operator.0.so_far();
    let text = said.lines("one").find_map(|line| line.trim().strip_prefix(".text   "));
    let text = text.ok_or_else(|| said.failure("BenOS did not say where its text is"))?;
    let text = number(text, "")..number(text, "- ");
    let in_text = |pc: Option<u64>| pc.is_some() && text.start <= pc && pc < text.end;

    let registers = operator.answer("vcpu regs one.0")?;
    if !in_text(number(line(&operator, &registers, &["  PC  "])?, "PC")) {
        return Err(operator.0.so_far().failure("the PC is not in the guest's text"));
    }
    line(&operator, &registers, &["PSTATE", "EL1h, "])?;
    let sctlr =
        number(line(&operator, &registers, &["SCTLR_EL1", "MMU on, data cache on"])?, "SCTLR_EL1");
    let own = said.lines("one").find_map(|line| number(line, "SCTLR_EL1 = "));
    if sctlr.is_none() || sctlr != own {
        return Err(said.failure(format!("SCTLR_EL1 {sctlr:x?}, the guest says {own:x?}")));
    }
    let vbar = line(&operator, &registers, &["VBAR_EL1"])?;
    if number(vbar, "VBAR_EL1") != said.lines("one").find_map(|line| number(line, "VBAR_EL1 = ")) {
        return Err(said.failure(vbar));
    }

    let frames = operator.answer("vcpu bt 0.0")?;
    line(&operator, &frames, &["vCPU 0.0 of one, at EL1h"])?;
    let inner = frames.iter().filter(|line| line.starts_with('#'));
    let places: Vec<_> = inner.map(|line| number(line, "0x")).collect();
    if places.len() < 4 || !places.iter().all(|place| in_text(*place)) {
        return Err(operator.0.so_far().failure(format!("frames {frames:#?}")));
    }

    // What the image begins with, and where it is by both stages.
    let image = fs::read(root().join("target/guests/benos.img"));
    let image = image.map_err(|error| Failure::new(error.to_string()))?;
    let hex: Vec<_> = image[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let memory = operator.answer(&format!("mem one {IMAGE:#x} 32"))?;
    line(&operator, &memory, &[&format!("0x{IMAGE:010x}  {}", hex.join(" "))])?;
    let walk = operator.answer(&format!("s1 one.0 {IMAGE:#x}"))?;
    line(&operator, &walk, &["TTBR0_EL1", "39 bits, 4 KiB granule, from level 1"])?;
    line(
        &operator,
        &walk,
        &["level 3", "page of 4 KiB to 0x40200000", "Normal write-back", "read-only"],
    )?;
    line(&operator, &walk, &["VA 0x40200000 is IPA 0x40200000"])?;
    let pa = line(&operator, &walk, &["IPA 0x40200000 is at PA 0x"])?.to_owned();
    let walk = operator.answer(&format!("s2 0 {IMAGE:#x}"))?;
    line(&operator, &walk, &["stage 2 of VM 0 one, IPA 0x40200000: VMID 1, root 0x"])?;
    line(
        &operator,
        &walk,
        &["level 2", "block of 2 MiB to", "Normal write-back, S2AP read/write"],
    )?;
    line(&operator, &walk, &[&pa])?;
    // A device, memory that nobody has touched, and what no VM can name.
    operator.ask("s1 one.0 0xb000000", "IPA 0xb000000 is a hole: no memory of the VM")?;
    operator.ask("s2 one 0x40f00000", "IPA 0x40f00000 is nothing yet")?;
    operator.ask("s2 one 0x1000000000000", "has too many bits")?;
    operator.ask("s1 one.0 0x8000000000000000", "is in neither half, or walks are off")?;
    operator.ask("mem one 0x40fffff0 32", "error: one has no memory at IPA 0x41000000")?;
    // Its timer ticks, and the other vCPU was never turned on.
    let interrupts = operator.answer("gic one.0")?;
    line(&operator, &interrupts, &["vCPU 0.0 of one, ", "list registers in use: "])?;
    line(&operator, &interrupts, &["enabled for it: INTID ", "27", "33"])?;
    line(&operator, &interrupts, &["virtual timer on, ", "CNTV_CVAL_EL0"])?;
    operator.ask("gic one.1", "no interrupt is enabled for it")?;
    operator.ask("vcpu regs one.1", "vCPU 0.1 of one is off: it has no registers")?;
    operator.ask("vcpu bt one.1", "is off: it has no registers")?;
    operator.end(&["one"])?;
    Ok(())
}

/// The controls in force: what the CPU has of them is as the sources state it.
fn traps(config: Config) -> Verdict {
    let mut operator = Operator::start(Case::new(config).vm(benos("one")), &["[one] benos> "])?;
    for (command, part) in [
        ("hcr", "VM       0x1  stage 2 is on"),
        ("hcr", "TGE      0x0  guests have an EL1"),
        ("vtcr", "T0SZ     0x18  an IPA has 64 minus so many bits"),
        ("cptr", "TFP      0x1  FP and SIMD"),
        ("mdcr", "TDA      0x1  debug registers"),
        ("cnthctl", "EL1PCEN  0x0  the physical timer traps"),
    ] {
        let head = format!("{}_EL2 of pCPU ", command.to_uppercase());
        let answer = operator.answer(command)?;
        line(&operator, &answer, &[&head, ": 0x"])?;
        line(&operator, &answer, &[part])?;
    }
    operator.ask("esr 0x96000010", "EC 0x25 data abort at the same EL: read without a syndrome")?;
    // What is worth a line: the accounts at a VM's end are, from here on.
    operator.ask("log debug", "mz> ")?;
    operator.end(&["one"])?.expect_line("mezzanine", &["DEBUG: one vCPU 0: ran "])
}

/// The steps of a VM's life, those that it doesn't have, and who goes on meanwhile.
fn lives(config: Config) -> Verdict {
    let case = Case::new(config).vm(benos("one"));
    let case = case.vm(Vm::new("later").kernel("paused").bootargs("wfi").no_autostart());
    let mut operator = Operator::start(case, &["[one] benos> "])?;
    let list = operator.answer("vm list")?;
    line(&operator, &list, &["1   later      Made"])?;
    operator.ask("vm pause one", "one: Paus")?;
    operator.0.said("INFO: one: paused", "\0")?;
    let list = operator.answer("vcpu list")?;
    line(&operator, &list, &["0.0   one        Paused"])?;
    line(&operator, &list, &["0.1   one        Off"])?;
    // Looked at, it stays as it is.
    operator.ask("vcpu regs one.0", "VMPIDR_EL2")?;
    operator.ask("vm pause one", "error: one: a VM that is Paused(")?;
    operator.0.expect(") can't pause")?;
    operator.ask("vm create one", ") can't be created")?;
    operator.ask("vm start one", ") can't start")?;
    operator.ask("vm resume one", "one: Running")?;
    operator.ask("vm resume one", "error: one: a VM that is Running can't resume")?;
    let list = operator.answer("vcpu list")?;
    let row = line(&operator, &list, &["0.0   one "])?;
    if row.contains("Paused") {
        return Err(operator.0.so_far().failure(row));
    }
    // One that the description has, and that was not started: once.
    // Which state it has reached by the time of the answer, its job decides.
    operator.ask("vm create later", "[monitor] later: ")?;
    operator.0.expect("[later] TICK n=3 ")?;
    operator.ask("vm create later", "error: later: a VM that is Running can't be created")?;
    operator.ask("vm stop later", "INFO: later: off")?;
    operator.ask("vm pause later", "error: later: a VM that is Off(PowerOff) can't pause")?;
    operator.ask("vm reset later", "error: later: a VM that is Off(PowerOff) can't reset")?;
    operator.ask("vm create later", "error: later: a VM that is Off(PowerOff) can't be created")?;
    operator.ask("vm start later", "[monitor] later: ")?;
    operator.0.expect("[later] TICK n=3 ")?;
    operator.ask("vm show later", "later: Running, life 2, no-autostart")?;
    operator.ask("vm reset one", "INFO: one: reset")?;
    operator.0.expect("[one] Booting at EL 1")?;
    operator.0.expect("[one] threads: both have ended")?;
    operator.ask("vm show one", "VM 0 one: Running, life 2")?;
    operator.end(&["later", "one"])?;
    Ok(())
}

/// A vCPU runs where it may, and the last word of a mask that leaves it nowhere is the run queue's.
fn pins(config: Config) -> Verdict {
    let vm = |name| Vm::new(name).kernel("spin");
    let case = Case::new(config).vm(vm("one")).vm(vm("two"));
    let mut operator = Operator::start(case, &["INFO: console: "])?;
    for (mask, last) in [("0x2", "Running(1)  1"), ("0x1", "Running(0)  0"), ("2", "Running(1)  1")]
    {
        operator.ask(&format!("vcpu pin one.0 {mask}"), "vCPU 0.0 of one: pCPUs 0x")?;
        operator.ask("vcpu pin two.0 3", "vCPU 1.0 of two: pCPUs 0x3")?;
        // It moves when its pCPU puts it back, which it was called to do.
        let mut rows = Vec::new();
        while !rows.iter().any(|row: &String| row.contains(last)) {
            if rows.len() > 20 {
                return Err(operator.0.so_far().failure(format!("no `{last}` in {rows:#?}")));
            }
            let list = operator.answer("vcpu list")?;
            rows.push(line(&operator, &list, &["0.0   one"])?.to_owned());
        }
        operator.ask("vm show one", "vCPU 0: pCPUs 0x")?;
    }
    operator.ask("vcpu pin one.0 0x4", "affinity 0x4 allows no pCPU: wanted one of 0x3")?;
    operator.ask("vcpu pin one.0 0x102", "affinity 0x0 allows no pCPU: wanted one of 0x3")?;
    operator.end(&["one", "two"])?;
    Ok(())
}

/// Exits are counted by kind, and second by second.
fn rates(config: Config) -> Verdict {
    let case = Case::new(config).vm(Vm::new("n").kernel("paused").bootargs("wfi"));
    let mut operator = Operator::start(case, &["[n] TICK n=5 "])?;
    let total = |operator: &mut Operator| {
        let stat = operator.answer("stat")?;
        let row = line(operator, &stat, &["0.0   n "])?;
        let all = row.split_whitespace().nth(2).and_then(|all| all.parse::<u64>().ok());
        all.ok_or_else(|| operator.0.so_far().failure(row))
    };
    let first = total(&mut operator)?;
    operator.0.expect("[n] TICK ")?;
    operator.0.expect("[n] TICK ")?;
    let second = total(&mut operator)?;
    // A tick is a line of characters on its UART, each an exit.
    if second < first + 40 {
        return Err(operator.0.so_far().failure(format!("{first} exits, then {second}")));
    }
    // To its end: a key would end it.
    operator.ask("stat -w 2", "0.0   n ")?;
    operator.0.expect("0.0   n ")?;
    operator.answer("vm list")?;
    let watch = answer(&operator.0.so_far(), "stat -w 2")?;
    let rows: Vec<_> = watch.iter().filter(|line| line.starts_with("0.0   n ")).collect();
    let rate =
        |row: &&String| row.split_whitespace().nth(2).and_then(|all| all.parse::<u64>().ok());
    if rows.len() != 2
        || !rows.iter().all(|row| rate(row).is_some_and(|rate| rate > 0 && rate < 1_000_000))
    {
        return Err(operator.0.so_far().failure(format!("stat -w 2: {watch:#?}")));
    }
    let list = operator.answer("vcpu list")?;
    let row = line(&operator, &list, &["0.0   n "])?;
    // State, last pCPU, ran, waited, moves, exits a second, PC.
    let rate = row.split_whitespace().rev().nth(1).and_then(|rate| rate.parse::<u64>().ok());
    if rate.is_none_or(|rate| rate == 0) || !row.contains(" ms ") {
        return Err(operator.0.so_far().failure(row));
    }
    operator.end(&["n"])?;
    Ok(())
}

/// The trace begins, ends and is printed; what `make trace` reads of it is whole, and of this machine.
fn trace(config: Config) -> Verdict {
    let case = Case::new(config).vm(Vm::new("n").kernel("paused").bootargs("wfi"));
    let mut operator = Operator::start(case, &["[n] TICK n=2 "])?;
    operator.ask("trace dump", "error: no trace: `trace on` begins one")?;
    operator.ask("trace on 100", "error: wanted a number of records, a power of two from 64")?;
    operator.ask("trace on 1024", "INFO: trace: 1024 records a pCPU at 0x")?;
    operator.0.expect("[n] TICK ")?;
    operator.0.expect("[n] TICK ")?;
    operator.ask("trace off", "mz> ")?;
    operator.ask("trace dump", "trace end ")?;
    operator.ask("trace on 512", "while the rings have room for 1024 and are kept")?;
    // The times that exits took, while somebody looks.
    operator.ask("stat -w 1", "0.0   n ")?;
    operator.0.expect("devices")?;
    operator.0.expect(" at EL2: min ")?;
    let outcome = operator.end(&["n"])?;
    let dumped = log::bytes(&outcome.raw).map_err(|fault| outcome.failure(fault.to_string()))?;
    let read = Trace::parse(&dumped).map_err(|fault| outcome.failure(fault.to_string()))?;
    let used = dumped.chunks(32).filter(|record| record.iter().any(|byte| *byte != 0)).count();
    if read.vm(0) != Some("n") || used < 100 {
        return Err(outcome.failure(format!("VM 0 is {:?}, {used} records", read.vm(0))));
    }
    Ok(())
}

/// What can't be understood is named, and nothing comes of it.
fn wrong(config: Config) -> Verdict {
    let mut operator = Operator::start(Case::new(config).vm(benos("one")), &["[one] benos> "])?;
    for (command, wanted) in [
        ("vn list", "error: \"vn\" is no command: `help` lists them"),
        ("vm", "error: found \"vm\", wanted `vm list`, `vm show VM`, `vm create VM`"),
        ("vm stop two", "error: found \"two\", wanted a VM: `vm list` has them"),
        ("vm stop 1", "error: found \"1\", wanted a VM: `vm list` has them"),
        ("vcpu regs one", "error: found \"one\", wanted a vCPU, VM.N: `vcpu list` has them"),
        ("vcpu regs one.2", "error: found vCPU 2, wanted one below 2 of one"),
        ("s2 one 0x", "error: found \"0x\", wanted a number, decimal or hexadecimal with 0x"),
        ("mem one 0", "error: found \"mem one 0\", wanted `mem VM IPA LEN`"),
        ("mem one 0 16", "error: one has no memory at IPA 0x0"),
        ("log loud", "error: found \"loud\", wanted off, error, warn, info, debug or trace"),
        ("help me", "error: \"me\" is no command: `help` lists them"),
    ] {
        operator.ask(command, wanted)?;
    }
    operator.end(&["one"])?;
    let outcome = Case::new(config).append("monitor=\"vm list").run()?;
    outcome.expect_line(
        "mezzanine",
        &["ERROR: command line: found \"monitor=", "wanted a closing quote"],
    )?;
    outcome.expect_no_line("monitor", "")?;
    outcome.expect_status(1)
}

/// More than the console's ring holds, while others fill it, too: every line arrives.
fn nothing_lost(config: Config) -> Verdict {
    let memory = |name| format!("mem {name} {IMAGE:#x} 4096");
    let (alpha, beta) = (memory("alpha"), memory("beta"));
    let end = "vm stop alpha; vm stop beta";
    let script = format!("monitor=\"{alpha}; help; {beta}; wait 1; {end}\"");
    // They talk, and go on to their prompts: of one that is off there is no memory.
    let stays = |name| benos(name).bootargs("stay");
    let case = Case::new(config).vm(stays("alpha")).vm(stays("beta"));
    let outcome = case.append(&script).run()?;
    for name in ["alpha", "beta"] {
        let lines = answer(&outcome, &memory(name))?;
        let wanted = (0..256).map(|line| format!("0x{:010x}  ", IMAGE + 16 * line));
        if lines.len() != 256 || !lines.iter().zip(wanted).all(|(line, at)| line.starts_with(&at)) {
            return Err(outcome.failure(format!("{} lines of {name}'s memory", lines.len())));
        }
    }
    outcome.expect_status(0)
}

/// One whose registers, tables and interrupts are anything is looked at again and again, beside a
/// victim that has to notice nothing.
fn hostile(config: Config) -> Verdict {
    let case = Case::new(config).vm(Vm::new("victim").kernel("victim").bootargs("seed=7"));
    let words = "seed=1 first=0 count=1000000 workers=1";
    let chaos = Vm::new("chaos").kernel("chaos").cpus(2).memory(MEMORY_MIB).bootargs(words);
    let mut operator = Operator::start(case.vm(chaos), &["[victim] BEAT ", "[chaos] S#0"])?;
    for _ in 0..5 {
        for command in [
            // On a busy host it may lose patience with a vCPU of its own, and end.
            "vm start chaos",
            "vcpu list",
            "stat",
            "vcpu regs chaos.0",
            "vcpu bt chaos.0",
            "vcpu regs chaos.1",
            "vcpu bt chaos.1",
            "s1 chaos.1 0x40200000",
            "s1 chaos.1 0xffffffff80000000",
            "s2 chaos 0x40200000",
            "mem chaos 0x40000000 256",
            "gic chaos.0",
            "gic chaos.1",
            "vm list",
        ] {
            if operator.answer(command)?.is_empty() {
                return Err(operator.0.so_far().failure(format!("no answer to `{command}`")));
            }
        }
        operator.0.expect("[victim] BEAT ")?;
    }
    // It may have come to an end of its own.
    operator.answer("vm stop chaos")?;
    operator.0.say(&format!("{ESCAPE}0q"))?;
    operator.0.expect("INFO: victim: off")?;
    operator.0.finish()?.expect_pass("victim", 4)
}
