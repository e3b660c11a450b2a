//! Every kind of exit, each by a guest of its own that checks what it gets.

use crate::harness::{Case, Config, Failure, Test, Verdict, Vm};
use crate::probes::{PROBES, Probe};

/// A thousand calls more are counted as a thousand calls more, and the sum is that of the kinds.
fn counted(config: Config) -> Verdict {
    let calls = |times: u64| -> Result<u64, Failure> {
        let vm = Vm::new("p").kernel("bench").bootargs(&format!("only=hvc-version n={times}"));
        let case = Case::new(config).vm(vm).append("log=debug").counting_instructions();
        let outcome = case.run()?;
        outcome.expect_status(0)?;
        let start = "DEBUG: p vCPU 0: ";
        let lines = outcome.lines("mezzanine").filter_map(|line| line.strip_prefix(start));
        let (all, kinds) = lines
            .filter_map(|line| line.split_once(" exits: "))
            .last()
            .ok_or_else(|| outcome.failure("no line counts the exits"))?;
        let number = |text: &str| text.split(' ').next()?.parse::<u64>().ok();
        let sum = kinds.split(", ").filter_map(number).sum::<u64>();
        let calls = kinds.split(", ").find(|kind| kind.ends_with(" calls")).and_then(number);
        match (number(all), calls) {
            (Some(all), Some(calls)) if all == sum => Ok(calls),
            found => Err(outcome.failure(format!("{found:?} of `{all} exits: {kinds}`"))),
        }
    };
    let (once, twice) = (calls(1000)?, calls(2000)?);
    match twice.checked_sub(once) {
        Some(1000) if once >= 1000 => Ok(()),
        _ => Err(Failure::new(format!("{once} calls, then {twice}: 1000 more were made"))),
    }
}

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let test = |probe: Probe| {
        Test::new(format!("exits/{}", probe.name), move |config| {
            let case = Case::new(config).vm(Vm::new("p").kernel(probe.name).cpus(1));
            let outcome = case.counting_instructions().run()?;
            outcome.expect_pass("p", probe.checks)?;
            outcome.expect_status(0)
        })
    };
    let rewrite = Test::new("exits/rewrite", |config| {
        let outcome = Case::new(config).vm(Vm::new("p").kernel("rewrite").cpus(2)).run()?;
        outcome.expect_pass("p", 2)?;
        outcome.expect_status(0)
    });
    let rom = Test::new("exits/rom", |config| {
        let vm = Vm::new("p").kernel("rom").rom(0x0400_0000, 0x4_0000, "rom");
        let outcome = Case::new(config).vm(vm).run()?;
        outcome.expect_pass("p", 9)?;
        outcome.expect_status(0)
    });
    let touch = Test::new("exits/touch", |config| {
        let vm = Vm::new("p").kernel("touch").memory(64).rom(0x0400_0000, 0x60_0000, "rom");
        let outcome = Case::new(config).vm(vm.bootargs("rom")).run()?;
        outcome.expect_pass("p", 15)?;
        outcome.expect_status(0)
    });
    let together = Test::new("exits/touch-together", |config| {
        let vm = Vm::new("p").kernel("touch").memory(64).cpus(2);
        let outcome = Case::new(config).vm(vm).run()?;
        outcome.expect_pass("p", 15)?;
        outcome.expect_status(0)
    });
    // The two race only on two pCPUs.
    let others =
        [rewrite.smp(&[2]), rom, touch, together.smp(&[2, 4]), Test::new("exits/counted", counted)];
    PROBES.into_iter().map(test).chain(others).collect()
}
