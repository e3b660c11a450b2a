//! What is expected of each family.

use crate::harness::{Config, Outcome, Verdict};

/// How a family is run, and what is expected of it.
pub struct Plan {
    number: u32,
    /// vCPUs of the offender.
    pub vcpus: u32,
    /// More words for its boot arguments.
    pub words: &'static str,
    /// The least number of variants that pass, so that one that skips its work does not.
    pub variants: u64,
    /// What ends the VM: its `variant=`, and what the hypervisor's line about it says.
    pub dooms: &'static [(&'static str, &'static [&'static str])],
    /// The bare board as the reference.
    pub bare: Bare,
    /// More that is to be said of what was printed.
    pub judge: Option<fn(&Outcome, Config) -> Verdict>,
}

/// Whether the offender sees the same on the bare board.
pub enum Bare {
    /// It can't be tried there, or there is nothing to compare, because of this.
    Not(&'static str),
    /// The same, but for variants whose names begin so, each with a reason.
    But(&'static [(&'static str, &'static str)]),
}

const PLAN: Plan = Plan {
    number: 0,
    vcpus: 1,
    words: "",
    variants: 1,
    dooms: &[],
    bare: Bare::But(&[]),
    judge: None,
};

/// The plan of a family.
pub fn find(number: u32) -> Option<&'static Plan> {
    PLANS.iter().find(|plan| plan.number == number)
}

static PLANS: [Plan; 1] = [Plan { number: 12, variants: 1, words: "loops=300", ..PLAN }];
