//! The probes on plain QEMU, without the hypervisor: what they expect of a machine is what the
//! machine does, not what the hypervisor happens to do.

use crate::harness::{Case, Profile, Test};

/// Each probe, and the least number of checks it makes.
const PROBES: [(&str, u32, u64); 1] = [("hvc", 1, 9)];

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let test = |&(probe, smp, checks): &(&'static str, u32, u64)| {
        Test::without_hypervisor(format!("bare/{probe}"), move |config| {
            let outcome = Case::bare(config, probe).run()?;
            outcome.expect_pass("", checks)?;
            outcome.expect_off()
        })
        .smp(&[smp])
        .profile(Profile::Release)
    };
    PROBES.iter().map(test).collect()
}
