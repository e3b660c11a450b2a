//! Every kind of exit, each by a guest of its own that checks what it gets.

use crate::harness::{Case, Test, Vm};
use crate::probes::{PROBES, Probe};

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
    // The two race only on two pCPUs.
    PROBES.into_iter().map(test).chain([rewrite.smp(&[2]), rom]).collect()
}
