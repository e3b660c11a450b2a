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
    let others = [rewrite.smp(&[2]), rom, touch, together.smp(&[2, 4])];
    PROBES.into_iter().map(test).chain(others).collect()
}
