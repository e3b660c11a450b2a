//! A VM that is paused: it does nothing, its time stands still, and others go on.
//!
//! What is compared are counts that guests have read of the physical counter, which all share and
//! nobody stops. Where a read is known to have come before the pause, or within it, by the order of
//! what the console says, it bounds the pause from one side; so nothing depends on how fast anything
//! is.

use crate::harness::{Case, Config, Cpu, Failure, Outcome, Profile, Talk, Test, Verdict, Vm};

/// Pauses the VM that has the keyboard, or lets it go on.
const PAUSE: &str = "\u{1d}p";
/// How the neighbour's lines start.
const TICK: &str = "[n] TICK ";

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("paused/spinning", |config| paused(config, "")).smp(&[1, 2]),
        Test::new("paused/asleep", |config| paused(config, "wfi")).smp(&[1, 2]),
        Test::new("paused/off-and-on", |config| paused(config, "cycle")).smp(&[1, 2]),
        Test::new("paused/again-and-again", again_and_again).smp(&[2]),
        Test::new("paused/refused", refused).smp(&[1]).cpu(Cpu::A72),
        Test::new("paused/linux", linux).smp(&[2]).cpu(Cpu::A72).profile(Profile::Release).long(),
    ]
}

/// A probe that looks at its counters, with the keyboard, and a neighbour that goes on.
pub fn case(config: Config, words: &str) -> Case {
    let probe = |name| Vm::new(name).kernel("paused");
    let case = Case::new(config).attended().vm(probe("p").cpus(2).bootargs(words));
    case.vm(probe("n").bootargs("wfi"))
}

/// Ends both.
pub fn finish(mut talk: Talk) -> Result<Outcome, Failure> {
    talk.say("q")?;
    talk.expect("INFO: p: off")?;
    talk.say("\u{1d}1q")?;
    let outcome = talk.finish()?;
    outcome.expect_pass("p", 6)?;
    outcome.expect_pass("n", 4)?;
    // The neighbour's time is the machine's, as ever.
    if outcome.number("n", "PAUSED", "low")? != 0 {
        return Err(outcome.failure("the neighbour's time stood still, too"));
    }
    outcome.expect_status(0)?;
    Ok(outcome)
}

fn paused(config: Config, words: &str) -> Verdict {
    let talk = case(config, words).start()?;
    stands_still(talk, |talk| talk.say(PAUSE), |talk| talk.say(PAUSE))
}

/// The probe's time stands still from when `stop` has it paused until `go` lets it go on.
pub fn stands_still(
    mut talk: Talk,
    stop: impl FnOnce(&mut Talk) -> Verdict,
    go: impl FnOnce(&mut Talk) -> Verdict,
) -> Verdict {
    talk.expect("[p] TICK n=2 ")?;
    talk.expect("[n] TICK n=9 ")?;
    stop(&mut talk)?;
    talk.expect("INFO: p: paused")?;
    talk.say("k")?;
    for _ in 0..12 {
        talk.expect(TICK)?;
    }
    go(&mut talk)?;
    talk.expect("INFO: p: resumed")?;
    talk.expect("[p] KEY k")?;
    for _ in 0..3 {
        talk.expect(TICK)?;
    }
    let outcome = finish(talk)?;

    let lines: Vec<&str> = outcome.all_lines().collect();
    let said = |what: &str| {
        let line = format!("[mezzanine] INFO: p: {what}");
        lines.iter().position(|said| *said == line).ok_or_else(|| outcome.failure(line))
    };
    let (before, rest) = lines.split_at(said("paused")?);
    let (within, after) = rest.split_at(said("resumed")? - before.len());
    if let Some(line) = within.iter().find(|line| line.starts_with("[p]")) {
        return Err(outcome.failure(format!("it was paused, and said `{line}`")));
    }
    let count = |lines: &[&str], nth: usize| {
        let mut ticks = lines.iter().filter_map(|line| line.strip_prefix(TICK));
        let physical = ticks.nth(nth).and_then(|tick| tick.split_once("physical="));
        let count = physical.and_then(|(_, count)| count.trim().parse::<u64>().ok());
        count.ok_or_else(|| outcome.failure(format!("no tick {nth} of the neighbour")))
    };
    // A line's count was read after the line before was out, and before the line itself was.
    let least = count(within, 11)? - count(within, 1)?;
    let most = count(after, 1)? - count(before, 9)?;
    let (low, high) =
        (outcome.number("p", "PAUSED", "low")?, outcome.number("p", "PAUSED", "high")?);
    if high < least || low > most {
        let why = format!("its time stood still for {low} to {high}, wanted {least} to {most}");
        return Err(outcome.failure(why));
    }
    for cpu in ["GAP0", "GAP1"] {
        let gap = outcome.number("p", cpu, "ticks")?;
        if gap < least {
            return Err(outcome.failure(format!("{cpu} is {gap}, paused for {least}")));
        }
    }
    Ok(())
}

/// Faster than its vCPUs leave, and with keys between: nothing is lost, and time never goes back.
fn again_and_again(config: Config) -> Verdict {
    let mut talk = case(config, "cycle").start()?;
    talk.expect("[p] TICK n=5 ")?;
    for round in 0..20 {
        talk.say(&format!("{PAUSE}{PAUSE}"))?;
        talk.expect("INFO: p: resumed")?;
        if round % 4 == 0 {
            talk.say("k")?;
            talk.expect("[p] KEY k")?;
        }
    }
    talk.expect("[p] TICK ")?;
    finish(talk)?;
    Ok(())
}

/// There is nothing to pause in a VM that is off.
fn refused(config: Config) -> Verdict {
    let probe = |name| Vm::new(name).kernel("paused").bootargs("wfi");
    let mut talk = Case::new(config).attended().vm(probe("p")).vm(probe("n")).start()?;
    talk.expect("[p] TICK n=2 ")?;
    talk.say("q")?;
    talk.expect("INFO: p: off")?;
    talk.say(PAUSE)?;
    talk.expect("WARN: p: a VM that is Off(PowerOff) can't pause")?;
    talk.say("\u{1d}1q")?;
    talk.finish()?.expect_status(0)
}

/// Linux goes on as if nothing had been, though it was away for longer than its watchdogs wait.
fn linux(config: Config) -> Verdict {
    let case = Case::new(config).attended().vm(Vm::linux("linux", 2, ""));
    let mut talk = case.vm(Vm::new("n").kernel("paused").bootargs("wfi")).start()?;
    talk.expect("/ # ")?;
    talk.say(PAUSE)?;
    talk.expect("INFO: linux: paused")?;
    // Its clocksource watchdog looks every half second; RCU complains after 21, the soft lockup
    // detector after 20.
    for _ in 0..480 {
        talk.expect(TICK)?;
    }
    talk.say(PAUSE)?;
    talk.expect("INFO: linux: resumed")?;
    talk.say("sleep 1; echo $((6 * 7)) again; cat /proc/uptime\r")?;
    talk.expect("42 again")?;
    talk.say("exit\r")?;
    talk.expect("INFO: linux: off")?;
    talk.say("\u{1d}1q")?;
    let outcome = talk.finish()?;
    for complaint in ["rcu:", "clocksource:", "BUG:", "stall", "hrtimer"] {
        let lines = outcome.raw.split("INFO: linux: resumed").nth(1).unwrap_or_default();
        if lines.contains(complaint) {
            return Err(outcome.failure(format!("Linux complains: {complaint}")));
        }
    }
    outcome.expect_status(0)
}
