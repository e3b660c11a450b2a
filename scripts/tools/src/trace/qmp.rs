//! QEMU's monitor for machines (QMP): a line of JSON each way, over a socket.

use crate::{Error, Result};
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    io::{BufRead, BufReader, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

/// How long QEMU may take for an answer.
const PATIENCE: Duration = Duration::from_secs(20);
/// A socket's name may have no more bytes than this on any system.
const SOCKET_NAME: usize = 100;

/// A connection to a QEMU that was started with [`option`].
pub struct Qmp {
    stream: BufReader<UnixStream>,
    events: VecDeque<String>,
}

/// Where the socket is: in `directory` if its name is short enough there, else where temporary files
/// are.
pub fn socket(directory: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    let name = format!("qmp-{}-{number}.sock", std::process::id());
    let here = directory.join(&name);
    if here.as_os_str().len() <= SOCKET_NAME { here } else { std::env::temp_dir().join(name) }
}

/// What QEMU is to be told for it.
pub fn option(socket: &Path) -> [String; 2] {
    ["-qmp".into(), format!("unix:{},server=on,wait=off", socket.display())]
}

impl Qmp {
    /// Connects; `None` while QEMU does not listen yet.
    pub fn connect(socket: &Path) -> Result<Option<Self>> {
        let Ok(stream) = UnixStream::connect(socket) else { return Ok(None) };
        stream.set_read_timeout(Some(PATIENCE)).map_err(|error| failed("connecting", error))?;
        let mut this = Self { stream: BufReader::new(stream), events: VecDeque::new() };
        this.line()?;
        this.execute("qmp_capabilities", json!({}))?;
        Ok(Some(this))
    }

    /// Executes a command, and waits until that is done.
    pub fn execute(&mut self, command: &str, arguments: Value) -> Result<Value> {
        let line = json!({ "execute": command, "arguments": arguments });
        writeln!(self.stream.get_mut(), "{line}").map_err(|error| failed(command, error))?;
        loop {
            let answer = self.line()?;
            if let Some(event) = answer["event"].as_str() {
                self.events.push_back(event.into());
            } else if let Some(error) = answer.get("error") {
                return Err(failed(command, &error["desc"]));
            } else {
                return Ok(answer["return"].clone());
            }
        }
    }

    /// Whether the machine runs: not if it was stopped, or has switched itself off.
    pub fn is_running(&mut self) -> Result<bool> {
        Ok(self.execute("query-status", json!({}))?["running"] == true)
    }

    fn line(&mut self) -> Result<Value> {
        let mut line = String::new();
        let read = self.stream.read_line(&mut line).map_err(|error| failed("an answer", error))?;
        if read == 0 {
            return Err(failed("an answer", "QEMU has ended"));
        }
        serde_json::from_str(&line).map_err(|_| failed("an answer", format!("found `{line}`")))
    }
}

fn failed(what: &str, how: impl std::fmt::Display) -> Error {
    Error::Failed { what: format!("QEMU's monitor, {what}"), how: how.to_string() }
}
