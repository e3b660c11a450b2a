//! The commands that understand VMs, scripts/gdb.py: scripted sessions, and what each command says.

use super::{attach, gdb, said_by, socket, stub, under_gdb};
use crate::harness::{Case, Config, Cpu, Failure, Profile, Test, Verdict};
use mezzanine::exit::esr::{Ec, Esr, Report};
use std::time::Duration;

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let test = |name: &str, body: fn(Config) -> Verdict| Test::new(name, body).smp(&[2]);
    vec![
        test("gdb/vms", vms),
        test("gdb/break-guest", break_guest),
        test("gdb/break-exit", break_exit),
        test("gdb/stage1", stage1),
        test("gdb/vector", vector).cpu(Cpu::A72).profile(Profile::Release),
        test("gdb/attach", attach_at_the_prompt),
        test("gdb/syndromes", syndromes).smp(&[1]).cpu(Cpu::A72).profile(Profile::Release),
    ]
}

/// What gdb said in a session, command by command.
struct Said(String);

impl Said {
    /// Boots the demo stopped, and gives gdb `commands`.
    fn by_demo(config: Config, commands: &[&str]) -> Result<Self, Failure> {
        let with_marks = marked(commands);
        let commands: Vec<&str> = with_marks.iter().map(String::as_str).collect();
        let (said, _) = under_gdb(config, &commands)?;
        Self(said).checked()
    }

    /// No command ended in a traceback of Python's.
    fn checked(self) -> Result<Self, Failure> {
        match self.0.contains("Traceback") || self.0.contains("Python Exception") {
            true => Err(self.failure("an error of Python's".into())),
            false => Ok(self),
        }
    }

    fn failure(&self, why: String) -> Failure {
        Failure::new(format!("{why}; gdb said:\n{}", self.0))
    }

    /// What the first command of this text said.
    fn to(&self, command: &str) -> Result<&str, Failure> {
        let mark = format!("\n@@ {command}\n");
        let (_, rest) = self
            .0
            .split_once(&mark)
            .ok_or_else(|| self.failure(format!("`{command}` was not reached")))?;
        Ok(rest.split("\n@@ ").next().unwrap_or(rest))
    }

    /// A line that `command` said contains all of these.
    fn expect(&self, command: &str, parts: &[&str]) -> Verdict {
        let said = self.to(command)?;
        if said.lines().any(|line| parts.iter().all(|part| line.contains(part))) {
            return Ok(());
        }
        Err(self.failure(format!("`{command}` gave no line with {parts:?}")))
    }

    /// The number, in hexadecimal, behind the first of these words that `command` said.
    fn number(&self, command: &str, before: &str) -> Result<u64, Failure> {
        let said = self.to(command)?;
        let digits = said.split_once(before).map(|(_, rest)| rest.trim_start());
        let digits = digits.map(|rest| rest.strip_prefix("0x").unwrap_or(rest));
        let end = |text: &str| text.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(text.len());
        digits
            .and_then(|text| u64::from_str_radix(&text[..end(text)], 16).ok())
            .ok_or_else(|| self.failure(format!("`{command}` gave no number behind `{before}`")))
    }
}

/// Each command with a line before it that names it.
fn marked(commands: &[&str]) -> Vec<String> {
    let mark = |command: &&str| [format!("echo \\n@@ {command}\\n"), (*command).to_owned()];
    commands.iter().flat_map(mark).collect()
}

/// A machine that hasn't booted; and one at the first exits of its guests.
fn vms(config: Config) -> Verdict {
    let said = Said::by_demo(
        config,
        &[
            "mz",
            "mz-vms",
            "mz-bt",
            "delete",
            // Each comes there once.
            "mz-break-guest 0 guest_main",
            "mz-break-guest 1 guest_main",
            "continue",
            "continue ",
            "delete ",
            "mz-vms ",
            // Of alpha.
            "break mezzanine::exit::handle::handle if $VTTBR_EL2 >> 48 == 1",
            "continue  ",
            // As gdb has it where a guest's code has no symbols.
            "set language c",
            "mz-vcpus",
            "set language auto",
            "mz-exits",
            "mz-regs 0.0",
            "mz-regs beta.1",
            "mz-s2 0 0x40080000",
            "mz-s2 beta 0x40080000",
            "mz-s2 0 0xb000000",
            "mz-s2 0 0x40c00000",
            "mz-s2 0 0x10000000000",
            "mz-s1 0.0 0x40200000",
            "mz-lr",
            "mz-bt ",
            "mz-esr",
            "mz-esr 0x93c08006",
            "up",
            "mz-vms  ",
            "frame",
            "mz-regs 7.0",
            "mz-regs 0.2",
            "mz-regs 0",
            "mz-s2 0",
            "mz-s2 0 nowhere",
            "mz-break-exit NO_SUCH",
            "p/x mezzanine::vm::instance::LIVE",
            "delete  ",
            "kill",
        ],
    )?;
    said.expect("mz", &["mz-break-guest VM ADDR"])?;
    for early in ["mz-vms", "mz-bt"] {
        said.expect(early, &[early, "translation is off", "wanted a machine that has booted"])?;
    }
    said.expect("mz-vms ", &["0", "alpha", "2      1", "0x4", "16 MiB at 0x40000000"])?;
    said.expect("mz-vms ", &["1", "beta", "2      2", "0x4", "16 MiB at 0x40000000"])?;
    said.expect("mz-vcpus", &["0.0", "alpha", "Running(", ", loaded", "0x40"])?;
    said.expect("mz-vcpus", &["0.1", "alpha", "Off", "-"])?;
    said.expect("mz-vcpus", &["1.1", "beta", "Off", "-"])?;
    said.expect("mz-exits", &["vCPU", "all", "calls", "devices", "interrupts"])?;
    said.expect("mz-regs 0.0", &["general registers: from its frame in memory"])?;
    said.expect("mz-regs 0.0", &["PSTATE", "EL1h, "])?;
    said.expect("mz-regs 0.0", &["SCTLR_EL1 0000000030d", "MMU o"])?;
    let pc = said.number("mz-regs 0.0", "PC")?;
    if !(0x4000_0000..0x4100_0000).contains(&pc) {
        return Err(said.failure(format!("PC {pc:#x} is not in the guest's RAM")));
    }
    said.expect("mz-regs beta.1", &["EL1's registers: from its context in memory"])?;
    let mut places = Vec::new();
    for walk in ["mz-s2 0 0x40080000", "mz-s2 beta 0x40080000"] {
        said.expect(walk, &["level 1", "table at 0x4"])?;
        said.expect(walk, &["level 2", "block of 2 MiB to 0x4", "S2AP read/write", "AF"])?;
        places.push(said.number(walk, "is at PA")?);
    }
    if places[0] == places[1] || places.contains(&0x4008_0000) || places[0] & 0x1f_ffff != 0x8_0000
    {
        return Err(said.failure(format!("VMs at {places:#x?}: two places, no IPAs wanted")));
    }
    said.expect("mz-s2 0 0xb000000", &["invalid: translation fault level"])?;
    said.expect("mz-s2 0 0xb000000", &["IPA 0xb000000: a hole"])?;
    said.expect("mz-s2 0 0x40c00000", &["IPA 0x40c00000: nothing yet", "first touch"])?;
    said.expect("mz-s2 0 0x10000000000", &["more than 40 bits"])?;
    said.expect("mz-s1 0.0 0x40200000", &["IPA 0x40200000 is at PA 0x4"])?;
    said.expect("mz-lr", &["the model's books", "isn't visible"])?;
    said.expect("mz-lr", &["vCPU 0.1 of alpha, not loaded", "list registers in use: none"])?;
    said.expect("mz-bt ", &["#0", "mezzanine::exit::handle::handle"])?;
    said.expect("mz-bt ", &["mezzanine::exit::run::run_loaded"])?;
    said.expect("mz-bt ", &["---- ERET: below is vCPU ", ".0 of ", "at EL1h"])?;
    said.expect("mz-bt ", &["guest_main"])?;
    said.expect("mz-esr", &["ESR_EL2 of thread ", "which is at EL2: 0x"])?;
    said.expect("mz-esr", &["EC 0x", ", ISS 0x"])?;
    let words =
        "EC 0x24 data abort from a lower EL: read of 8 bytes into x0, translation fault level 2";
    said.expect("mz-esr 0x93c08006", &[words])?;
    said.expect("mz-esr 0x93c08006", &["ISV 1, SAS 3, SSE 0, SRT 0, SF 1", "DFSC 0x6"])?;
    // From an outer frame, which stays the selected one.
    said.expect("mz-vms  ", &["beta"])?;
    said.expect("frame", &["#1", "run_loaded"])?;
    said.expect("mz-regs 7.0", &["mz-regs: no VM 7: wanted", "(0 alpha, 1 beta)"])?;
    said.expect("mz-regs 0.2", &["mz-regs: VM 0 alpha has no vCPU 2: wanted one below 2"])?;
    said.expect("mz-regs 0", &["mz-regs: 0: wanted VM.N"])?;
    said.expect("mz-s2 0", &["mz-s2: 1 words: wanted `mz-s2 VM IPA`"])?;
    said.expect("mz-s2 0 nowhere", &["mz-s2: gdb says: No symbol"])?;
    said.expect("mz-break-exit NO_SUCH", &["mz-break-exit: no exception class NO_SUCH: wanted"])?;
    // Memory is read by virtual addresses again.
    said.expect("p/x mezzanine::vm::instance::LIVE", &["0x"])
}

/// A breakpoint of both guests' code stops in one of them, at EL1; all commands work from there.
fn break_guest(config: Config) -> Verdict {
    let said = Said::by_demo(
        config,
        &[
            "delete",
            "mz-break-guest beta guest_main",
            "continue",
            "p/x $VTTBR_EL2 >> 48",
            "mz-vms",
            "el",
            "mz-esr",
            "mz-vcpus",
            "mz-regs 1.0",
            "mz-s2 1 $pc",
            "mz-lr",
            "mz-bt",
            "mz-break-guest 7 0x40200000",
            "mz-break-guest 0 benos::irq::handle",
            "continue ",
            "p/x $VTTBR_EL2 >> 48 ",
            "delete ",
            "kill",
        ],
    )?;
    said.expect("mz-break-guest beta guest_main", &["VM beta isn't made yet"])?;
    said.expect("continue", &["mz-break-guest: VM beta (VMID 2), vCPU 1.0 of beta"])?;
    said.expect("p/x $VTTBR_EL2 >> 48", &["= 0x2"])?;
    said.expect("mz-vms", &["beta", "Running", "2      2"])?;
    said.expect("el", &["EL1, SPSel 1"])?;
    said.expect("mz-esr", &["ESR_EL1 of thread ", "which is at EL1: 0x0"])?;
    said.expect("mz-vcpus", &["1.0", "Running(", "in guest", "guest_main"])?;
    said.expect("mz-regs 1.0", &["general registers: from the registers of pCPU", "in the guest"])?;
    said.expect("mz-regs 1.0", &["PC", "guest_main"])?;
    said.expect("mz-regs 1.0", &["EL1's registers: from pCPU", "on which it is loaded"])?;
    said.expect("mz-s2 1 $pc", &["block of 2 MiB to 0x4"])?;
    said.expect("mz-lr", &["vCPU 1.0 of beta, loaded on pCPU"])?;
    said.expect("mz-bt", &["vCPU 1.0 of beta, at EL1h"])?;
    said.expect("mz-bt", &["#0", "guest_main", "at guest/"])?;
    said.expect("mz-bt", &["#1"])?;
    said.expect("mz-break-guest 7 0x40200000", &["mz-break-guest: no VM 7: wanted"])?;
    said.expect("continue ", &["mz-break-guest: VM 0 (VMID 1), vCPU 0."])?;
    said.expect("p/x $VTTBR_EL2 >> 48 ", &["= 0x1"])
}

/// A breakpoint for one class of exits, and a backtrace across the ERET.
fn break_exit(config: Config) -> Verdict {
    let said = Said::by_demo(
        config,
        &[
            // The lines that are printed before are many exits.
            "mz-break-guest 0 benos::shell::hypercalls",
            "disable 1",
            "continue  ",
            "enable 1",
            "mz-break-exit HVC64",
            "delete 1",
            "continue",
            "why",
            "mz-esr",
            "mz-bt",
            "mz-bt beta.1",
            "delete",
            // What BenOS does next, in this order.
            "mz-break-exit DATA_ABORT_LOWER $FAR_EL2 == 0xb000000",
            "continue   ",
            "delete  ",
            "mz-break-exit 0x18",
            "continue ",
            "mz-esr ",
            "delete ",
            "kill",
        ],
    )?;
    said.expect("mz-break-exit HVC64", &["stops at EC 0x16 HVC from AArch64"])?;
    said.expect("mz-break-exit HVC64", &["breakpoint 1 stops at every exit: `delete 1`"])?;
    said.expect("continue", &["mz-break-exit: vCPU ", "EC 0x16 HVC from AArch64: #0x0"])?;
    said.expect("why", &["ESR_EL2", "EC 16"])?;
    said.expect("mz-esr", &["EC 0x16, IL 1, ISS 0x0: imm16 0x0"])?;
    said.expect("mz-bt", &["#1", "mezzanine::exit::run::run_loaded"])?;
    said.expect("mz-bt", &["---- ERET: below is vCPU "])?;
    said.expect("mz-bt", &["#0", "benos::", "at guest/"])?;
    said.expect("mz-bt", &["#1", "guest_main"])?;
    said.expect("mz-bt beta.1", &["vCPU 1.1 of beta, at EL1h"])?;
    said.expect("continue ", &["EC 0x18 trapped MSR, MRS or SYS: "])?;
    said.expect("mz-esr ", &["EC 0x18, IL 1, ISS", "Op0 ", "CRn ", "Direction "])?;
    said.expect("continue   ", &["EC 0x24 data abort from a lower EL: ", "at IPA 0xb000000,"])
}

/// A guest that has its MMU on: its tables, each read through stage 2.
fn stage1(config: Config) -> Verdict {
    let said = Said::by_demo(
        config,
        &[
            "delete",
            "mz-break-guest 0 benos::irq::handle",
            "continue",
            "mz-s1 0.0 $sp",
            "mz-s1 0.0 0xb000000",
            "mz-s1 0.0 0x123400000000",
            "mz-s1 0.0 0xffff000000000000",
            "mz-regs 0.0",
            "mz-lr 0.0",
            "delete ",
            "kill",
        ],
    )?;
    said.expect("mz-s1 0.0 $sp", &["TTBR0_EL1 0x40", "39 bits, 4 KiB granule, from level 1"])?;
    said.expect("mz-s1 0.0 $sp", &["level 1  0x40", "(PA 0x4", "table at 0x40"])?;
    said.expect("mz-s1 0.0 $sp", &["level 3  0x40", "page of 4 KiB", "Normal write-back", "UXN"])?;
    let (ipa, pa) =
        (said.number("mz-s1 0.0 $sp", "is IPA")?, said.number("mz-s1 0.0 $sp", "is at PA")?);
    if ipa == pa || ipa & 0x1f_ffff != pa & 0x1f_ffff {
        return Err(said.failure(format!("IPA {ipa:#x} at PA {pa:#x}")));
    }
    said.expect("mz-s1 0.0 0xb000000", &["block of 1 GiB to 0x0", "Device-nGnRE"])?;
    said.expect("mz-s1 0.0 0xb000000", &["IPA 0xb000000: a hole"])?;
    said.expect("mz-s1 0.0 0x123400000000", &["in neither half: translation fault level 0"])?;
    said.expect("mz-s1 0.0 0xffff000000000000", &["TCR_EL1.EPD1 is 1"])?;
    said.expect("mz-regs 0.0", &["SCTLR_EL1", "MMU on, data cache on"])?;
    said.expect("mz-regs 0.0", &["VBAR_EL1", "vectors"])?;
    // The model has given it the tick for which it is here.
    said.expect("mz-lr 0.0", &["LR0, written as pending: INTID 27, virtual timer"])
}

/// At the first instruction of EL2's vector nothing is in the frame yet.
fn vector(config: Config) -> Verdict {
    let vector = "break *$VBAR_EL2 + 0x400";
    let commands =
        ["continue", "delete", vector, "continue ", "mz-regs 0.0", "mz-bt", "delete ", "kill"];
    let said = Said::by_demo(config, &commands)?;
    let stopped = said.to("mz-bt")?.contains("of alpha");
    let vcpu = if stopped { "at the first instruction of EL2's vector" } else { "vCPU 0.0" };
    said.expect("mz-regs 0.0", &[vcpu])?;
    said.expect("mz-bt", &["---- ERET: below is vCPU "])
}

/// A machine that runs, and is stopped wherever it is: both guests wait for a key.
fn attach_at_the_prompt(config: Config) -> Verdict {
    let socket = socket()?;
    let mut talk = Case::new(config).attended().qemu(&["-gdb", &stub(&socket)]).start()?;
    talk.said("[alpha] Type help", "\0")?;
    talk.said("[beta] Type help", "\0")?;
    talk.listen(Duration::from_secs(1));
    let commands =
        ["mz-vms", "mz-vcpus", "mz-exits", "mz-bt 0.0", "mz-lr 0.0", "mz-regs 1.0", "kill"];
    let with_marks = marked(&commands);
    let commands: Vec<&str> = with_marks.iter().map(String::as_str).collect();
    let said = Said(attach(config, &socket, &commands)?).checked()?;
    talk.finish()?;
    let _ = std::fs::remove_file(&socket);
    said.expect("mz-vms", &["alpha", "Running"])?;
    said.expect("mz-vcpus", &["0.0", "alpha", "benos"])?;
    // It has printed on its UART; its sibling has never run.
    let counts = |line: &str| -> Vec<String> { line.split_whitespace().map(Into::into).collect() };
    let mut rows = said.to("mz-exits")?.lines().map(counts);
    let mut row = |start: &str| {
        let row = rows.find(|row| row.first().is_some_and(|first| first == start));
        row.ok_or_else(|| said.failure(format!("`mz-exits` gave no row {start}")))
    };
    let (kinds, ran, never) = (row("vCPU")?, row("0.0")?, row("0.1")?);
    let devices = kinds.iter().position(|kind| kind == "devices").and_then(|at| ran.get(at));
    if devices.is_none_or(|count| count == "0") || never.iter().skip(2).any(|count| count != "0") {
        return Err(said.failure(format!("{kinds:?} {ran:?} {never:?}: not what they did")));
    }
    said.expect("mz-bt 0.0", &["vCPU 0.0 of alpha"])?;
    said.expect("mz-bt 0.0", &["guest_main"])?;
    said.expect("mz-lr 0.0", &["enabled for it: INTID 27, 33"])?;
    said.expect("mz-lr 0.0", &["virtual timer: on, "])?;
    said.expect("mz-regs 1.0", &["SCTLR_EL1", "MMU on"])
}

/// Each class with many an ISS: the words of `mz-esr` are the hypervisor's own.
fn syndromes(config: Config) -> Verdict {
    let mut values = Vec::new();
    for ec in 0..64 {
        // No field set, single ones, all; and what a small generator has.
        let fixed = [0, 1, 2, 3, 6, 0x11, 0x30_0460, 0x1ff_ffff, 0x4006, 0x185_0045, 0x1de, 0x40f];
        let faults = (0..64).map(|code| 0x1c0_8000 | code).filter(|_| matches!(ec, 0x20 | 0x24));
        let mut seed = 0x9e37_79b9_u32 ^ ec;
        let random = (0..12).map(|_| {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            seed >> 7
        });
        let iss = fixed.into_iter().chain(faults).chain(random.collect::<Vec<u32>>());
        values.extend(iss.map(|iss| Esr::compose(Ec(ec as u8), true, iss)));
    }
    let mut gdb = gdb(config);
    gdb.args(["-ex", "source scripts/gdb.py", "-ex"]);
    let numbers: Vec<String> = values.iter().map(|esr| format!("{:#x}", esr.bits())).collect();
    // One argument: a list of commands for gdb's Python.
    gdb.arg(format!(
        "python [gdb.execute('mz-esr %s' % one) for one in '{}'.split()]",
        numbers.join(" ")
    ));
    let said = said_by(gdb)?;
    let lines: Vec<&str> = said.lines().step_by(2).collect();
    if lines.len() != values.len() {
        return Err(Failure::new(format!(
            "{} lines for {} values:\n{said}",
            lines.len(),
            values.len()
        )));
    }
    for (esr, line) in values.iter().zip(lines) {
        let wanted = Report { esr: *esr, far: 0, hpfar: 0 }.to_string();
        // The command wasn't told of an address.
        let wanted = [" at IPA 0x0", " at VA 0x0", ": PC 0x0"]
            .iter()
            .fold(wanted, |text, address| text.replace(address, ""));
        // What both have no name for is named alike; gdb knows more names.
        let unnamed = wanted.contains(" S1_") || wanted.contains(" S2_") || wanted.contains(" S3_");
        if line != wanted && !(unnamed && line.starts_with("EC 0x18 trapped MSR, MRS or SYS: ")) {
            let bits = esr.bits();
            return Err(Failure::new(format!("ESR {bits:#x}:\n gdb {line}\n EL2 {wanted}")));
        }
    }
    Ok(())
}
