//! The console: whole lines, each behind its VM's name, and a keyboard that goes to one VM.

use std::time::Duration;

use crate::harness::{Case, Config, Cpu, Test, Verdict, Vm};

/// What moves the keyboard, before a digit or `?`.
const ESCAPE: &str = "\u{1d}";

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("console/storm", |config| {
            // A guest whose timer is due whenever it is entered, so that it does nothing else, keeps
            // nobody from the keyboard, nor what waits from the terminal.
            let storm = Vm::new("storm").kernel("spin").bootargs("timer");
            let mut talk = Case::new(config).attended().timeout(30).vm(storm).start()?;
            talk.expect("INFO: console: ")?;
            talk.listen(Duration::from_millis(300));
            for _ in 0..3 {
                talk.say(&format!("{ESCAPE}?"))?;
                talk.expect("console: VM 0 storm has the keyboard")?;
            }
            talk.say(&format!("{ESCAPE}p"))?;
            talk.expect("INFO: storm: paused")?;
            Ok(())
        })
        .smp(&[1, 2]),
        Test::new("console/keyboard", |config| {
            let shell = |name| Vm::new(name).kernel("benos").cpus(1);
            let mut talk =
                Case::new(config).attended().vm(shell("one")).vm(shell("two")).start()?;
            // The first VM has the keyboard; what it prompts is shown without a line end.
            talk.expect("[one] benos> ")?;
            talk.say("el\r")?;
            talk.expect("[one] el: CurrentEL = 1")?;
            talk.say(&format!("{ESCAPE}?"))?;
            talk.expect("one")?;
            talk.expect("two")?;
            talk.say(&format!("{ESCAPE}1\r"))?;
            talk.expect("[two] benos> ")?;
            talk.say("hvc\r")?;
            talk.expect("[two]   hvc #0: PSCI_VERSION")?;
            talk.say("off\r")?;
            talk.expect("[two] BenOS: switching off")?;
            talk.say(&format!("{ESCAPE}0\r"))?;
            talk.expect("[one] benos> ")?;
            talk.say("off\r")?;
            let outcome = talk.finish()?;
            outcome.expect_no_line("one", "PSCI_VERSION")?;
            outcome.expect_no_line("two", "CurrentEL")?;
            outcome.expect_status(0)
        }),
        Test::new("console/reboot", |config| {
            let vm = Vm::new("one").kernel("benos").cpus(2);
            let mut talk = Case::new(config).attended().vm(vm).start()?;
            for _ in 0..2 {
                talk.expect("[one] Booting at EL 1")?;
                talk.expect("benos> ")?;
                talk.say("vcpus\r")?;
                talk.expect("cpu 1 answered an SGI")?;
                talk.expect("benos> ")?;
                talk.say("reboot\r")?;
            }
            talk.expect("[one] Booting at EL 1")?;
            talk.expect("benos> ")?;
            talk.say("off\r")?;
            talk.finish()?.expect_status(0)
        })
        .smp(&[2]),
        Test::new("console/raw", raw),
        Test::new("console/whole-lines", |config| {
            let outcome = Case::new(config).run()?;
            outcome.expect_line("alpha", &["abcde"])?;
            outcome.expect_line("beta", &["abcde"])?;
            // Whatever is printed stands behind a name, and a VM's own name only.
            let torn = outcome.all_lines().find(|line| {
                let names = line.matches("[alpha] ").count() + line.matches("[beta] ").count();
                let own = line.starts_with("[mezzanine] ");
                !line.is_empty() && (names != 1 || !line.starts_with('[')) && !own
            });
            match torn {
                None => Ok(()),
                Some(line) => Err(outcome.failure(format!("a torn line: `{line}`"))),
            }
        })
        .cpu(Cpu::A72),
    ]
}

/// One VM has the terminal for itself, to the end of the view and to its own end. The other's lines
/// wait, and none is lost.
fn raw(config: Config) -> Verdict {
    const BEGIN: &str = "INFO: console: p has the terminal, until Ctrl-] r\r\n";
    /// CAN: the first byte of what puts the terminal right.
    const END: &str = "\u{18}";
    let probe = |name| Vm::new(name).kernel("paused").bootargs("wfi");
    let mut talk = Case::new(config).attended().vm(probe("p")).vm(probe("n")).start()?;
    talk.expect("[p] TICK n=2 ")?;
    talk.say(&format!("{ESCAPE}r"))?;
    talk.expect(BEGIN)?;
    talk.say("\u{1b}")?;
    talk.expect("KEY \u{1b}\r\n")?;
    for _ in 0..12 {
        talk.expect("\r\nTICK n=")?;
    }
    talk.say(&format!("{ESCAPE}r"))?;
    talk.expect(END)?;
    talk.expect("INFO: console: end of the raw view; 0 bytes of it lost\r\n")?;
    talk.expect("[n] TICK ")?;
    talk.say(&format!("{ESCAPE}rq"))?;
    talk.expect(BEGIN)?;
    talk.expect("\r\nEND passed=")?;
    talk.expect(END)?;
    talk.expect("INFO: p: off")?;
    talk.say(&format!("{ESCAPE}1q"))?;
    let outcome = talk.finish()?;
    for view in outcome.raw.split(BEGIN).skip(1) {
        let view = view.split(END).next().unwrap_or_default();
        if view.contains("[n]") || view.contains("[mezzanine]") {
            return Err(outcome.failure(format!("others in a raw view: {view:?}")));
        }
    }
    let ticks = outcome.lines("n").filter_map(|line| line.strip_prefix("TICK n="));
    for (number, tick) in ticks.enumerate() {
        if !tick.starts_with(&format!("{number} ")) {
            return Err(outcome.failure(format!("[n] tick {number} is missing")));
        }
    }
    outcome.expect_pass("n", 5)?;
    outcome.expect_status(0)
}
