//! Runs QEMU for a person or for a script, and turns the hypervisor's last line into a status.

use crate::{
    Error, Result,
    qemu::{Machine, program},
    session::{End, Session},
    var,
};
use std::{
    io::{IsTerminal, stdin},
    process::{Command, Stdio},
    time::{Duration, Instant},
};

/// The status of a run that took too long, as of coreutils' `timeout`.
const TIMED_OUT: i32 = 124;

/// Seconds that a run may take when nobody sits at the terminal and `TIMEOUT` doesn't say.
const DEFAULT_TIMEOUT: u64 = 120;

/// What is expected of the end of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The hypervisor's last line, whose status counts.
    LastLine,
    /// A guest on the bare machine: QEMU's own status counts.
    Exit,
}

/// Starts the machine with this process's terminal; returns the status to exit with.
///
/// With no terminal on standard input the words of the machine's command line get `batch`, and
/// the run a time limit.
pub fn run(mut machine: Machine, ending: Ending) -> Result<i32> {
    let interactive = stdin().is_terminal();
    if !interactive {
        machine.append.push("batch".into());
    }
    let terminal = interactive.then(Terminal::save);
    let timeout = timeout(interactive)?;
    let mut session = Session::attached(&mut machine.command())?;
    let end = session.finish(timeout.map(|seconds| Instant::now() + seconds))?;
    drop(terminal);
    Ok(match (end, ending) {
        (End::Status(status), _) => status,
        (End::Left, _) => 0,
        (End::TimedOut, _) => {
            let seconds = timeout.unwrap_or_default().as_secs();
            eprintln!("runner: not at its end after {seconds} s (TIMEOUT=), stopped");
            TIMED_OUT
        }
        (End::Exited(exit), Ending::Exit) => exit.code().unwrap_or(1),
        (End::Exited(exit), Ending::LastLine) => {
            eprintln!(
                "runner: {} ended ({exit}) without the line \
                 `[mezzanine] machine off: status N`",
                program()
            );
            exit.code().filter(|&code| code != 0).unwrap_or(1)
        }
    })
}

/// `TIMEOUT`, in seconds, 0 for none; by default only where nobody can end the run by hand.
fn timeout(interactive: bool) -> Result<Option<Duration>> {
    let seconds = match var("TIMEOUT") {
        Some(text) => text
            .parse()
            .map_err(|_| Error::Usage(format!("TIMEOUT={text}: seconds were wanted")))?,
        None if interactive => 0,
        None => DEFAULT_TIMEOUT,
    };
    Ok((seconds > 0).then(|| Duration::from_secs(seconds)))
}

/// The terminal's settings, put back when dropped: QEMU takes the keyboard raw, and one that was
/// killed leaves it so.
struct Terminal(Option<String>);

impl Terminal {
    fn save() -> Self {
        let output = Command::new("stty").arg("-g").stdin(Stdio::inherit()).output();
        let settings = output.ok().filter(|output| output.status.success());
        Terminal(settings.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        if let Some(settings) = &self.0 {
            let _ = Command::new("stty").arg(settings).stdin(Stdio::inherit()).status();
        }
    }
}
