//! The hypervisor's own command line, from `/chosen/bootargs`.
//!
//! Words are separated by blanks. `NAME.bootargs="…"` and `monitor="…"` may have blanks within double
//! quotes.

#[cfg(test)]
mod tests;

use log::LevelFilter;
use thiserror::Error;

/// Records of the trace that a pCPU has room for, where nobody says how many.
pub const TRACE_RECORDS: u32 = 32 << 10;

/// Whether a pCPU's part of the trace can have room for so many records.
pub const fn is_trace_size(records: u32) -> bool {
    records.is_power_of_two() && records >= 64 && records <= 1 << 20
}

/// What the command line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandLine<'a> {
    /// `batch`: the demo guests run their script and power off.
    pub batch: bool,
    /// `stay`: the machine stays on when the last VM is off.
    pub stay: bool,
    /// `gdb`: guests may be debugged, over a virtio console.
    pub gdb: bool,
    /// `log=LEVEL`: what is worth a line.
    pub log: Option<LevelFilter>,
    /// `trace` or `trace=RECORDS`: the trace is on from the start, with room for so many a pCPU.
    pub trace: Option<u32>,
    /// `monitor="COMMANDS"`: what the operator's monitor is to do once the VMs have been started,
    /// command by command, separated by `;`.
    pub monitor: &'a str,
    line: &'a str,
}

/// A word that says nothing to the hypervisor. Prints as one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("command line: found {found:?}, wanted {wanted}")]
pub struct WordError<'a> {
    found: &'a str,
    wanted: &'static str,
}

impl<'a> CommandLine<'a> {
    /// Reads a command line. Words that are wrong change nothing; [`Self::errors`] names them.
    pub fn new(line: &'a str) -> Self {
        let mut this = Self {
            batch: false,
            stay: false,
            gdb: false,
            log: None,
            trace: None,
            monitor: "",
            line,
        };
        for word in words(line) {
            let _ = this.take(word);
        }
        this
    }

    /// Does what one word says.
    fn take(&mut self, word: &'a str) -> Result<(), WordError<'a>> {
        const LEVELS: &str = "log=off, error, warn, info, debug or trace";
        const RECORDS: &str = "trace=RECORDS, a power of two from 64 to 1048576";
        match word.split_once('=') {
            None if word == "batch" => self.batch = true,
            None if word == "stay" => self.stay = true,
            None if word == "gdb" => self.gdb = true,
            None if word == "trace" => self.trace = Some(TRACE_RECORDS),
            Some(("trace", records)) => {
                let records = records.parse().ok().filter(|records| is_trace_size(*records));
                self.trace = Some(records.ok_or(WordError { found: word, wanted: RECORDS })?);
            }
            Some(("log", level)) => {
                let level = level.parse().map_err(|_| WordError { found: word, wanted: LEVELS })?;
                self.log = Some(level);
            }
            Some(("monitor", commands)) => self.monitor = unquoted(word, commands)?,
            _ => drop(replacement(word)?),
        }
        Ok(())
    }

    /// The words that are wrong.
    pub fn errors(&self) -> impl Iterator<Item = WordError<'a>> + use<'a> {
        let mut scratch = *self;
        words(self.line).filter_map(move |word| scratch.take(word).err())
    }

    /// What replaces the `bootargs` of the VM called `name`; the last one holds.
    pub fn bootargs(&self, name: &str) -> Option<&'a str> {
        self.replacements().filter(|(vm, _)| *vm == name).map(|(_, value)| value).last()
    }

    /// All `NAME.bootargs=` as (name, value), so that a name which no VM has can be reported.
    pub fn replacements(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        words(self.line).filter_map(|word| replacement(word).ok())
    }
}

/// The words of a line; a value in double quotes belongs to its word, blanks and all.
fn words(mut line: &str) -> impl Iterator<Item = &str> {
    core::iter::from_fn(move || {
        let mut quoted = false;
        line = line.trim_start();
        let end = line.find(|c: char| {
            quoted ^= c == '"';
            c.is_whitespace() && !quoted
        });
        let (word, rest) = line.split_at_checked(end.unwrap_or(line.len()))?;
        line = rest;
        (!word.is_empty()).then_some(word)
    })
}

/// Name and value of `NAME.bootargs=value`.
fn replacement(word: &str) -> Result<(&str, &str), WordError<'_>> {
    const WORDS: &str = "batch, stay, gdb, log=LEVEL, trace, monitor=\"...\" or NAME.bootargs=...";
    let wrong = |wanted| WordError { found: word, wanted };
    let (key, value) = word.split_once('=').ok_or(wrong(WORDS))?;
    let vm = key.strip_suffix(".bootargs").filter(|vm| !vm.is_empty()).ok_or(wrong(WORDS))?;
    Ok((vm, unquoted(word, value)?))
}

/// The value of `word`, without the quotes around it, if it has some.
fn unquoted<'a>(word: &'a str, value: &'a str) -> Result<&'a str, WordError<'a>> {
    let missing = WordError { found: word, wanted: "a closing quote" };
    match value.strip_prefix('"') {
        Some(open) => open.strip_suffix('"').ok_or(missing),
        None => Ok(value),
    }
}
