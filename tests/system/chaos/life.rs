//! One boot: the life of the VM with the streams, and the judgement on the machine.

use super::Plan;
use crate::harness::{Case, Config, Failure, Outcome, Profile, Talk, Verdict, Vm};
use hostile::chaos::MEMORY_MIB;
use std::time::{Duration, Instant};

/// What moves the keyboard, before a digit or `?`.
const ESCAPE: &str = "\u{1d}";
/// So many beats of the victim without a word of the supervisor's.
const SILENCE: u64 = 40;
/// Units that the victim has to check, to have looked at all of its memory twice.
const WHOLE: u64 = 1024;
/// vCPUs of the VM with the streams.
const VCPUS: u32 = 8;
/// Seconds that a boot may take: a debug build on a busy machine is slow.
const SECONDS: u64 = 240;
/// Seconds in which nobody says anything: the victim has a line for each tenth of its time.
const QUIET: u64 = 60;

/// How the life of the VM ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// All streams have run.
    Done,
    /// Too many vCPUs were lost, and it was reset by its supervisor.
    Lost,
    /// A stream reset it.
    Reset,
    /// A stream switched it off.
    Off,
    /// The hypervisor stopped it, and said why.
    Stopped(String),
    /// Its supervisor says nothing any more.
    Silent,
}

/// What came of a boot.
#[derive(Debug)]
pub struct Life {
    /// How it ended.
    pub end: End,
    /// The first stream that was not begun.
    pub next: u64,
    /// The supervisor's last numbers, by their names.
    pub sums: Vec<(String, u64)>,
    /// Exceptions that the streams took, by class.
    pub classes: Vec<(u64, u64)>,
}

/// Boots, runs streams, judges.
pub fn run(plan: &Plan, first: u64, count: u64) -> Result<Life, Failure> {
    let mut begun = first;
    let life = live(plan, first, count, &mut begun);
    life.map_err(|failure| {
        let boot = plan.command(first, (begun + 1).saturating_sub(first).max(1));
        let alone = plan.command(begun, 1);
        Failure::new(format!(
            "seed {}, at stream {begun} of a boot from {first} on\n\
             again:            {boot}\nthe stream alone: {alone}\n{failure}",
            plan.seed
        ))
    })
}

fn machine(config: Config) -> Case {
    let case = Case::new(config).timeout(SECONDS);
    if config.smp == 1 { case.counting_instructions() } else { case }
}

fn live(plan: &Plan, first: u64, count: u64, begun: &mut u64) -> Result<Life, Failure> {
    let workers = plan.config.smp.min(2);
    let mut words = format!("seed={} first={first} count={count} workers={workers}", plan.seed);
    if plan.wild() {
        words.push_str(" wild patience=8");
    }
    let chaos = Vm::new("chaos").kernel("chaos").cpus(VCPUS).memory(MEMORY_MIB).bootargs(&words);
    let victim = Vm::new("victim").kernel("victim").bootargs("seed=7");
    let mut talk = machine(plan.config).vm(chaos).vm(victim).start()?;
    let (mut said, mut since) = (0, Instant::now());
    let (end, heard) = loop {
        let heard = talk.listen(Duration::from_millis(100));
        if heard.raw.len() != said {
            (said, since) = (heard.raw.len(), Instant::now());
        }
        *begun = last_begun(&heard).unwrap_or(first);
        sound(&heard)?;
        if talk.is_late() || since.elapsed().as_secs() > QUIET {
            return Err(heard.failure("no end in sight: the machine hangs"));
        }
        if let Some(end) = ended(&heard, 0) {
            break (end, heard);
        }
    };
    let mut after = end.clone();
    let life = Life {
        next: last_begun(&heard).map_or(first, |number| number + 1),
        sums: sums(&heard),
        classes: classes(&heard),
        end,
    };
    let outcome = close(talk, &mut after)?;
    judge(&outcome, &after)?;
    // A slice is longer in a debug build.
    if plan.config.smp == 1 && plan.config.profile == Profile::Release {
        punctual(&outcome)?;
    }
    Ok(life)
}

/// No tick was later than all the others' slices together.
fn punctual(outcome: &Outcome) -> Verdict {
    let (late, most) = (outcome.number("victim", "BEAT", "late")?, 30_000 * u64::from(VCPUS));
    if late <= most {
        return Ok(());
    }
    Err(outcome.failure(format!("a tick was {late} us late, of {most} at most")))
}

/// The last stream that was begun.
fn last_begun(heard: &Outcome) -> Option<u64> {
    // A stream may have written to the UART before it.
    let number = |line: &str| line.rsplit_once("S#")?.1.parse::<u64>().ok();
    heard.lines("chaos").filter_map(number).max()
}

/// Lines that have come to their end.
fn finished(heard: &Outcome) -> impl Iterator<Item = &str> {
    let count = heard.all_lines().count();
    heard.all_lines().take(count.saturating_sub(1))
}

/// What must never be said.
pub fn sound(heard: &Outcome) -> Verdict {
    let bad = |line: &&str| {
        let own = line.strip_prefix("[mezzanine] ").unwrap_or(line);
        line.contains("at EL2 itself")
            || own.starts_with("ERROR: panic")
            || own.starts_with("ERROR: ") && !own.starts_with("ERROR: chaos")
            || own.starts_with("machine off")
            || line.starts_with("[victim] FAIL")
    };
    match finished(heard).find(bad) {
        Some(line) => Err(heard.failure(format!("`{line}`"))),
        None => Ok(()),
    }
}

/// How life number `life`, from 0 on, has ended, if it has.
fn ended(heard: &Outcome, life: usize) -> Option<End> {
    let lines: Vec<&str> = finished(heard).collect();
    let said = |word: &str| lines.iter().any(|line| line.strip_prefix("[chaos] ") == Some(word));
    let hypervisor = |start: &str| {
        let mut own = lines.iter().filter_map(|line| line.strip_prefix("[mezzanine] "));
        own.find(|line| line.starts_with(start))
    };
    let resets = lines.iter().filter(|line| **line == "[mezzanine] INFO: chaos: reset").count();
    if let Some(line) = hypervisor("ERROR: chaos") {
        return Some(End::Stopped(line.to_owned()));
    }
    if hypervisor("INFO: chaos: off").is_some() {
        return Some(if said("DONE") { End::Done } else { End::Off });
    }
    if resets > life {
        return Some(if said("RESET") { End::Lost } else { End::Reset });
    }
    let last = lines.iter().rposition(|line| line.starts_with("[chaos] "))?;
    let beats = lines[last..].iter().filter(|line| line.starts_with("[victim] BEAT ")).count();
    (beats as u64 >= SILENCE).then_some(End::Silent)
}

/// The victim goes on, the VM that came back is switched off, the hypervisor answers, the victim
/// ends.
fn close(mut talk: Talk, end: &mut End) -> Result<Outcome, Failure> {
    // It has looked at all of its memory twice, and goes on.
    let before = units(&talk.so_far());
    loop {
        let heard = talk.listen(Duration::from_millis(50));
        sound(&heard)?;
        if talk.is_late() {
            return Err(heard.failure("the victim does not go on"));
        }
        if units(&heard) > before.max(WHOLE) + 100 {
            break;
        }
    }
    if matches!(end, End::Lost | End::Reset) {
        // It comes back like new, asks nobody, and begins again.
        talk.expect("INFO: chaos: reset")?;
        talk.expect("[chaos] CHAOS ")?;
        talk.say(&format!("{ESCAPE}0o"))?;
        // A second life may end in any of the ways that the first may.
        *end = loop {
            let heard = talk.listen(Duration::from_millis(100));
            sound(&heard)?;
            if talk.is_late() {
                return Err(heard.failure("its second life has no end"));
            }
            match ended(&heard, 1) {
                Some(End::Lost | End::Reset) => break End::Silent,
                Some(end) => break end,
                None => {}
            }
        };
    }
    talk.say(&format!("{ESCAPE}?"))?;
    talk.expect("console: VM 1 victim")?;
    talk.say(&format!("{ESCAPE}1q"))?;
    talk.expect("INFO: victim: off")?;
    match end {
        End::Silent => Ok(talk.so_far()),
        _ => talk.finish(),
    }
}

/// Units of its memory that the victim says it has checked.
fn units(heard: &Outcome) -> u64 {
    let field = |line: &str| {
        let number = line.split_once("units=")?.1.split_whitespace().next()?;
        number.parse::<u64>().ok()
    };
    heard.lines("victim").filter(|line| line.starts_with("BEAT ")).filter_map(field).sum()
}

/// The victim was not touched and lost no tick, and the machine's last line says what came of all.
pub fn judge(outcome: &Outcome, end: &End) -> Verdict {
    outcome.expect_pass("victim", 4)?;
    match end {
        End::Silent => Ok(()),
        End::Stopped(_) => outcome.expect_status(1),
        _ => outcome.expect_status(0),
    }
}

/// The numbers of the last `SUM`.
fn sums(heard: &Outcome) -> Vec<(String, u64)> {
    let line = heard.lines("chaos").filter(|line| line.starts_with("SUM ")).last().unwrap_or("");
    let field = |word: &str| {
        let (name, number) = word.split_once('=')?;
        Some((name.to_owned(), number.parse().ok()?))
    };
    line.split_whitespace().filter_map(field).collect()
}

/// Those of the last `CLASSES`.
fn classes(heard: &Outcome) -> Vec<(u64, u64)> {
    let lines = heard.lines("chaos").filter(|line| line.starts_with("CLASSES "));
    let field = |word: &str| {
        let (class, number) = word.strip_prefix("0x")?.split_once('=')?;
        Some((u64::from_str_radix(class, 16).ok()?, number.parse().ok()?))
    };
    lines.last().unwrap_or("").split_whitespace().filter_map(field).collect()
}

/// The judgement is one: a victim with a word of its memory changed, and one that heard a foreign
/// interrupt, are noticed. (One without its tick sleeps for ever, and says nothing more.)
pub fn notices(config: Config) -> Verdict {
    for (what, check) in
        [("memory", "FAIL victim.memory"), ("interrupt", "FAIL victim.interrupts-not-asked-for")]
    {
        let victim = Vm::new("victim").kernel("victim").bootargs(&format!("seed=7 spoil={what}"));
        let other = Vm::new("chaos").kernel("chaos").cpus(2).bootargs("count=1");
        let mut talk = machine(config).vm(other).vm(victim).start()?;
        talk.said("[victim] BEAT n=6 ", "\0")?;
        talk.said("INFO: chaos: off", "\0")?;
        talk.say(&format!("{ESCAPE}1q"))?;
        let outcome = talk.finish()?;
        outcome.expect_line("victim", &[check])?;
        if judge(&outcome, &End::Done).is_ok() || sound(&outcome).is_ok() {
            return Err(outcome.failure(format!("a victim with a spoilt {what} passed")));
        }
    }
    Ok(())
}
