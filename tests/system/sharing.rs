//! Several vCPUs on one pCPU, and one on several: nothing of one shows up in another, nothing of
//! one is lost.

use crate::harness::{Case, Config, Cpu, Failure, Outcome, Profile, Test, Verdict, Vm};

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("sharing/patterns", patterns),
        Test::new("sharing/asid", |config| {
            let vm = Vm::new("p").kernel("asid").bootargs("loops=2000");
            let case = Case::new(config).vm(vm.cpus(2).affinity(&[1]));
            let outcome = case.counting_instructions().run()?;
            outcome.expect_pass("p", 3)?;
            outcome.expect_status(0)
        }),
        Test::new("sharing/asid-four", |config| {
            let vm = Vm::new("p").kernel("asid").bootargs("loops=500").cpus(4);
            let outcome = Case::new(config).vm(vm).run()?;
            outcome.expect_pass("p", 5)?;
            outcome.expect_status(0)
        }),
        Test::new("sharing/uneoi", |config| {
            // The tick stays active over many slices of the neighbour, whose own tick must come.
            uneoi(config, Vm::new("tick").kernel("idle").bootargs("ms=1000 tick=10"))
        })
        .smp(&[1]),
        Test::new("sharing/uneoi-moved", |config| {
            let busy = |name| Vm::new(name).kernel("count").bootargs("ms=1000");
            let case = Case::new(config).vm(busy("one")).vm(busy("two"));
            let case = case.vm(Vm::new("p").kernel("uneoi"));
            let outcome = case.counting_instructions().run()?;
            outcome.expect_pass("p", 15)?;
            outcome.expect_status(0)
        })
        .smp(&[2]),
        Test::new("sharing/moves", moves).smp(&[2]),
        Test::new("sharing/moves-really-parallel", |config| {
            let outcome = three_moved(config).run()?;
            for name in ["one", "two", "three"] {
                outcome.expect_no_line(name, "FAIL moved.counter-goes-back")?;
                outcome.expect_no_line(name, "FAIL moved.identity-or-registers-change")?;
                outcome.number(name, "END", "passed")?;
            }
            outcome.expect_status(0)
        })
        .smp(&[2])
        .profile(Profile::Release),
        Test::new("sharing/sleepers", |config| {
            // WFI gives the pCPU away: who computes loses next to nothing to one who sleeps.
            let count = |case: Case| -> Result<u64, Failure> {
                let vm = Vm::new("busy").kernel("count").bootargs("at=1000 ms=400");
                let outcome = case.vm(vm).counting_instructions().run()?;
                outcome.expect_pass("busy", 2)?;
                outcome.number("busy", "COUNT", "count")
            };
            let alone = count(Case::new(config))?;
            let idle = Vm::new("idle").kernel("idle").bootargs("ms=1600 tick=10");
            let beside = count(Case::new(config).vm(idle))?;
            if beside * 100 < alone * 95 {
                let why = format!("{beside} counts beside a sleeper, {alone} alone");
                return Err(Failure::new(why));
            }
            Ok(())
        })
        .smp(&[1])
        .cpu(Cpu::A72),
    ]
}

/// Two VMs on one pCPU hold patterns in all their registers over more than 10,000 switches: each
/// sleeps 7,500 times, and the other runs meanwhile or is asleep.
fn patterns(config: Config) -> Verdict {
    let vm = |name, seed| {
        let vm = Vm::new(name).kernel("patterns").affinity(&[1]);
        vm.bootargs(&format!("seed={seed} loops=10000"))
    };
    let case = Case::new(config).vm(vm("one", 1)).vm(vm("two", 2));
    let outcome = case.counting_instructions().timeout(180).run()?;
    for name in ["one", "two"] {
        outcome.expect_pass(name, 1)?;
        let loops = outcome.number(name, "INFO", "loops")?;
        if loops != 10_000 {
            return Err(outcome.failure(format!("[{name}] {loops} loops")));
        }
    }
    outcome.expect_status(0)
}

fn uneoi(config: Config, neighbour: Vm) -> Verdict {
    let case = Case::new(config).vm(neighbour);
    let case = case.vm(Vm::new("p").kernel("uneoi"));
    let outcome = case.counting_instructions().run()?;
    outcome.expect_pass("p", 15)?;
    outcome.expect_pass("tick", 1)?;
    let ticks = outcome.number("tick", "IDLE", "interrupts")?;
    // A hundred are due; a slice of the busy one may delay some of them.
    if ticks < 50 {
        return Err(outcome.failure(format!("[tick] {ticks} interrupts")));
    }
    outcome.expect_status(0)
}

fn three_moved(config: Config) -> Case {
    let vm = |name, seed| {
        let vm = Vm::new(name).kernel("moved");
        vm.bootargs(&format!("seed={seed} ms=2000"))
    };
    let case = Case::new(config).vm(vm("one", 1)).vm(vm("two", 2));
    case.vm(vm("three", 3))
}

/// Three vCPUs that count on two pCPUs: by the hypervisor's own books each gets two thirds of one,
/// and moves again and again, which none of them notices. (What each counts is not compared: QEMU
/// runs one of two CPUs at a time here, and not equally long.)
fn moves(config: Config) -> Verdict {
    let outcome = three_moved(config).counting_instructions().append("log=debug").run()?;
    let mut ran = Vec::new();
    for name in ["one", "two", "three"] {
        outcome.expect_pass(name, 3)?;
        let (us, moves) = outcome.account(name)?;
        if moves < 10 {
            return Err(outcome.failure(format!("[{name}] moved {moves} times, wanted 10")));
        }
        ran.push(us);
    }
    // Not at the same time: the last one has the end of it for itself.
    equal_within(&outcome, &ran, 15)?;
    outcome.expect_status(0)
}

/// None of these is further from their mean than so many percent.
fn equal_within(outcome: &Outcome, counts: &[u64], percent: u64) -> Verdict {
    let mean = counts.iter().sum::<u64>() / counts.len() as u64;
    if counts.iter().any(|count| count.abs_diff(mean) * 100 > mean * percent) {
        return Err(outcome.failure(format!("{counts:?} are not equal within {percent} %")));
    }
    Ok(())
}
