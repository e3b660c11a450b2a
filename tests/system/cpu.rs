//! The CPU as guests see it: which registers there are, and that each keeps what a vCPU wrote.

use std::collections::BTreeSet;

use crate::harness::{Case, Config, Cpu, Outcome, Profile, Test, Verdict, Vm};

/// What guests don't have though the CPU has it, by op0, op1, CRn, CRm and a mask of op2.
const HIDDEN: [(&str, [u64; 5]); 18] = [
    ("SVE: ZCR_EL1", [3, 0, 1, 2, 1 << 0]),
    ("SME: SMCR_EL1", [3, 0, 1, 2, 1 << 6]),
    ("SME: SMIDR_EL1", [3, 1, 0, 0, 1 << 6]),
    ("SME: SVCR", [3, 3, 4, 2, 1 << 2]),
    ("RAS: ERRIDR_EL1, ERRSELR_EL1", [3, 0, 5, 3, 0xff]),
    ("RAS: the records", [3, 0, 5, 4, 0xff]),
    ("RAS: the records", [3, 0, 5, 5, 0xff]),
    ("PMU", [3, 0, 9, 14, 0xff]),
    ("PMU", [3, 3, 9, 12, 0xff]),
    ("PMU", [3, 3, 9, 13, 0xff]),
    ("PMU", [3, 3, 9, 14, 0xff]),
    ("PMU: counters", [3, 3, 14, 8, 0xff]),
    ("PMU: event types", [3, 3, 14, 12, 0xff]),
    ("PMU: PMCCFILTR_EL0", [3, 3, 14, 15, 1 << 7]),
    ("LORegions", [3, 0, 10, 4, 0xff]),
    ("RVBAR_EL1: EL1 is not the highest level", [3, 0, 12, 0, 1 << 1]),
    ("CSV2_2: SCXTNUM_EL1", [3, 0, 13, 0, 1 << 7]),
    ("CSV2_2: SCXTNUM_EL0", [3, 3, 13, 0, 1 << 7]),
];

/// What changes by itself: RNDR and RNDRRS, the counters, the timers' TVAL.
const CHANGING: [&str; 8] = [
    "S3_3_C2_C4_0",
    "S3_3_C2_C4_1",
    "S3_3_C14_C0_1",
    "S3_3_C14_C0_2",
    "S3_3_C14_C0_5",
    "S3_3_C14_C0_6",
    "S3_3_C14_C2_0",
    "S3_3_C14_C3_0",
];

/// The models between the oldest and the newest that matter, and an older one.
const OTHERS: [Cpu; 4] = [Cpu::A53, Cpu::A57, Cpu::A76, Cpu::N1];

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![
        Test::new("cpu/scan-hidden", hidden).smp(&[1]),
        Test::new("cpu/scan-hidden-others", hidden).smp(&[1]).cpus(&OTHERS).long(),
        Test::new("cpu/scan-switched", switched).smp(&[1]),
        Test::new("cpu/scan-switched-others", switched).smp(&[1]).cpus(&OTHERS).long(),
        Test::new("cpu/errata", |config| {
            let case = Case::new(config).vm(Vm::new("p").kernel("hvc")).append("log=debug");
            let outcome = case.run()?;
            let named = |number: &str| {
                let start = format!("DEBUG: erratum {number}: ");
                outcome.lines("mezzanine").filter(|line| line.starts_with(&start)).count()
            };
            let all = outcome.lines("mezzanine").filter(|line| line.contains("erratum")).count();
            match (config.cpu, named("1319367"), all) {
                // Once, however many pCPUs there are.
                (Cpu::A72, 1, 1) | (Cpu::Max, 0, 0) => outcome.expect_status(0),
                (_, named, all) => {
                    Err(outcome.failure(format!("{named} times 1319367, {all} errata")))
                }
            }
        })
        .profile(Profile::Release),
    ]
}

/// The encodings that a scan could read.
fn reads(outcome: &Outcome, name: &str) -> BTreeSet<[u64; 5]> {
    let number = |word: &str| match word.strip_prefix("0x") {
        Some(hex) => u64::from_str_radix(hex, 16).ok(),
        None => word.parse().ok(),
    };
    let mut found = BTreeSet::new();
    for line in outcome.lines(name).filter_map(|line| line.strip_prefix("READS ")) {
        let fields: Vec<u64> = line.split_whitespace().filter_map(number).collect();
        if let [op0, op1, crn, crm, mask] = fields[..] {
            let each = (0..8).filter(|op2| mask >> op2 & 1 != 0);
            found.extend(each.map(|op2| [op0, op1, crn, crm, op2]));
        }
    }
    found
}

/// A guest reads what it could read without a hypervisor, but for what is hidden on purpose; and
/// nothing else.
fn hidden(config: Config) -> Verdict {
    let bare = Case::bare(config, "scan").run()?;
    bare.expect_pass("", 2)?;
    let outcome = Case::new(config).vm(Vm::new("p").kernel("scan")).run()?;
    outcome.expect_pass("p", 2)?;
    let (bare, seen) = (reads(&bare, ""), reads(&outcome, "p"));
    if let Some(more) = seen.difference(&bare).next() {
        return Err(outcome.failure(format!("{more:?} can be read here alone")));
    }
    let meant = |[op0, op1, crn, crm, op2]: &[u64; 5]| {
        let is_it = |(_, hidden): &(&str, [u64; 5])| {
            hidden[..4] == [*op0, *op1, *crn, *crm] && hidden[4] >> op2 & 1 != 0
        };
        HIDDEN.iter().any(is_it)
    };
    if let Some(less) = bare.difference(&seen).find(|one| !meant(one)) {
        return Err(outcome.failure(format!("{less:?} can't be read here")));
    }
    if let Some(shown) = seen.iter().find(|one| meant(one)) {
        return Err(outcome.failure(format!("{shown:?} can be read, and was to be hidden")));
    }
    outcome.expect_status(0)
}

/// Two VMs on one pCPU fill every register that can be written, and find it again after the other
/// had its turn.
fn switched(config: Config) -> Verdict {
    let vm = |name, seed| {
        let vm = Vm::new(name).kernel("scan").affinity(&[1]);
        vm.bootargs(&format!("seed={seed} rounds=20"))
    };
    let case = Case::new(config).vm(vm("one", 1)).vm(vm("two", 2));
    let outcome = case.counting_instructions().run()?;
    for name in ["one", "two"] {
        outcome.expect_pass(name, 2)?;
        let (switches, keeps) =
            (outcome.number(name, "INFO", "switches")?, outcome.number(name, "INFO", "keeps")?);
        if switches < 15 || keeps < 60 {
            return Err(outcome.failure(format!("{switches} switches, {keeps} registers")));
        }
        let changes = outcome.lines(name).filter_map(|line| line.strip_prefix("CHANGES "));
        if let Some(leak) = changes.into_iter().find(|register| !CHANGING.contains(register)) {
            return Err(outcome.failure(format!("[{name}] {leak} changes by itself")));
        }
    }
    outcome.expect_status(0)
}
