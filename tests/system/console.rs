//! The console: whole lines, each behind its VM's name, and a keyboard that goes to one VM.

use crate::harness::{Case, Cpu, Test, Vm};

/// What moves the keyboard, before a digit or `?`.
const ESCAPE: &str = "\u{1d}";

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
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
