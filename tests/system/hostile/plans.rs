//! What is expected of each family.

use crate::harness::{Config, Outcome, Verdict};

/// How a family is run, and what is expected of it.
pub struct Plan {
    pub number: u32,
    /// vCPUs of the offender.
    pub vcpus: u32,
    /// More words for its boot arguments.
    pub words: &'static str,
    /// Whether virtual time counts instructions, on one pCPU. It would stand still where none are
    /// executed any more.
    pub counted: bool,
    /// The least number of variants that are tried, so that one that skips its work does not.
    pub variants: usize,
    /// What ends the VM: its `variant=`, and what the hypervisor's line about it says.
    pub dooms: &'static [(&'static str, &'static [&'static str])],
    /// The bare board as the reference.
    pub bare: Bare,
    /// More boots.
    pub more: Option<fn(&Plan, Config) -> Verdict>,
    /// More that is to be said of what was printed.
    pub judge: Option<fn(&Outcome, Config) -> Verdict>,
}

/// Whether the offender sees the same on the bare board.
pub enum Bare {
    /// It can't be tried there, or there is nothing to compare, because of this.
    Not(&'static str),
    /// The same, but for variants whose names begin so, each with a reason.
    But(&'static [(&'static str, &'static str)]),
    /// The same, but where this says that a variant may be seen so here and so on the board.
    Rule(fn(&str, Option<&str>, Option<&str>) -> bool),
}

pub const PLAN: Plan = Plan {
    number: 0,
    vcpus: 1,
    words: "",
    counted: true,
    variants: 1,
    dooms: &[],
    bare: Bare::But(&[]),
    more: None,
    judge: None,
};

/// The plan of a family.
pub fn find(number: u32) -> Option<&'static Plan> {
    PLANS.iter().chain(&super::later::PLANS).find(|plan| plan.number == number)
}

/// ID registers show what the board's show, field by field, or less.
fn shows_no_more(variant: &str, here: Option<&str>, board: Option<&str>) -> bool {
    let number = |text: Option<&str>| u64::from_str_radix(text?.strip_prefix("0x")?, 16).ok();
    let (Some(here), Some(board)) = (number(here), number(board)) else { return false };
    let less = |at: u32| {
        let [here, board] = [here, board].map(|value| value >> at & 0xf);
        // In a signed field 15 is "not there".
        here <= board || here == 0xf
    };
    variant.starts_with("id.read-S3_0_C0_C") && (0..64).step_by(4).all(less)
}

/// What the board has and guests are not offered is UNDEFINED.
fn undefined_here(here: Option<&str>) -> bool {
    here == Some("fault 0x2000000")
}

static PLANS: [Plan; 7] = [
    Plan { number: 1, variants: 248, bare: Bare::Rule(shows_no_more), ..PLAN },
    Plan { number: 2, variants: 23, ..PLAN },
    // QEMU 7.2 has the registers with pmu=off, too.
    Plan {
        number: 3,
        variants: 180,
        bare: Bare::Rule(|variant, here, _| undefined_here(here) || variant.starts_with("pmu.el0")),
        ..PLAN
    },
    Plan { number: 4, variants: 80, ..PLAN },
    Plan {
        number: 5,
        variants: 240,
        bare: Bare::Rule(|variant, here, board| {
            let is = |what| variant.starts_with("extensions.") && variant[11..].starts_with(what);
            match here {
                // LORegions and RAS are hidden.
                Some("fault 0x2000000") => is("lor.") || is("ras."),
                // SMPRI_EL1 of SME: only a fine-grained trap would hide it, and here it is constant.
                Some("0x0") => variant.ends_with("-S3_0_C1_C2_4"),
                _ => is("holds-") && board.is_none(),
            }
        }),
        ..PLAN
    },
    Plan { number: 6, variants: 20, ..PLAN },
    Plan { number: 12, variants: 1, words: "loops=300", ..PLAN },
];
