//! What a case printed and how it ended, and the assertions on it.

use mezzanine_tools::session::{End, Session, shown};
use std::fmt;

use super::Verdict;

/// Why a test failed, with the console that shows it.
#[derive(Debug)]
pub struct Failure {
    why: String,
    console: Option<String>,
}

impl Failure {
    /// A failure before there was a console.
    pub fn new(why: impl Into<String>) -> Self {
        Failure { why: why.into(), console: None }
    }
}

impl From<mezzanine_tools::Error> for Failure {
    fn from(error: mezzanine_tools::Error) -> Self {
        Failure::new(error.to_string())
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.why)?;
        if let Some(console) = &self.console {
            writeln!(f, "---- console ----")?;
            // A guest that never ends can say much; the start and the end tell why.
            let lines: Vec<&str> = console.lines().collect();
            if lines.len() > 200 {
                writeln!(f, "{}\n…", lines[..60].join("\n"))?;
                write!(f, "{}", lines[lines.len() - 140..].join("\n"))?;
            } else {
                write!(f, "{}", lines.join("\n"))?;
            }
        }
        Ok(())
    }
}

/// What a case printed and how it ended.
#[derive(Debug)]
pub struct Outcome {
    /// How the session ended.
    pub end: End,
    /// Everything on the console, as it came.
    pub raw: String,
    lines: Vec<String>,
    complaints: String,
}

impl Outcome {
    /// Takes the console apart.
    pub fn new(end: End, session: &Session) -> Self {
        let lines = session.raw.split(|&byte| byte == b'\n');
        Outcome {
            end,
            raw: String::from_utf8_lossy(&session.raw).into_owned(),
            lines: lines.map(shown).collect(),
            complaints: String::from_utf8_lossy(&session.complaints).into_owned(),
        }
    }

    /// A failure that shows this console.
    pub fn failure(&self, why: impl Into<String>) -> Failure {
        Failure { why: why.into(), console: Some(format!("{}\n{}", self.raw, self.complaints)) }
    }

    /// Every line, as a terminal shows it at its end.
    pub fn all_lines(&self) -> impl Iterator<Item = &str> {
        self.lines.iter().map(String::as_str)
    }

    /// The lines of one VM, in order, without its name before them; those of the hypervisor under
    /// `mezzanine`, and without any name every line as it stands.
    pub fn lines<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        let prefix = if name.is_empty() { String::new() } else { format!("[{name}] ") };
        self.lines.iter().filter_map(move |line| line.strip_prefix(&prefix))
    }

    /// The numbers of the last `key=number` of each kind in a VM's lines that start with `word`.
    pub fn number(&self, name: &str, word: &str, key: &str) -> Result<u64, Failure> {
        let key_is = format!("{key}=");
        self.lines(name)
            .filter(|line| line.split_whitespace().next() == Some(word))
            .flat_map(str::split_whitespace)
            .filter_map(|field| field.strip_prefix(&key_is))
            .filter_map(|number| number.parse().ok())
            .last()
            .ok_or_else(|| self.failure(format!("[{name}] said no `{word} … {key}=NUMBER`")))
    }

    /// What the hypervisor says (`log=debug`) at the end of vCPU 0 of `name`: for how many
    /// microseconds it ran, and how often it moved.
    pub fn account(&self, name: &str) -> Result<(u64, u64), Failure> {
        let start = format!("DEBUG: {name} vCPU 0: ran ");
        let line = self.lines("mezzanine").find_map(|line| line.strip_prefix(&start));
        let words = line.unwrap_or("").split_whitespace();
        let numbers: Vec<u64> = words.filter_map(|word| word.parse().ok()).collect();
        match numbers[..] {
            [ran, _waited, moved] => Ok((ran, moved)),
            _ => Err(self.failure(format!("no account of {name}: {line:?}"))),
        }
    }

    /// The hypervisor's last line gave this status.
    pub fn expect_status(&self, wanted: i32) -> Verdict {
        if self.end == End::Status(wanted) {
            return Ok(());
        }
        Err(self.failure(format!("ended by {:?}, status {wanted} wanted", self.end)))
    }

    /// The hypervisor's last line gave a status that is not 0.
    pub fn expect_bad_status(&self) -> Verdict {
        if matches!(self.end, End::Status(status) if status != 0) {
            return Ok(());
        }
        Err(self.failure(format!("ended by {:?}, a non-zero status wanted", self.end)))
    }

    /// The bare machine was switched off by the guest.
    pub fn expect_off(&self) -> Verdict {
        if matches!(self.end, End::Exited(exit) if exit.success()) {
            return Ok(());
        }
        Err(self.failure(format!("ended by {:?}, a machine off wanted", self.end)))
    }

    /// A line of this VM contains all of these.
    pub fn expect_line(&self, name: &str, parts: &[&str]) -> Verdict {
        if self.lines(name).any(|line| parts.iter().all(|part| line.contains(part))) {
            return Ok(());
        }
        Err(self.failure(format!("no line of [{name}] with {parts:?}")))
    }

    /// No line of this VM contains this.
    pub fn expect_no_line(&self, name: &str, part: &str) -> Verdict {
        match self.lines(name).find(|line| line.contains(part)) {
            None => Ok(()),
            Some(line) => Err(self.failure(format!("[{name}] said `{line}`"))),
        }
    }

    /// A probe reported at least so many checks, all of them passed, and its own count agrees:
    /// a probe that stopped half-way, or checked nothing, has not passed.
    pub fn expect_pass(&self, name: &str, at_least: u64) -> Verdict {
        let starting = |word: &'static str| {
            self.lines(name).filter(move |line| line.split_whitespace().next() == Some(word))
        };
        if let Some(line) = starting("FAIL").next() {
            return Err(self.failure(format!("[{name}] {line}")));
        }
        let passed = starting("PASS").count() as u64;
        let (counted, failed) =
            (self.number(name, "END", "passed")?, self.number(name, "END", "failed")?);
        if failed != 0 || counted != passed || passed < at_least.max(1) {
            return Err(self.failure(format!(
                "[{name}] {passed} PASS lines, END passed={counted} failed={failed}; \
                 at least {at_least} passes and no failure wanted"
            )));
        }
        Ok(())
    }
}
