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

/// While the offender sleeps with nothing that wakes it the victim has the pCPU for itself.
fn free_while_asleep(outcome: &Outcome, config: Config) -> Verdict {
    if config.smp != 1 {
        return Ok(());
    }
    let lines = outcome.all_lines().skip_while(|line| !line.ends_with("SLEEPS"));
    let asleep = lines.take_while(|line| !line.ends_with("WOKE"));
    // The first began before.
    let beats: Vec<&str> = asleep.filter(|line| line.contains("] BEAT n=")).skip(1).collect();
    let share = |line: &str| line.split_once("share=")?.1.parse::<u64>().ok();
    if beats.len() > 1 && beats.iter().all(|line| share(line) >= Some(950)) {
        return Ok(());
    }
    Err(outcome.failure(format!("a pCPU for itself wanted: {beats:#?}")))
}

/// What the board has and guests are not offered is UNDEFINED.
fn undefined_here(here: Option<&str>) -> bool {
    here == Some("fault 0x2000000")
}

static PLANS: [Plan; 20] = [
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
    Plan { number: 7, variants: 11, vcpus: 2, ..PLAN },
    Plan {
        number: 8,
        variants: 46,
        vcpus: 2,
        dooms: &[("off-while-cleaning", &["INFO: off-while-cleaning: off"])],
        ..PLAN
    },
    Plan {
        number: 9,
        variants: 86,
        bare: Bare::Not("there nobody answers but QEMU's PSCI, to one of the two"),
        ..PLAN
    },
    Plan { number: 10, variants: 7, vcpus: 2, judge: Some(free_while_asleep), ..PLAN },
    Plan { number: 11, variants: 5, vcpus: 2, ..PLAN },
    Plan { number: 12, variants: 17, words: "loops=400", ..PLAN },
    Plan { number: 13, variants: 7, ..PLAN },
    Plan {
        number: 14,
        variants: 25,
        vcpus: 4,
        words: "strict rounds=10 cycles=10",
        bare: Bare::Not("QEMU's PSCI starts a CPU without a lock, and raced starts all succeed"),
        ..PLAN
    },
    Plan {
        number: 15,
        variants: 60,
        vcpus: 2,
        dooms: &[
            ("last-cpu-off", &["stopped: all vCPUs are off"]),
            ("start-in-zeros", &["vCPU 1: stopped: EC 0x20", "IPA 0x200"]),
        ],
        bare: Bare::Not("QEMU's PSCI looks neither at entry points nor at reserved bits"),
        ..PLAN
    },
    Plan {
        number: 16,
        variants: 2,
        vcpus: 4,
        dooms: &[
            ("off-while-spinning", &["INFO: off-while-spinning: off"]),
            ("off-while-asleep", &["INFO: off-while-asleep: off"]),
            ("off-by-all", &["INFO: off-by-all: off"]),
            ("off-while-starting", &["INFO: off-while-starting: off"]),
        ],
        ..PLAN
    },
    Plan {
        number: 17,
        variants: 80,
        vcpus: 4,
        // There is no CPU past 15, so a range selector leads to nobody; QEMU 7.2 doesn't look at it.
        bare: Bare::Rule(|variant, here, _| {
            variant.starts_with("sgi.range-") && here == Some("[0, 0, 0, 0]")
        }),
        ..PLAN
    },
    Plan { number: 18, variants: 220, vcpus: 2, ..PLAN },
    Plan { number: 19, variants: 60, ..PLAN },
    Plan { number: 20, variants: 7, ..PLAN },
];
