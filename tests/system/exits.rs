//! Every kind of exit, each by a guest of its own that checks what it gets.

use crate::harness::{Case, Test, Vm};

/// The probes of one vCPU that end by themselves, and the least number of checks each makes.
const PROBES: [(&str, u64); 1] = [("hvc", 9)];

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let test = |&(probe, checks): &(&'static str, u64)| {
        Test::new(format!("exits/{probe}"), move |config| {
            let outcome = Case::new(config)
                .vm(Vm::new("p").kernel(probe).cpus(1))
                .run()?;
            outcome.expect_pass("p", checks)?;
            outcome.expect_status(0)
        })
    };
    PROBES.iter().map(test).collect()
}
