//! Who gets how much of the machine: measured by guests that count for the same time.
//!
//! Time is counted by instructions, so that the figures depend on the scheduler alone. On one pCPU
//! it is the guests' own counts that are compared. QEMU runs several pCPUs in turns that are not
//! equally long, which is none of the scheduler's business: there it is the hypervisor's books.

use crate::harness::{Case, Config, Failure, Profile, Test, Verdict, Vm};

/// From when on, and how long, all guests count, in milliseconds of the machine's time. The books
/// begin with the first guest's start and not with the window, so there it is longer.
const WINDOW: [&str; 2] = ["at=400 ms=1000", "at=400 ms=2500"];

/// Percent by which a share may be off.
const TOLERATED: f64 = 5.0;

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        shares("three-on-two", 2, &[2.0 / 3.0; 3], |_, vm| vm),
        shares("three-on-one", 1, &[1.0 / 3.0; 3], |_, vm| vm),
        shares("five-on-four", 4, &[4.0 / 5.0; 5], |_, vm| vm),
        shares(
            "weights-on-one",
            1,
            &[0.5, 0.25, 0.25],
            |n, vm| {
                if n == 0 { vm.share(200) } else { vm }
            },
        ),
        // 1 : 2 : 3 on two pCPUs: the third gets the one pCPU that it can use, exactly its due.
        shares("weights-on-two", 2, &[1.0 / 3.0, 2.0 / 3.0, 1.0], |n, vm| {
            vm.share([100, 200, 300][n])
        }),
        // The third's due would be more than a pCPU: what it can't use the others share.
        shares("weights-beyond-one", 2, &[0.5, 0.5, 1.0], |n, vm| vm.share([100, 100, 800][n])),
        shares("affinity", 2, &[0.5, 0.5, 1.0], |n, vm| vm.affinity(&[[1, 1, 2][n]])),
        shares("dedicated", 2, &[0.5, 0.5, 1.0], |n, vm| if n == 2 { vm.dedicated() } else { vm }),
    ]
}

/// VMs of one vCPU each, which get these shares of a pCPU.
fn shares(name: &str, smp: u32, wanted: &'static [f64], change: fn(usize, Vm) -> Vm) -> Test {
    Test::new(format!("shares/{name}"), move |config| {
        let got = counts(config, wanted.len(), change)?;
        // What a whole pCPU gives: counted by a guest that is alone, or by the books of them all,
        // which no pCPU was ever idle beside.
        let full = if smp == 1 {
            counts(config, 1, |_, vm| vm)?.iter().sum::<u64>() as f64
        } else {
            got.iter().sum::<u64>() as f64 / f64::from(smp)
        };
        compare(&got, full, wanted)
    })
    .smp(&[smp])
    .profile(Profile::Release)
}

fn counts(
    config: Config,
    vms: usize,
    change: impl Fn(usize, Vm) -> Vm,
) -> Result<Vec<u64>, Failure> {
    let mut case = Case::new(config);
    let names: Vec<String> = (0..vms).map(|n| format!("vm{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let vm =
            Vm::new(name).kernel("count").cpus(1).bootargs(WINDOW[usize::from(config.smp > 1)]);
        case = case.vm(change(n, vm));
    }
    let case = case.append("log=debug").counting_instructions().timeout(180);
    let outcome = case.run()?;
    outcome.expect_status(0)?;
    let count = |name: &String| {
        outcome.expect_pass(name, 2)?;
        let counted = outcome.number(name, "COUNT", "count")?;
        if config.smp == 1 { Ok(counted) } else { Ok(outcome.account(name)?.0) }
    };
    names.iter().map(count).collect()
}

fn compare(got: &[u64], full: f64, wanted: &[f64]) -> Verdict {
    let shares: Vec<f64> = got.iter().map(|&count| count as f64 / full).collect();
    let off = |(share, wanted): (&f64, &f64)| (share / wanted - 1.0).abs() * 100.0 > TOLERATED;
    if shares.iter().zip(wanted).any(off) {
        return Err(Failure::new(format!(
            "shares {shares:.3?}, {wanted:.3?} wanted within {TOLERATED} %"
        )));
    }
    Ok(())
}
