//! Hostile guests: each family of attacks beside a victim, and what is asserted each time.
//!
//! The victim's patterns are as they were and its ticks all there, and it had its share of the CPU;
//! the offender got what the architecture says, or was stopped alone with a decoded line; the
//! hypervisor answers; and a VM that starts in the offender's memory finds it zero: itself after its
//! reset, and another after its end. Where a bare board is the reference, the offender sees the same
//! on it.
//!
//! On one pCPU virtual time is counted by instructions, so that shares are exact; on two the CPUs
//! really run at the same time, and only what can't depend on the host is asserted.

mod bare;
mod forms;
mod later;
mod plans;
pub mod table;

use crate::harness::{Case, Config, Failure, Outcome, Profile, Talk, Test, Verdict, Vm};
use hostile::table::{FAMILIES, Family};
use plans::Plan;

/// What moves the keyboard, before a digit or `?`.
const ESCAPE: &str = "\u{1d}";

/// The tests of this area: one a family that there is a plan for.
pub fn tests() -> Vec<Test> {
    let planned = FAMILIES.iter().filter_map(|family| Some((family, plans::find(family.number)?)));
    let test = |(family, plan): (&'static Family, &'static Plan)| {
        Test::new(format!("hostile/{:02}-{}", family.number, family.name), move |config| {
            let verdict = attack(family, plan, config);
            table::machine(family.number, verdict.is_ok());
            verdict
        })
        .smp(&[1, 2])
    };
    planned.map(test).collect()
}

fn attack(family: &Family, plan: &Plan, config: Config) -> Verdict {
    let here = beside_victim(family, plan, config)?;
    if !plan.dooms.is_empty() {
        doom(family, plan, config)?;
    }
    if let Some(more) = plan.more {
        more(plan, config)?;
    }
    // Once for each CPU model.
    if config.profile == Profile::Release {
        bare::compare(family, plan, config, &here)?;
    }
    Ok(())
}

/// The machine, with its clock as the number of pCPUs wants it.
fn machine(config: Config, plan: &Plan) -> Case {
    let case = Case::new(config);
    if config.smp == 1 && plan.counted { case.counting_instructions() } else { case }
}

/// The offender's boot arguments. `counted`: what takes no time on this host takes none there.
fn words(family: &Family, plan: &Plan, config: Config) -> String {
    let counted = if config.smp == 1 && plan.counted { "counted" } else { "" };
    format!("family={} {counted} {}", family.number, plan.words)
}

fn victim() -> Vm {
    Vm::new("victim").kernel("victim").bootargs("seed=7")
}

/// Comes when others are gone.
fn successor() -> Vm {
    Vm::new("successor").kernel("hostile").no_autostart()
}

/// The operator starts the successor (VM `number`), which looks at its memory.
fn succeed(talk: &mut Talk, number: usize) -> Verdict {
    talk.say(&format!("{ESCAPE}{number}{ESCAPE}s"))?;
    talk.expect("INFO: successor: starts")?;
    talk.expect("[successor] ZEROS ")?;
    talk.say("o")?;
    talk.expect("INFO: successor: off")
}

/// Its memory was one of theirs, and it found it zero.
fn inherits(outcome: &Outcome, from: &[&str]) -> Verdict {
    let memory = |name: &str| -> Vec<(u64, u64)> {
        let head = format!("DEBUG: {name}: ");
        let runs = outcome.lines("mezzanine").filter_map(|line| line.strip_prefix(&head));
        let run = |line: &str| {
            let (mib, pa) = line.split_once(" MiB at 0x")?;
            let start = u64::from_str_radix(pa, 16).ok()?;
            Some((start, start + (mib.parse::<u64>().ok()? << 20)))
        };
        runs.filter_map(run).collect()
    };
    let (own, theirs) = (memory("successor"), from.iter().flat_map(|name| memory(name)));
    let mut theirs: Vec<_> = theirs.collect();
    theirs.sort_unstable();
    theirs.dedup_by(|next, last| {
        let joined = next.0 == last.1;
        last.1 = if joined { next.1 } else { last.1 };
        joined
    });
    let within = |(start, end): &(u64, u64)| theirs.iter().any(|(s, e)| s <= start && end <= e);
    if own.is_empty() || !own.iter().all(within) {
        let why = format!("the successor is at {own:x?}, those before it were at {theirs:x?}");
        return Err(outcome.failure(why));
    }
    zeros(outcome, "successor", 1)
}

/// The offender attacks, fills its memory and resets itself, and is switched off.
fn beside_victim(family: &Family, plan: &Plan, config: Config) -> Result<Outcome, Failure> {
    let offender = Vm::new("offender").kernel("hostile").cpus(plan.vcpus);
    let offender = offender.bootargs(&words(family, plan, config));
    let case = machine(config, plan).vm(offender).vm(victim()).vm(successor());
    let mut talk = case.append("log=debug").start()?;
    const STOPPED: &str = "ERROR: offender";
    talk.expect("[offender] ZEROS ")?;
    talk.said("[victim] BEAT n=1 ", STOPPED)?;
    talk.say("a")?;
    talk.said("[offender] END ", STOPPED)?;
    let after = last_beat(&talk)?;
    talk.said(&format!("[victim] BEAT n={} ", after + 2), STOPPED)?;
    talk.say("r")?;
    talk.expect("[offender] ZEROS ")?;
    talk.say("o")?;
    talk.expect("INFO: offender: off")?;
    succeed(&mut talk, 2)?;
    let outcome = end(talk, 1)?;
    inherits(&outcome, &["offender"])?;
    let tried = bare::variants(&outcome, "offender");
    outcome.expect_no_line("offender", "FAIL")?;
    if outcome.number("offender", "END", "failed")? != 0 || tried.len() < plan.variants {
        let (tried, wanted) = (tried.len(), plan.variants);
        return Err(outcome.failure(format!("{tried} variants tried, {wanted} wanted")));
    }
    zeros(&outcome, "offender", 2)?;
    outcome.expect_status(0)?;
    shares(&outcome, config, plan)?;
    table::variants(family.number, tried.into_keys());
    if let Some(judge) = plan.judge {
        judge(&outcome, config)?;
    }
    Ok(outcome)
}

/// What ends a VM: one VM for each, all at the same time.
fn doom(family: &Family, plan: &Plan, config: Config) -> Verdict {
    let mut case = machine(config, plan);
    for (variant, _) in plan.dooms {
        let vm = Vm::new(variant).kernel("hostile").cpus(plan.vcpus).memory(8);
        let words = words(family, plan, config);
        case = case.vm(vm.bootargs(&format!("{words} variant={variant} auto")));
    }
    // As large as theirs together, so that no other place fits better.
    let case = case.vm(victim()).vm(successor().memory(8 * plan.dooms.len() as u32));
    let mut talk = case.append("log=debug").start()?;
    talk.said("[victim] BEAT n=1 ", "\0")?;
    for (variant, line) in plan.dooms {
        for part in *line {
            talk.said(part, &format!("[{variant}] END "))?;
        }
    }
    talk.said("[victim] BEAT n=1 ", "\0")?;
    let after = last_beat(&talk)?;
    talk.said(&format!("[victim] BEAT n={} ", after + 2), "\0")?;
    for (variant, _) in plan.dooms {
        talk.said(&format!("DEBUG: {variant}: its memory is given back"), "\0")?;
    }
    succeed(&mut talk, plan.dooms.len() + 1)?;
    let outcome = end(talk, plan.dooms.len())?;
    inherits(&outcome, &plan.dooms.iter().map(|(variant, _)| *variant).collect::<Vec<_>>())?;
    for (variant, line) in plan.dooms {
        let mut parts = vec![*variant];
        parts.extend(*line);
        outcome.expect_line("mezzanine", &parts)?;
        outcome.expect_line(variant, &[&format!("DOOM {}.{variant}", family.name)])?;
        outcome.expect_no_line(variant, "FAIL")?;
        zeros(&outcome, variant, 1)?;
        let said = outcome.lines("mezzanine").find(|text| parts.iter().all(|p| text.contains(p)));
        table::doom(family.number, format!("{}.{variant}", family.name), said.unwrap_or(""));
    }
    let stopped =
        plan.dooms.iter().any(|(_, line)| line.iter().any(|part| part.contains("stopped")));
    outcome.expect_status(i32::from(stopped))
}

/// The hypervisor answers, the victim (VM `number`) ends and was not touched.
fn end(mut talk: Talk, number: usize) -> Result<Outcome, Failure> {
    talk.say(&format!("{ESCAPE}?"))?;
    talk.expect(&format!("console: VM {number} victim"))?;
    talk.say(&format!("{ESCAPE}{number}q"))?;
    let outcome = talk.finish()?;
    outcome.expect_pass("victim", 4)?;
    Ok(outcome)
}

/// The number of the victim's last `BEAT`.
fn last_beat(talk: &Talk) -> Result<u64, Failure> {
    talk.so_far().number("victim", "BEAT", "n")
}

/// Each life of a VM found its memory zero.
fn zeros(outcome: &Outcome, name: &str, lives: usize) -> Verdict {
    let found: Vec<&str> =
        outcome.lines(name).filter(|line| line.starts_with("ZEROS checked=")).collect();
    let clean = |line: &&str| line.contains(" nonzero=0 ") && !line.contains("checked=0 ");
    if found.len() == lives && found.iter().all(clean) {
        return Ok(());
    }
    Err(outcome.failure(format!("[{name}] {lives} lives in zeros wanted: {found:?}")))
}

/// On one pCPU the victim had its share in each tenth of a second, whatever the others did, and no
/// tick was later than a slice of each of them. (In a debug build what EL2 does at a stretch takes
/// tens of milliseconds.)
fn shares(outcome: &Outcome, config: Config, plan: &Plan) -> Verdict {
    let vcpus = plan.vcpus;
    if config.smp != 1 || !plan.counted || config.profile == Profile::Debug {
        return Ok(());
    }
    // The job that makes a VM's memory anew has slices as well.
    let others = u64::from(vcpus) + 1;
    let (fair, late) = (1000 / others, 20_000 * others);
    for line in outcome.lines("victim").filter(|line| line.starts_with("BEAT ")) {
        let number = |key| {
            let field = line.split_whitespace().find_map(|word| word.strip_prefix(key));
            field.and_then(|number| number.parse::<u64>().ok()).unwrap_or(0)
        };
        // The first has the start of the neighbours in it.
        if number("n=") > 1 && number("share=") < fair * 7 / 10 || number("late=") > late {
            let wanted = format!("a share of {fair} and {late} us wanted");
            return Err(outcome.failure(format!("{wanted}: {line}")));
        }
    }
    Ok(())
}
