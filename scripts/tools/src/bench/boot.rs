//! From reset to the first guest's first instruction, by phases.

use super::{
    CPUS,
    counter::{Counter, Line, Outcome, Profile, Wanted},
    describe::{self, Vm},
    figures::Figure,
};
use crate::{Error, Result, build::Built, panics::code::Program};

/// Functions of EL2 in the order in which they are first called, and what is done ahead of each.
const PHASES: [(&str, &str); 8] = [
    ("kernel_main", "QEMU's loader, and the head: translation on, .bss zeroed"),
    ("platform::console::init_log", "EL2's map, the machine's tree"),
    ("platform::boot::init_heap", "console"),
    ("platform::boot::init_gic", "heap, stacks"),
    ("platform::boot::start_secondaries", "GIC, this pCPU"),
    ("platform::boot::frames", "run queue, VM description found"),
    ("vm::start::start_all", "frames, entropy"),
    ("exit::run::pcpu_main", "VMs made by the description"),
];
/// What is done behind the last of them.
const LAST: &str = "the VM's memory zeroed, its image loaded, caches cleaned";

/// MiB of the VM.
const MEMORY: u64 = 64;

/// Instructions from reset to the guest, and of each phase.
#[derive(Debug)]
pub struct Boot {
    /// All of them.
    pub figure: Figure,
    /// What is done, and its instructions.
    pub phases: Vec<(&'static str, u64)>,
}

/// Boots a VM of 64 MiB with one vCPU on one pCPU.
pub fn measure(built: &Built, counter: &Counter) -> Result<Boot> {
    let program = Program::read(&built.elf)?;
    let known = PHASES
        .iter()
        .map(|(symbol, what)| Ok((super::offset(&program, symbol)?, *what)))
        .collect::<Result<Vec<_>>>()?;
    let first = known.iter().map(|(offset, _)| *offset).collect();
    let wanted = Wanted { log: true, first, ..Wanted::default() };
    let outcome = boot(built, counter, CPUS[0].1, &wanted)?;
    phases(&known, &outcome.log).ok_or_else(|| Error::Failed {
        what: "counting instructions from reset to a guest".into(),
        how: format!("found {:?}, wanted {known:?} and a guest\n{}", outcome.log, outcome.console),
    })
}

/// The same as a profile of EL2, with the little that comes after the guest's first instruction:
/// it does nothing, and prints a line.
pub fn profile(built: &Built, counter: &Counter, model: &str) -> Result<Profile> {
    let wanted = Wanted { profile: true, ..Wanted::default() };
    Ok(boot(built, counter, model, &wanted)?.profile)
}

fn boot(built: &Built, counter: &Counter, model: &str, wanted: &Wanted) -> Result<Outcome> {
    let vm = Vm { memory: MEMORY, ..Vm::small("bench", "bench", "only=nothing n=1") };
    let blob = describe::compile("bench-boot", &[vm])?;
    counter.run(super::machine(&built.image, &blob, model), wanted, "BENCH end")
}

fn phases(known: &[(u64, &'static str)], log: &[Line]) -> Option<Boot> {
    let reached = |wanted: u64| {
        log.iter().find_map(|line| match line {
            Line::First { offset, all } if *offset == wanted => Some(*all),
            _ => None,
        })
    };
    let guest = log.iter().find_map(|line| match line {
        Line::Guest { all } => Some(*all),
        _ => None,
    })?;
    let mut before = 0;
    let mut phases = Vec::new();
    for (offset, what) in known {
        let now = reached(*offset)?;
        phases.push((*what, now.checked_sub(before)?));
        before = now;
    }
    phases.push((LAST, guest.checked_sub(before)?));
    Some(Boot { figure: Figure::of([guest])?, phases })
}

impl Boot {
    /// Prints a line for each phase.
    pub fn print(&self) {
        println!(
            "\nfrom reset to the first instruction of a VM of {MEMORY} MiB, on {}: {}",
            CPUS[0].0, self.figure.mode
        );
        for (what, count) in &self.phases {
            println!("{count:>12}  {what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_phase_is_what_lies_between_two_functions() {
        let log = [
            Line::First { offset: 16, all: 100 },
            Line::First { offset: 8, all: 150 },
            Line::Guest { all: 1000 },
        ];
        let boot = phases(&[(16, "a"), (8, "b")], &log).expect("all is there");
        assert_eq!(boot.phases, [("a", 100), ("b", 50), (LAST, 850)]);
        assert_eq!(boot.figure.mode, 1000);
        assert!(phases(&[(8, "b"), (16, "a")], &log).is_none());
        assert!(phases(&[(8, "b")], &log[..2]).is_none());
    }
}
