//! The probes on plain QEMU, without the hypervisor: what they expect of a machine is what the
//! machine does, not what the hypervisor happens to do.

use crate::harness::{Case, Profile, Test};
use crate::probes::{PROBES, Probe};

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    let test = |probe: Probe| {
        Test::without_hypervisor(format!("bare/{}", probe.name), move |config| {
            let mut case = Case::bare(config, probe.name);
            if probe.calls_firmware {
                case = case.properties(&["virtualization=on"]);
            }
            let outcome = case.counting_instructions().run()?;
            outcome.expect_pass("", probe.checks)?;
            outcome.expect_off()
        })
        .smp(&[1])
        .profile(Profile::Release)
    };
    PROBES.into_iter().map(test).collect()
}
