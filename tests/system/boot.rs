//! Entry at each exception level, numbers of pCPUs, and the build as a person boots it.

use crate::harness::{Case, Cpu, Outcome, Profile, Test, Verdict};

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("boot/el1", |config| {
            let outcome = Case::new(config).properties(&[]).run()?;
            // It says what to change, and the machine is off by the tree's PSCI method.
            outcome.expect_line("", &["virtualization=on"])?;
            outcome.expect_bad_status()
        })
        .smp(&[1, 2]),
        Test::new("boot/el3", |config| {
            let properties = ["virtualization=on", "secure=on"];
            let case = Case::new(config).elf(config.profile).properties(&properties);
            let outcome = case.run()?;
            both_ended(&outcome)
        }),
        Test::new("boot/el2-under-firmware", |config| {
            // With an Image QEMU's own firmware goes to EL2 and answers PSCI by SMC.
            let properties = ["virtualization=on", "secure=on"];
            both_ended(&Case::new(config).properties(&properties).run()?)
        })
        .cpu(Cpu::A72),
        Test::new("boot/eight-cpus", |config| both_ended(&Case::new(config).run()?))
            .smp(&[8])
            .cpu(Cpu::A72)
            .profile(Profile::Release),
        Test::new("boot/small-memory", |config| {
            both_ended(&Case::new(config).memory("128M").run()?)
        })
        .smp(&[2])
        .cpu(Cpu::A72)
        .profile(Profile::Release),
        Test::new("boot/large-memory", |config| both_ended(&Case::new(config).memory("5G").run()?))
            .smp(&[2])
            .cpu(Cpu::A72)
            .profile(Profile::Release),
    ]
}

fn both_ended(outcome: &Outcome) -> Verdict {
    outcome.expect_status(0)?;
    outcome.expect_line("alpha", &["BenOS: switching off"])?;
    outcome.expect_line("beta", &["BenOS: switching off"])
}
