//! The same attack on the bare board at EL1, and the comparison of what was seen.

use super::plans::{Bare, Plan};
use crate::harness::{Case, Config, Cpu, Outcome, Verdict};
use hostile::table::Family;
use std::collections::BTreeMap;

/// Variants and what was seen of each: `SAW`'s value, nothing for `PASS`.
pub fn variants(outcome: &Outcome, name: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for line in outcome.lines(name) {
        let mut words = line.splitn(3, ' ');
        if let (Some("PASS" | "SAW"), Some(variant)) = (words.next(), words.next()) {
            found.insert(variant.to_owned(), words.next().unwrap_or("").trim().to_owned());
        }
    }
    found
}

/// Runs the attack on the bare board and compares.
pub fn compare(family: &Family, plan: &Plan, config: Config, here: &Outcome) -> Verdict {
    if matches!(plan.bare, Bare::Not(_)) {
        return Ok(());
    }
    let words = format!("{} auto", super::words(family, plan, config));
    let case = Case::bare(Config { smp: plan.vcpus, ..config }, "hostile").append(&words);
    // A board without what guests are not offered.
    let case = case.cpu_properties(match config.cpu {
        Cpu::Max => ",pmu=off,sve=off,sme=off",
        _ => ",pmu=off",
    });
    let counted = config.smp == 1 && plan.counted;
    let board = if counted { case.counting_instructions() } else { case }.run()?;
    board.expect_off()?;
    let (there, here_seen) = (variants(&board, ""), variants(here, "offender"));
    let explained = |variant: &str| match plan.bare {
        Bare::Not(_) => true,
        Bare::But(reasons) => reasons.iter().any(|(start, _)| variant.starts_with(start)),
        Bare::Rule(rule) => {
            let seen = |variants: &'_ BTreeMap<String, String>| variants.get(variant).cloned();
            rule(variant, seen(&here_seen).as_deref(), seen(&there).as_deref())
        }
    };
    let names = there.keys().chain(here_seen.keys()).filter(|one| !explained(one));
    let differs: Vec<String> = names
        .filter(|variant| there.get(*variant) != here_seen.get(*variant))
        .map(|variant| {
            let seen = |one: Option<&String>| match one.map(String::as_str) {
                None => "none".to_owned(),
                Some("") => "passed".to_owned(),
                Some(value) => value.to_owned(),
            };
            format!(
                "{variant}: {}, on the board {}",
                seen(here_seen.get(variant)),
                seen(there.get(variant))
            )
        })
        .collect();
    if differs.is_empty() {
        return Ok(());
    }
    Err(board.failure(format!("{} differences\n{}", differs.len(), differs.join("\n"))))
}
