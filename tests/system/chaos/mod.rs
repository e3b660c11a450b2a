//! Random guests: instruction streams by seed and number (guest/hostile, `chaos`) in a VM beside the
//! victim, and what is asserted of each boot.
//!
//! A boot runs streams until all asked for have run, or until one ends the VM's life: by its own
//! call, by being stopped with a line, by losing too many vCPUs, or by silencing its own supervisor.
//! The next boot goes on behind it. Whatever came of the VM, the hypervisor answers, and the victim
//! ends with all its ticks and nothing touched. On one pCPU virtual time is counted by instructions,
//! so a boot with the same first stream does the same again.

mod life;
mod totals;

use crate::harness::{Config, Cpu, Failure, Profile, Test};
use mezzanine_tools::{build, var};
use std::{process::ExitCode, time::Instant};
use totals::Totals;

/// Streams of one boot: as many as make the start-up small.
const BOOT: u64 = 125;

/// Streams that have found something of the hypervisor's, by seed and number, each with what: they
/// stay good. (Who changes the generator changes what the numbers mean, and looks for them anew.)
const CASES: [(u64, u64, &str); 0] = [];

/// What is to be run.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    config: Config,
    seed: u64,
    from: u64,
    count: u64,
}

impl Plan {
    /// Whether some streams are wild: not where time is counted by instructions.
    fn wild(&self) -> bool {
        self.config.smp != 1
    }

    /// The command that runs these streams again.
    fn command(&self, from: u64, count: u64) -> String {
        let Config { cpu, smp, profile } = self.config;
        let cpu = cpu.model().split(',').next().unwrap_or_default();
        let profile = if profile == Profile::Debug { "dev" } else { "release" };
        let seed = self.seed;
        format!(
            "make chaos SEED={seed} FROM={from} N={count} CPU={cpu} SMP={smp} PROFILE={profile}"
        )
    }
}

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let streams = |config: Config| {
        // Numbers that no other machine runs.
        let machine =
            u64::from(config.smp) << 32 | u64::from(config.profile == Profile::Debug) << 40;
        run(Plan { config, seed: 1, from: machine, count: 300 }, |_| {}).map(drop)
    };
    let cases = |config: Config| {
        for (seed, stream, found) in CASES {
            let plan = Plan { config, seed, from: stream, count: 1 };
            run(plan, |_| {})
                .map_err(|failure| Failure::new(format!("{found}, again: {failure}")))?;
        }
        Ok(())
    };
    let mut tests = vec![
        Test::new("chaos/streams", streams).cpu(Cpu::A72).smp(&[1]).profile(Profile::Release),
        Test::new("chaos/streams", streams).cpu(Cpu::Max).smp(&[2]).profile(Profile::Debug),
        Test::new("chaos/a-spoilt-victim-is-noticed", life::notices).smp(&[1]).cpu(Cpu::A72),
    ];
    if !CASES.is_empty() {
        tests.push(Test::new("chaos/cases", cases).smp(&[1, 2]));
    }
    tests
}

/// Runs them all, boot by boot; tells how far it is after each.
fn run(plan: Plan, mut tell: impl FnMut(&Totals)) -> Result<Totals, Failure> {
    let mut totals = Totals::default();
    let end = plan.from + plan.count;
    let mut next = plan.from;
    while next < end {
        let count = BOOT.min(end - next);
        let life = life::run(&plan, next, count)?;
        if life.next <= next {
            return Err(Failure::new(format!(
                "no stream was begun: {}",
                plan.command(next, count)
            )));
        }
        totals.add(&life, &plan, next..life.next);
        next = life.next;
        tell(&totals);
    }
    Ok(totals)
}

/// `make chaos`: what the environment asks for, with a line now and then and a table at the end.
pub fn main() -> ExitCode {
    let plan = match plan() {
        Ok(plan) => plan,
        Err(why) => {
            println!("{why}");
            return ExitCode::FAILURE;
        }
    };
    if let Err(error) = build::guests().and_then(|_| build::hypervisor(plan.config.profile)) {
        println!("{error}");
        return ExitCode::FAILURE;
    }
    let start = Instant::now();
    println!("{} streams from {} on, seed {}: {}", plan.count, plan.from, plan.seed, plan.config);
    let mut told = Instant::now();
    let verdict = run(plan, |totals| {
        if told.elapsed().as_secs() >= 5 {
            told = Instant::now();
            println!("{totals:#} ({} s)", start.elapsed().as_secs());
        }
    });
    match verdict {
        Ok(totals) => {
            println!("\n{totals}\nchaos: ok, {} s", start.elapsed().as_secs());
            ExitCode::SUCCESS
        }
        Err(failure) => {
            println!("\n{failure}\nchaos: FAILED");
            ExitCode::FAILURE
        }
    }
}

/// SEED, FROM, N, CPU, SMP, PROFILE.
fn plan() -> Result<Plan, String> {
    let number = |name: &str, default: u64| match var(name) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| format!("{name}={text}: a number was wanted")),
    };
    let model = var("CPU").unwrap_or_else(|| Cpu::A72.model().into());
    let cpus = [Cpu::A53, Cpu::A57, Cpu::A72, Cpu::A76, Cpu::N1, Cpu::Max];
    let name = |cpu: &Cpu| cpu.model().split(',').next() == model.split(',').next();
    let cpu = cpus.into_iter().find(name);
    let config = Config {
        cpu: cpu.ok_or_else(|| format!("CPU={model}: a model of the tests was wanted"))?,
        smp: number("SMP", 1)? as u32,
        profile: Profile::from_env().map_err(|error| error.to_string())?,
    };
    let (seed, from, count) = (number("SEED", 1)?, number("FROM", 0)?, number("N", 1000)?);
    Ok(Plan { config, seed, from, count })
}
