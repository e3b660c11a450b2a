//! What can be asked: words to a command.

use alloc::string::String;
use core::fmt::{self, Write};

use arrayvec::ArrayVec;
use log::LevelFilter;

/// Each command: the words that name it, those that come with it, and what it is for.
const COMMANDS: [(&str, &str, &str); 30] = [
    ("vm list", "", "VMs: where each is in its life, vCPUs, VMID, root of stage 2, memory"),
    ("vm show", "VM", "one VM: what it is made of, and its share of the machine"),
    ("vm create", "VM", "begin the first life of a VM that is described as no-autostart"),
    ("vm start", "VM", "start a VM that hasn't been started, or is off"),
    ("vm stop", "VM", "switch a VM off, as its own SYSTEM_OFF would"),
    ("vm pause", "VM", "have a VM, and its time, stand still"),
    ("vm resume", "VM", "let a VM that is paused go on"),
    ("vm reset", "VM", "start a VM anew, as its own SYSTEM_RESET would"),
    ("vcpu list", "", "vCPUs: state, last pCPU, time run and waited, exits a second, PC"),
    ("vcpu regs", "VM.N", "a vCPU's registers: x0 to x30, PC, PSTATE, and EL1's in words"),
    ("vcpu bt", "VM.N", "return addresses by x29, through the guest's stage 1 and stage 2"),
    ("vcpu pin", "VM.N MASK", "let a vCPU run on these pCPUs only: bit n for pCPU n"),
    ("stat", "", "exits of each vCPU since its VM started, by kind"),
    ("stat -w", "[SECONDS]", "the exits of each second, until a key is pressed"),
    ("s1", "VM.N VA", "the walk of a guest's own tables for a VA, and then of stage 2"),
    ("s2", "VM IPA", "the walk of a VM's stage 2 for an IPA"),
    ("mem", "VM IPA LEN", "a VM's memory, up to 4096 bytes of it"),
    ("esr", "VALUE", "an exception syndrome in words"),
    ("hcr", "", "HCR_EL2, which says what traps: bit by bit, as it is in force, and why"),
    ("vtcr", "", "VTCR_EL2, how stage 2 translates"),
    ("cptr", "", "CPTR_EL2, traps of FP, SIMD and the like"),
    ("mdcr", "", "MDCR_EL2, traps of debug and of performance monitors"),
    ("cnthctl", "", "CNTHCTL_EL2, traps of the physical counter and timer"),
    ("gic", "VM.N", "a vCPU's interrupts by the vGIC's books: list registers, pending, active"),
    ("trace on", "[RECORDS]", "begin to record crossings of EL2, so many a pCPU (32768)"),
    ("trace off", "", "end it; what was recorded stays"),
    ("trace dump", "", "print it, for `make trace` to read"),
    ("log", "LEVEL", "what is worth a line: off, error, warn, info, debug or trace"),
    ("wait", "SECONDS", "do nothing for so long, or until a key is pressed"),
    ("help", "[COMMAND]", "this list, or what one command is for"),
];

/// A command, understood.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Command {
    /// The words that name it.
    pub name: &'static str,
    /// The number of the VM that it is about.
    pub vm: usize,
    /// The number of the vCPU in that.
    pub vcpu: usize,
    /// What else comes with it, in order. A level is its place among all levels.
    pub numbers: ArrayVec<u64, 2>,
    /// The command that help is wanted for.
    pub topic: Option<String>,
}

/// Why words are no command. Prints as one line.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Error<'a> {
    /// No command begins with this word.
    Unknown(&'a str),
    /// Commands begin with this word, but none goes on like this line.
    Usage(&'a str, &'a str),
    /// What was found is not what was wanted.
    Found(&'a str, &'static str),
}

impl fmt::Display for Error<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(word) => write!(f, "{word:?} is no command: `help` lists them"),
            Self::Found(found, wanted) => write!(f, "found {found:?}, wanted {wanted}"),
            Self::Usage(word, line) => {
                write!(f, "found {line:?}, wanted")?;
                let usages = COMMANDS.iter().filter(|(name, ..)| first(name) == *word);
                usages.enumerate().try_for_each(|(n, (name, with, _))| {
                    let before = if n == 0 { "" } else { "," };
                    write!(f, "{before} `{}`", [name, " ", with].concat().trim_end())
                })
            }
        }
    }
}

fn first(line: &str) -> &str {
    line.split_whitespace().next().unwrap_or_default()
}

impl Command {
    /// Takes a line apart. `find` knows the number of the VM that has this name, or number.
    pub fn parse<'a>(
        line: &'a str,
        find: impl Fn(&str) -> Option<usize>,
    ) -> Result<Self, Error<'a>> {
        for (name, with, _) in COMMANDS {
            let mut words = line.split_whitespace();
            let is_named = name.split(' ').all(|word| words.next() == Some(word));
            let kinds = with.split_whitespace();
            let least = kinds.clone().filter(|kind| !kind.starts_with('[')).count();
            if is_named && (least..=kinds.clone().count()).contains(&words.clone().count()) {
                let mut command = Self { name, ..Self::default() };
                kinds.zip(words).try_for_each(|(kind, word)| command.take(kind, word, &find))?;
                return Ok(command);
            }
        }
        let word = first(line);
        let is_known = COMMANDS.iter().any(|(name, ..)| first(name) == word);
        Err(if is_known { Error::Usage(word, line) } else { Error::Unknown(word) })
    }

    /// Takes one of the words that come with it.
    fn take<'a>(
        &mut self,
        kind: &str,
        word: &'a str,
        find: impl Fn(&str) -> Option<usize>,
    ) -> Result<(), Error<'a>> {
        let vm = |name| find(name).ok_or(Error::Found(word, "a VM: `vm list` has them"));
        match kind {
            "VM" => self.vm = vm(word)?,
            "VM.N" => {
                let wanted = Error::Found(word, "a vCPU, VM.N: `vcpu list` has them");
                let (name, index) = word.rsplit_once('.').ok_or(wanted.clone())?;
                (self.vm, self.vcpu) = (vm(name)?, index.parse().map_err(|_| wanted)?);
            }
            "[COMMAND]" if COMMANDS.iter().any(|(name, ..)| first(name) == word) => {
                self.topic = Some(word.into());
            }
            "[COMMAND]" => return Err(Error::Unknown(word)),
            "LEVEL" => {
                let wanted = Error::Found(word, "off, error, warn, info, debug or trace");
                let level: LevelFilter = word.parse().map_err(|_| wanted)?;
                let _ = self.numbers.try_push(level as u64);
            }
            _ => {
                let found = match word.strip_prefix("0x") {
                    Some(digits) => u64::from_str_radix(digits, 16),
                    None => word.parse(),
                };
                let wanted = Error::Found(word, "a number, decimal or hexadecimal with 0x");
                let _ = self.numbers.try_push(found.map_err(|_| wanted)?);
            }
        }
        Ok(())
    }

    /// The `n`th number that comes with it.
    pub fn number(&self, n: usize) -> u64 {
        self.numbers.get(n).copied().unwrap_or(0)
    }
}

/// Answers `help`, for all commands or those that begin with a word.
pub fn help(topic: Option<&str>, out: &mut String) {
    for (name, with, what) in COMMANDS {
        if topic.is_none_or(|word| first(name) == word) {
            let _ = writeln!(out, "{:<19} {what}", [name, " ", with].concat());
        }
    }
    out.push_str("VM is a number or a name, VM.N a vCPU: 0.1 or alpha.1; numbers: 12 or 0xc\n");
}

#[cfg(test)]
mod tests;
