//! Calls beside PSCI's: what a guest learns of the CPU, random numbers, stolen time.

use std::collections::BTreeSet;

use crate::harness::{Case, Config, Cpu, Profile, Test, Verdict, Vm};

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("calls/smccc", smccc),
        Test::new("calls/stolen-time", stolen_time).smp(&[1]),
        Test::new("calls/reset-race", reset_race).smp(&[2, 4]).profile(Profile::Release),
    ]
}

/// One VM alone, on a machine whose tree has a seed, and on one whose tree has none: there only
/// the CPU itself can help out.
fn smccc(config: Config) -> Verdict {
    let vm = |words| Vm::new("p").kernel("smccc").bootargs(words);
    let outcome = Case::new(config).vm(vm("random ms=10")).run()?;
    outcome.expect_pass("p", 37)?;
    outcome.expect_status(0)?;

    let words = if config.cpu == Cpu::Max { "random ms=10" } else { "ms=10" };
    let outcome = Case::new(config).vm(vm(words)).counting_instructions().run()?;
    outcome.expect_pass("p", 20)?;
    outcome.expect_status(0)
}

/// Two that compute share a pCPU: each misses half of the time, and is told so.
fn stolen_time(config: Config) -> Verdict {
    let vm = |name| Vm::new(name).kernel("smccc");
    let words = if config.cpu == Cpu::Max { "random exact ms=400" } else { "exact ms=400" };
    let case = Case::new(config).vm(vm("one").bootargs(words)).vm(vm("two").bootargs(words));
    let outcome = case.counting_instructions().run()?;
    for name in ["one", "two"] {
        outcome.expect_pass(name, 20)?;
        let stolen = outcome.number(name, "INFO", "stolen")?;
        if stolen < 100_000_000 {
            return Err(outcome.failure(format!("[{name}] {stolen} ns stolen of 400 ms")));
        }
    }
    outcome.expect_status(0)
}

/// A reset while CPU_ON is under way leaves no vCPU behind that nobody stops; and each start has
/// seeds of its own, as has each VM.
fn reset_race(config: Config) -> Verdict {
    let vm = |name| {
        let vm = Vm::new(name).kernel("reboot").cpus(3).memory(8);
        vm.bootargs("clean race until=1000000000")
    };
    let mut talk = Case::new(config).vm(vm("one")).vm(vm("two")).start()?;
    for _ in 0..30 {
        talk.expect("BOOT cntpct_ms=")?;
    }
    // Each of the two is in the middle of a life, the seed of which it may not have told yet.
    let outcome = talk.stop();
    let mut seeds = BTreeSet::new();
    let mut boots = 0;
    for name in ["one", "two"] {
        outcome.expect_no_line(name, "FAIL")?;
        seeds.extend(outcome.lines(name).filter_map(|line| line.strip_prefix("SEED ")));
        boots += outcome.lines(name).filter(|line| line.starts_with("BOOT")).count();
    }
    if boots < 30 || !(boots - 2..=boots).contains(&seeds.len()) {
        return Err(outcome.failure(format!("{boots} boots, {} seeds", seeds.len())));
    }
    Ok(())
}
