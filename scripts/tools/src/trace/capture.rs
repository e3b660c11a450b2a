//! Takes the trace of a running machine: QEMU stops it and writes the memory that the trace is in.

use super::qmp::{self, Qmp};
use crate::{
    Error, Result,
    qemu::Machine,
    root,
    session::{Session, shown},
};
use serde_json::json;
use std::{
    fs,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

/// How long the hypervisor may take to begin its trace: QEMU starts, and reads its images.
const BOOT: Duration = Duration::from_secs(60);
/// Lines of the console that a failure shows.
const LAST_LINES: usize = 12;

/// Boots the machine with its trace switched on, lets it run for `time`, or until it switches itself
/// off, and writes what the trace holds then to `file`. Returns what the console said.
pub fn capture(mut machine: Machine, time: Duration, file: &Path) -> Result<String> {
    if !machine.append.iter().any(|word| word.split([' ', '=']).next() == Some("trace")) {
        machine.append.push("trace".into());
    }
    machine.append.push("batch".into());
    let socket = Socket(qmp::socket(&root().join("target")));
    machine.extra.extend(qmp::option(&socket.0));
    // A machine that is off keeps its memory, and QEMU with it.
    machine.extra.push("-no-shutdown".into());
    let mut session = Session::held(&mut machine.command())?;
    let boot = Instant::now() + BOOT;
    let begun = begun(&mut session, boot)?;
    let mut qmp = loop {
        match Qmp::connect(&socket.0)? {
            Some(qmp) => break qmp,
            None if Instant::now() < boot => thread::sleep(Duration::from_millis(10)),
            None => return Err(failed(&session, "QEMU's monitor does not answer")),
        }
    };
    let until = Instant::now() + time;
    let lost = |session: &Session, error: Error| failed(session, &error.to_string());
    while Instant::now() < until && qmp.is_running().map_err(|error| lost(&session, error))? {
        let pause = until.min(Instant::now() + Duration::from_millis(50));
        if !session.listen(pause) {
            return Err(failed(&session, "QEMU ended"));
        }
    }
    qmp.execute("stop", json!({})).map_err(|error| lost(&session, error))?;
    // The file may be there from another run.
    let _ = fs::remove_file(file);
    let arguments = json!({ "val": begun.pa, "size": begun.bytes, "filename": file });
    qmp.execute("pmemsave", arguments)?;
    let _ = qmp.execute("quit", json!({}));
    session.finish(Some(Instant::now() + Duration::from_secs(10)))?;
    Ok(String::from_utf8_lossy(&session.raw).into_owned())
}

/// Where the hypervisor says that its trace is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Area {
    pa: u64,
    bytes: u64,
}

/// Waits for the hypervisor to say that its trace has begun.
fn begun(session: &mut Session, deadline: Instant) -> Result<Area> {
    let mut from = 0;
    while let Some(end) = session.wait_for("\n", from, deadline) {
        let line = shown(&session.raw[from..end]);
        if let Some((level, line)) = line.split_once(": trace: ")
            && level.starts_with("[mezzanine] ")
        {
            return area(line).ok_or_else(|| failed(session, "the hypervisor has no trace"));
        }
        if line.starts_with("[mezzanine] machine off") {
            break;
        }
        from = end;
    }
    if !session.listen(Instant::now() + Duration::from_millis(200)) {
        return Err(failed(session, "QEMU ended before there was a trace"));
    }
    let wanted = "[mezzanine] INFO: trace: N records a pCPU at 0xADDRESS, 0xSIZE bytes";
    Err(failed(session, &format!("the console says nothing like `{wanted}`")))
}

/// The numbers of `4096 records a pCPU at 0x7fe00000, 0x40080 bytes`.
fn area(line: &str) -> Option<Area> {
    let (_, rest) = line.split_once(" at 0x")?;
    let (pa, rest) = rest.split_once(", 0x")?;
    let (bytes, _) = rest.split_once(" bytes")?;
    let number = |digits| u64::from_str_radix(digits, 16).ok();
    Some(Area { pa: number(pa)?, bytes: number(bytes)? })
}

/// What failed, with the last words of the console and of QEMU.
fn failed(session: &Session, how: &str) -> Error {
    let console: Vec<_> = session.raw.split(|&byte| byte == b'\n').map(shown).collect();
    let complaints = String::from_utf8_lossy(&session.complaints);
    let lines = console.iter().map(String::as_str).chain(complaints.lines());
    let lines: Vec<_> = lines.filter(|line| !line.is_empty()).collect();
    let (early, last) = lines.split_at(lines.len().saturating_sub(LAST_LINES));
    let is_complaint = |line: &&&str| {
        line.starts_with("[mezzanine] ERROR") || line.starts_with("[mezzanine] WARN")
    };
    let shown = early.iter().filter(is_complaint).chain(last).map(|line| format!("\n  {line}"));
    let how = match shown.collect::<String>() {
        nothing if nothing.is_empty() => format!("{how}, and said nothing"),
        shown => format!("{how}; the last lines were:{shown}"),
    };
    Error::Failed { what: "taking a trace".into(), how }
}

/// A socket's file, which goes with its user.
struct Socket(PathBuf);

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_hypervisor_says_where_its_trace_is() {
        let line = "4096 records a pCPU at 0x7fe00000, 0x40080 bytes\r\n";
        assert_eq!(area(line), Some(Area { pa: 0x7fe0_0000, bytes: 0x4_0080 }));
        assert_eq!(area("0 bytes wanted, more than EL2's heap has in a row"), None);
    }
}
