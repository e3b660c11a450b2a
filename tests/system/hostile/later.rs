//! What is expected of the families from 21 on.

use super::plans::{Bare, PLAN, Plan};
use super::{end, forms, last_beat, machine, victim};
use crate::harness::{Config, Cpu, Failure, Outcome, Profile, Verdict, Vm};

/// Their plans.
pub static PLANS: [Plan; 20] = [
    Plan {
        number: 21,
        variants: 30,
        bare: Bare::But(&[
            ("selfsgi.range", "RES0 without a range selector: QEMU ignores it"),
            ("selfsgi.last-range", "RES0 without a range selector: QEMU ignores it"),
        ]),
        ..PLAN
    },
    Plan { number: 22, variants: 8, ..PLAN },
    Plan { number: 23, variants: 220, ..PLAN },
    Plan { number: 24, variants: 110, ..PLAN },
    Plan {
        number: 25,
        variants: 160,
        bare: Bare::But(&[
            (
                "straddle.nothing-",
                "QEMU's FAR is before the access, where it loads by aligned words",
            ),
            ("straddle.ram-uart", "QEMU stores by bytes there"),
        ]),
        ..PLAN
    },
    Plan {
        number: 26,
        variants: 3,
        bare: Bare::But(&[
            ("ipa.elsewhere", "a board has other devices there"),
            ("ipa.bit-39", "a board has PCIe there"),
        ]),
        ..PLAN
    },
    Plan { number: 27, variants: 48, ..PLAN },
    Plan { number: 28, variants: 50, ..PLAN },
    Plan {
        number: 29,
        vcpus: 5,
        // CPUs that fail without executing anything.
        counted: false,
        variants: 30,
        dooms: &[
            ("vbar-unset", &["stopped", "vector for this abort"]),
            ("vbar-uart", &["stopped", "vector for this abort"]),
            ("vbar-gicd", &["stopped", "vector for this abort"]),
            ("vbar-nothing", &["stopped", "vector for this abort"]),
            ("vbar-behind-ram", &["stopped", "vector for this abort"]),
            ("vbar-last", &["stopped", "vector for this abort"]),
            ("pc-nothing", &["stopped", "vector for this abort"]),
        ],
        bare: Bare::But(&[
            ("vectors.on-", "not tried on the board"),
            ("vectors.still-on-", "not tried on the board"),
            ("vectors.all-astray", "not tried on the board"),
        ]),
        ..PLAN
    },
    Plan { number: 30, variants: 20, bare: Bare::Rule(less_by_aarch32), ..PLAN },
    Plan {
        number: 31,
        vcpus: 4,
        variants: 8,
        bare: Bare::But(&[("asid.pmu-", "QEMU 7.2 has the registers with pmu=off, too")]),
        ..PLAN
    },
    // A board that counts gives each of its CPUs a long turn.
    Plan { number: 32, vcpus: 4, counted: false, variants: 8, more: Some(resets), ..PLAN },
    Plan {
        number: 33,
        vcpus: 4,
        counted: false,
        variants: 14,
        dooms: &[("off", &["off: off"])],
        bare: Bare::But(&[
            ("stale.vae1", "each CPU of the board has a TLB of its own"),
            ("stale.vale1", "each CPU of the board has a TLB of its own"),
            ("stale.aside1", "each CPU of the board has a TLB of its own"),
            ("stale.vmalle1", "each CPU of the board has a TLB of its own"),
        ]),
        ..PLAN
    },
    Plan { number: 34, variants: 2, more: Some(crowd), ..PLAN },
    Plan { number: 35, variants: 25, more: Some(resets), ..PLAN },
    Plan {
        number: 36,
        vcpus: 2,
        variants: 140,
        dooms: &[("last-word", &["stopped", "vector for this abort"])],
        bare: Bare::Not("QEMU's PSCI takes any entry"),
        ..PLAN
    },
    Plan { number: 37, vcpus: 2, variants: 9, ..PLAN },
    Plan {
        number: 38,
        variants: 5,
        dooms: &[("unended", &["stopped", "vector for this abort"])],
        more: Some(resets),
        judge: Some(nothing_forged),
        ..PLAN
    },
    Plan { number: 39, variants: 2, more: Some(forms::more), ..PLAN },
    Plan { number: 40, variants: 35, ..PLAN },
];

/// What 32-bit code doesn't get that it has on the board: device accesses without a syndrome are an
/// external abort, the physical timer and counter and DBGDIDR are UNDEFINED. And QEMU's UARTIBRD
/// keeps more bits than the 16 that it has.
fn less_by_aarch32(variant: &str, here: Option<&str>, _: Option<&str>) -> bool {
    let is = |names: &[&str]| names.iter().any(|name| variant.ends_with(name));
    match here.and_then(|seen| seen.split(' ').next()) {
        Some("0x92000010" | "0x92000050") => variant.contains("device"),
        Some("0x2000000") => {
            is(&["cntpct", "physical-ctl", "physical-cval", "t32-it-physical", "dbgdidr"])
        }
        _ => is(&["a32-be-str"]),
    }
}

/// How many lives a VM had, each of which found its memory zero.
fn lives(outcome: &Outcome, name: &str) -> Result<usize, Failure> {
    let lines: Vec<&str> =
        outcome.lines(name).filter(|line| line.starts_with("ZEROS checked=")).collect();
    super::zeros(outcome, name, lines.len())?;
    Ok(lines.len())
}

/// Lives at the least of one that resets itself.
const LIVES: usize = 8;

/// The offender resets itself, as fast as it can or while its CPUs store.
fn resets(plan: &Plan, config: Config) -> Verdict {
    let offender = Vm::new("again").kernel("hostile").cpus(plan.vcpus).memory(4);
    let words = format!("family={} auto resets", plan.number);
    let mut talk = machine(config, plan).vm(offender.bootargs(&words)).vm(victim()).start()?;
    for _ in 0..LIVES {
        talk.expect("INFO: again: reset")?;
    }
    // More than one life can lose.
    talk.say(&"q".repeat(80))?;
    talk.expect("INFO: again: off")?;
    talk.said("[victim] BEAT n=1 ", "\0")?;
    let after = last_beat(&talk)?;
    talk.said(&format!("[victim] BEAT n={} ", after + 2), "\0")?;
    let outcome = end(talk, 1)?;
    outcome.expect_no_line("again", "FAIL")?;
    outcome.expect_line("again", &["END ", "failed=0"])?;
    outcome.expect_status(0)?;
    super::shares(&outcome, config, plan)?;
    if lives(&outcome, "again")? <= LIVES {
        return Err(outcome.failure("each life looks at its memory"));
    }
    Ok(())
}

/// More VMs than there are VMIDs, where these have eight bits: those that have none are refused,
/// the others run. And a hundred lives of one.
fn crowd(plan: &Plan, config: Config) -> Verdict {
    // Once for each CPU model.
    if config.profile != Profile::Release {
        return Ok(());
    }
    const VMS: usize = 258;
    let mut case = machine(config, plan).memory("2G").timeout(180);
    for n in 0..VMS {
        let vm = Vm::new(&format!("v{n}")).kernel("hostile").memory(4);
        case = case.vm(vm.bootargs("family=34 auto"));
    }
    let outcome = case.run()?;
    // VM n has VMID n + 1; Cortex-A72 has 255 of them besides 0.
    let room = if config.cpu == Cpu::Max { VMS } else { 255 };
    for n in 0..VMS {
        let name = format!("v{n}");
        if n < room {
            lives(&outcome, &name)?;
            outcome.expect_line(&name, &["END ", "failed=0"])?;
        } else {
            outcome.expect_line("mezzanine", &[&format!("ERROR: {name}: no VMID is left")])?;
            outcome.expect_no_line(&name, "")?;
        }
    }
    outcome.expect_status(i32::from(room < VMS))?;
    let offender = Vm::new("again").kernel("hostile").memory(4).bootargs("family=34");
    let mut talk = machine(config, plan).vm(offender).vm(victim()).start()?;
    for _ in 0..100 {
        talk.expect("[again] ZEROS ")?;
        talk.say("r")?;
    }
    talk.expect("[again] ZEROS ")?;
    talk.say("a")?;
    talk.expect("[again] END ")?;
    talk.say("o")?;
    talk.expect("INFO: again: off")?;
    let outcome = end(talk, 1)?;
    outcome.expect_pass("again", 2)?;
    super::zeros(&outcome, "again", 101)?;
    let names = ["vmids.crowd", "vmids.hundred-lives"].map(str::to_owned);
    super::table::variants(plan.number, names.into_iter());
    Ok(())
}

/// Whatever a guest says stands behind its own name.
fn nothing_forged(outcome: &Outcome, _: Config) -> Verdict {
    let behind = |text: &str| text.starts_with("[offender] ");
    let rows = outcome.raw.split(['\r', '\n', '\u{b}', '\u{c}', '\u{85}']);
    if let Some(row) = rows.filter(|row| row.contains("FORGED")).find(|row| !behind(row)) {
        return Err(outcome.failure(format!("a line of its own: {row:?}")));
    }
    if !outcome.raw.contains("FORGED by backspaces") {
        return Err(outcome.failure("what was forged is to be seen"));
    }
    for control in ['\u{1b}', '\u{8}', '\u{7}', '\u{0}', '\u{e}', '\u{9b}'] {
        if outcome.lines("offender").any(|line| line.contains(control)) {
            return Err(outcome.failure(format!("{control:?} passed on")));
        }
    }
    Ok(())
}
