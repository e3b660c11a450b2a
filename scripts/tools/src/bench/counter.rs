//! QEMU with the plugin that counts (scripts/counter), and what it logs.

use crate::{
    Error, Result, build,
    qemu::{Machine, program},
    root,
    session::Session,
};
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

/// Time for one run.
const LIMIT: Duration = Duration::from_secs(300);
/// Time for QEMU's end, from the text that is waited for on.
const GRACE: Duration = Duration::from_secs(20);

/// How often each instruction of EL2 was executed, by its offset in the image.
pub type Profile = BTreeMap<u64, u64>;

/// A line of the log. Counts are those of the instructions ahead of it: all, and EL2's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// A guest executed this hint.
    Mark {
        /// Its operand.
        number: u64,
        /// EL2's instructions.
        el2: u64,
    },
    /// EL2 was entered by this vector, and left again.
    Visit {
        /// The vector's offset in the table.
        vector: u64,
        /// EL2's instructions in between.
        el2: u64,
    },
    /// This instruction of EL2 was executed for the first time.
    First {
        /// Its offset in the image.
        offset: u64,
        /// All instructions.
        all: u64,
    },
    /// The first instruction of a guest.
    Guest {
        /// All instructions.
        all: u64,
    },
}

impl Line {
    fn parse(line: &str) -> Option<Self> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let rest: Vec<&str> = words.collect();
        let subject = || rest.first()?.parse().ok();
        let number = |name: &str| {
            let (_, value) = rest
                .iter()
                .filter_map(|word| word.split_once('='))
                .find(|(key, _)| *key == name)?;
            value.parse().ok()
        };
        Some(match kind {
            "mark" => Line::Mark { number: subject()?, el2: number("el2")? },
            "visit" => Line::Visit { vector: subject()?, el2: number("el2")? },
            "first" => Line::First { offset: subject()?, all: number("all")? },
            "guest" => Line::Guest { all: number("all")? },
            _ => return None,
        })
    }
}

/// What a run came to.
#[derive(Debug, Default)]
pub struct Outcome {
    /// All instructions, and EL2's, of the run or of the part of it that was asked for.
    pub counts: [u64; 2],
    /// The log, if one was asked for.
    pub log: Vec<Line>,
    /// The profile, if one was asked for.
    pub profile: Profile,
    /// What the console said.
    pub console: String,
}

/// Which of it is wanted beside the counts.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// The profile.
    pub profile: bool,
    /// The log: marks.
    pub log: bool,
    /// Visits in the log: where the vector table is, as an offset in the image.
    pub vectors: Option<u64>,
    /// First executions of these in the log.
    pub first: Vec<u64>,
    /// Only Linux from its first instruction to its first process.
    pub linux: bool,
}

/// The plugin, built.
pub struct Counter {
    plugin: PathBuf,
}

impl Counter {
    /// Builds it; `None` with a QEMU that was made without plugins.
    pub fn find() -> Result<Option<Self>> {
        let plugin = build::counter()?;
        let output = Command::new(program()).arg("-plugin").arg(&plugin).arg("-version").output();
        let knows = output.is_ok_and(|output| output.status.success());
        Ok(knows.then_some(Self { plugin }))
    }

    /// Builds it, for what can't be done without.
    pub fn new() -> Result<Self> {
        Self::find()?.ok_or_else(|| Error::Missing {
            program: format!("an option `-plugin` of {}", program()),
            remedy: "a QEMU configured with --enable-plugins, as Debian's is",
        })
    }

    /// Runs `machine` until it ends by itself, or, where the console says `until`, until then; a
    /// machine that doesn't end some time after it is ended.
    pub fn run(&self, mut machine: Machine, wanted: &Wanted, until: &str) -> Result<Outcome> {
        let (log, profile) =
            (root().join("target/counter.log"), root().join("target/counter.profile"));
        for file in [&log, &profile] {
            // Not to be taken for one of this run.
            let _ = fs::remove_file(file);
        }
        let mut argument = self.plugin.display().to_string();
        if wanted.log {
            argument += &format!(",log={}", log.display());
        }
        if wanted.profile {
            argument += &format!(",profile={}", profile.display());
        }
        argument.extend(wanted.vectors.map(|offset| format!(",vectors={offset}")));
        argument.extend(wanted.first.iter().map(|offset| format!(",first={offset}")));
        argument.extend(wanted.linux.then_some(",linux=on"));
        machine.extra.extend(["-plugin".into(), argument]);

        let mut session = Session::held(&mut machine.command())?;
        let seen = session.wait_for(until, 0, Instant::now() + LIMIT).is_some();
        let goes_off = session.wait_for("machine off", 0, Instant::now() + GRACE / 10).is_some();
        if !goes_off {
            session.stop();
        }
        session.finish(Some(Instant::now() + GRACE))?;
        let console = String::from_utf8_lossy(&session.raw).into_owned();
        let complaints = String::from_utf8_lossy(&session.complaints);
        let counts = counts(&complaints).filter(|_| seen).ok_or_else(|| Error::Failed {
            what: format!("counting instructions on {}", machine.cpu),
            how: format!("no `{until}` or no counts\n{console}\n{complaints}"),
        })?;
        Ok(Outcome {
            counts,
            log: if wanted.log { read(&log, Line::parse)? } else { Vec::new() },
            profile: if wanted.profile { read(&profile, executed)? } else { Profile::new() },
            console,
        })
    }
}

/// The numbers of `instructions: N, of EL2: M`.
fn counts(complaints: &str) -> Option<[u64; 2]> {
    let line = complaints.lines().find_map(|line| line.strip_prefix("instructions: "))?;
    let (all, el2) = line.split_once(", of EL2: ")?;
    Some([all.parse().ok()?, el2.parse().ok()?])
}

/// A line of a profile.
fn executed(line: &str) -> Option<(u64, u64)> {
    let (offset, count) = line.split_once(' ')?;
    Some((offset.parse().ok()?, count.parse().ok()?))
}

/// All lines of a file that the plugin wrote.
fn read<T, All: FromIterator<T>>(file: &Path, parse: fn(&str) -> Option<T>) -> Result<All> {
    let text = fs::read_to_string(file).map_err(Error::file(file))?;
    text.lines()
        .map(|line| {
            parse(line).ok_or_else(|| Error::File {
                path: file.into(),
                why: format!("found `{line}`, wanted a line as scripts/counter tells of it"),
            })
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_understood() {
        assert_eq!(
            Line::parse("mark 64 cpu=1 all=9 el2=8"),
            Some(Line::Mark { number: 64, el2: 8 })
        );
        let visit = Line::Visit { vector: 1152, el2: 125 };
        assert_eq!(Line::parse("visit 1152 el2=125"), Some(visit));
        assert_eq!(Line::parse("first 16 all=9 el2=8"), Some(Line::First { offset: 16, all: 9 }));
        assert_eq!(Line::parse("guest all=9 el2=8"), Some(Line::Guest { all: 9 }));
        assert_eq!(Line::parse("guest all=x"), None);
        assert_eq!(counts("warning\ninstructions: 7, of EL2: 3\n"), Some([7, 3]));
    }
}
