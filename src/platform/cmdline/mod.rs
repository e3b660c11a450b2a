//! The hypervisor's own command line, from `/chosen/bootargs`.
//!
//! Words are separated by blanks. `NAME.bootargs="…"` may have blanks within double quotes.

#[cfg(test)]
mod tests;

use log::LevelFilter;
use thiserror::Error;

/// What the command line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLine<'a> {
    /// `batch`: the demo guests run their script and power off.
    pub batch: bool,
    /// `stay`: the machine stays on when the last VM is off.
    pub stay: bool,
    /// `log=LEVEL`: what is worth a line.
    pub log: Option<LevelFilter>,
    line: &'a str,
}

/// A word that says nothing to the hypervisor. Prints as one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WordError<'a> {
    /// No such word.
    #[error("command line: found {0:?}, wanted batch, stay, log=LEVEL or NAME.bootargs=...")]
    Unknown(&'a str),
    /// No such level.
    #[error("command line: log: found {0:?}, wanted off, error, warn, info, debug or trace")]
    LogLevel(&'a str),
    /// A quote that nothing closes; the value goes to the end of the line.
    #[error("command line: found {0:?}, wanted a closing quote")]
    Unclosed(&'a str),
}

/// What one word says.
enum Word<'a> {
    Batch,
    Stay,
    Log(LevelFilter),
    Bootargs { vm: &'a str, value: &'a str },
}

impl<'a> CommandLine<'a> {
    /// Reads a command line. Words that are wrong change nothing; [`Self::errors`] names them.
    pub fn new(line: &'a str) -> Self {
        let mut this = Self { batch: false, stay: false, log: None, line };
        for word in (Words { rest: line }).filter_map(|word| parse(word).ok()) {
            match word {
                Word::Batch => this.batch = true,
                Word::Stay => this.stay = true,
                Word::Log(level) => this.log = Some(level),
                Word::Bootargs { .. } => {}
            }
        }
        this
    }

    /// The words that are wrong.
    pub fn errors(&self) -> impl Iterator<Item = WordError<'a>> + use<'a> {
        Words { rest: self.line }.filter_map(|word| parse(word).err())
    }

    /// What replaces the `bootargs` of the VM called `name`; the last one holds.
    pub fn bootargs(&self, name: &str) -> Option<&'a str> {
        self.replacements().filter(|(vm, _)| *vm == name).map(|(_, value)| value).last()
    }

    /// All `NAME.bootargs=` as (name, value), so that a name which no VM has can be reported.
    pub fn replacements(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        Words { rest: self.line }.filter_map(|word| match parse(word) {
            Ok(Word::Bootargs { vm, value }) => Some((vm, value)),
            _ => None,
        })
    }
}

fn parse(word: &str) -> Result<Word<'_>, WordError<'_>> {
    match word.split_once('=') {
        None if word == "batch" => Ok(Word::Batch),
        None if word == "stay" => Ok(Word::Stay),
        Some(("log", level)) => {
            level.parse().map(Word::Log).map_err(|_| WordError::LogLevel(level))
        }
        Some((key, value)) => match (key.strip_suffix(".bootargs"), value.strip_prefix('"')) {
            (None | Some(""), _) => Err(WordError::Unknown(word)),
            (Some(vm), None) => Ok(Word::Bootargs { vm, value }),
            (Some(vm), Some(open)) => match open.strip_suffix('"') {
                Some(value) => Ok(Word::Bootargs { vm, value }),
                None => Err(WordError::Unclosed(word)),
            },
        },
        None => Err(WordError::Unknown(word)),
    }
}

/// The words of a line; a value in double quotes belongs to its word, blanks and all.
struct Words<'a> {
    rest: &'a str,
}

impl<'a> Iterator for Words<'a> {
    type Item = &'a str;

    fn next(&mut self) -> Option<&'a str> {
        let line = self.rest.trim_start();
        let mut quoted = false;
        let end = line.find(|c: char| {
            quoted ^= c == '"';
            c.is_whitespace() && !quoted
        });
        let (word, rest) = line.split_at_checked(end.unwrap_or(line.len())).unwrap_or((line, ""));
        self.rest = rest;
        (!word.is_empty()).then_some(word)
    }
}
