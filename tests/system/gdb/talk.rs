//! A conversation with gdb, while the machine is talked to as well.

use super::said_by;
use crate::harness::{Failure, Verdict};
use mezzanine_tools::root;
use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, channel},
    thread,
    time::Duration,
};

/// How long gdb may take for an answer.
const PATIENCE: Duration = Duration::from_secs(30);
/// What it says when it is done with a command.
const DONE: &str = "@@ done";

/// A gdb that runs.
pub struct Gdb {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
    said: String,
}

impl Gdb {
    /// Starts it, with the symbols of a guest program of ours, if one is named.
    pub fn start(guest: Option<&str>) -> Result<Self, Failure> {
        let failed = |error: std::io::Error| Failure::new(format!("gdb-multiarch: {error}"));
        let mut gdb = Command::new("sh");
        gdb.args(["-c", "exec gdb-multiarch -q -nx -ex 'set prompt' \"$@\" 2>&1", "gdb"])
            .current_dir(root());
        if let Some(guest) = guest {
            gdb.arg(format!("target/guests/{guest}.elf"));
        }
        let mut child = gdb.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(failed)?;
        let (to, lines) = channel();
        let stdout = child.stdout.take().map(BufReader::new);
        let stdin = child.stdin.take().ok_or_else(|| Failure::new("gdb has no standard input"))?;
        thread::spawn(move || {
            for line in stdout.into_iter().flat_map(BufRead::lines).map_while(Result::ok) {
                if to.send(line).is_err() {
                    break;
                }
            }
        });
        let mut gdb = Gdb { child, stdin, lines, said: String::new() };
        for setting in
            ["pagination off", "confirm off", "width 0", "architecture aarch64", "language rust"]
        {
            gdb.ask(&format!("set {setting}"))?;
        }
        Ok(gdb)
    }

    /// Gives it a command; returns what it says to that.
    pub fn ask(&mut self, command: &str) -> Result<String, Failure> {
        self.tell(command)?;
        self.answer()
    }

    /// Gives it a command that isn't over at once.
    pub fn tell(&mut self, command: &str) -> Verdict {
        let written = writeln!(self.stdin, "{command}\necho \\n{DONE}\\n");
        self.said += &format!("> {command}\n");
        written.map_err(|error| self.failure(format!("gdb was told `{command}`: {error}")))
    }

    /// What it says to that.
    pub fn answer(&mut self) -> Result<String, Failure> {
        let mut answer = String::new();
        loop {
            let Ok(line) = self.lines.recv_timeout(PATIENCE) else {
                self.said += &answer;
                return Err(self.failure("gdb says no more"));
            };
            if line == DONE {
                self.said += &answer;
                return Ok(answer);
            }
            answer += &format!("{line}\n");
        }
    }

    /// Gives it a command; a line of what it says has these in it.
    pub fn expect(&mut self, command: &str, parts: &[&str]) -> Result<String, Failure> {
        let answer = self.ask(command)?;
        self.has(&answer, parts)?;
        Ok(answer)
    }

    /// A line of this answer has these in it.
    pub fn has(&self, answer: &str, parts: &[&str]) -> Verdict {
        match answer.lines().any(|line| parts.iter().all(|part| line.contains(part))) {
            true => Ok(()),
            false => Err(self.failure(format!("gdb gave no line with {parts:?}"))),
        }
    }

    /// The number that an expression has.
    pub fn value(&mut self, expression: &str) -> Result<u64, Failure> {
        let answer = self.ask(&format!("output/x {expression}"))?;
        let digits = answer.lines().find_map(|line| line.trim().strip_prefix("0x"));
        digits
            .and_then(|digits| u64::from_str_radix(digits, 16).ok())
            .ok_or_else(|| self.failure(format!("`{expression}` is no number")))
    }

    /// Ctrl-C.
    pub fn interrupt(&mut self) -> Verdict {
        let mut kill = Command::new("kill");
        kill.args(["-INT", &self.child.id().to_string()]);
        said_by(kill).map(|_| ())
    }

    /// It dies, and its connection with it.
    pub fn die(mut self) {
        let _ = self.child.kill();
    }

    /// A failure that shows the conversation.
    pub fn failure(&self, why: impl Into<String>) -> Failure {
        Failure::new(format!("{}; gdb was told and said:\n{}", why.into(), self.said))
    }
}

impl Drop for Gdb {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
