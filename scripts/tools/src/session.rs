//! A QEMU process whose output is watched, line by line, for the hypervisor's last word.

use crate::{Error, Result};
use std::{
    io::{Read, Write},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

/// How long QEMU may take to end by itself after the hypervisor's last line.
const GRACE: Duration = Duration::from_secs(2);

/// What the hypervisor's last line starts with; the status follows.
const LAST_LINE: &str = "[mezzanine] machine off: status ";

/// Follows the console for the line `[mezzanine] machine off: status N`.
///
/// Only a line that nothing follows counts: a guest's text has the guest's name before it, and one
/// that finds a way around that does not speak last.
#[derive(Debug, Default)]
pub struct Watch {
    line: Vec<u8>,
    status: Option<i32>,
    left: bool,
}

impl Watch {
    /// Takes the next bytes of the console.
    pub fn feed(&mut self, bytes: &[u8]) {
        for &byte in bytes {
            if byte == b'\n' {
                let text = shown(&self.line);
                if !text.is_empty() {
                    let number = text.strip_prefix(LAST_LINE);
                    self.status = number.and_then(|number| number.parse().ok());
                    self.left = text.ends_with("QEMU: Terminated");
                }
                self.line.clear();
            } else {
                self.line.push(byte);
            }
        }
    }

    /// The status, once the last line has been seen and as long as it is the last.
    pub fn status(&self) -> Option<i32> {
        self.status.filter(|_| shown(&self.line).is_empty())
    }

    /// Whether the person at the terminal ended QEMU by `Ctrl-A x`.
    pub fn was_left(&self) -> bool {
        self.left
    }
}

/// What a terminal shows of a line at its end: the console takes an unfinished line back with
/// `\r ESC [ K` before it writes another one.
pub fn shown(line: &[u8]) -> String {
    let text = String::from_utf8_lossy(line);
    let text = text.rsplit("\r\u{1b}[K").next().unwrap_or_default();
    text.trim_matches(['\r', '\n']).to_owned()
}

/// How a session ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The hypervisor's last line said so.
    Status(i32),
    /// QEMU ended, with its own status, and no last line.
    Exited(ExitStatus),
    /// The person at the terminal left.
    Left,
    /// Time was up.
    TimedOut,
}

/// Bytes of the console, or QEMU's own complaints, which may come in the middle of a line of it.
enum Chunk {
    Console(Vec<u8>),
    Complaint(Vec<u8>),
}

/// A running QEMU.
pub struct Session {
    child: Child,
    output: Receiver<Chunk>,
    watch: Watch,
    /// Everything the console said so far.
    pub raw: Vec<u8>,
    /// What QEMU itself had to say.
    pub complaints: Vec<u8>,
    stdin: Option<ChildStdin>,
    echo: bool,
}

impl Session {
    /// Starts QEMU with this process's own terminal and shows its output.
    pub fn attached(command: &mut Command) -> Result<Self> {
        Session::start(command.stdin(Stdio::inherit()), true)
    }

    /// Starts QEMU with its console in the caller's hands.
    pub fn held(command: &mut Command) -> Result<Self> {
        Session::start(command.stdin(Stdio::piped()).stderr(Stdio::piped()), false)
    }

    fn start(command: &mut Command, echo: bool) -> Result<Self> {
        let program = command.get_program().to_string_lossy().into_owned();
        let mut child = command.stdout(Stdio::piped()).spawn().map_err(|error| {
            if error.kind() == std::io::ErrorKind::NotFound {
                Error::Missing {
                    program: program.clone(),
                    remedy: "apt-get install qemu-system-arm, or name one by QEMU=",
                }
            } else {
                Error::Failed { what: program.clone(), how: error.to_string() }
            }
        })?;
        let (sender, output) = channel();
        if let Some(stream) = child.stdout.take() {
            forward(stream, sender.clone(), Chunk::Console);
        }
        if let Some(stream) = child.stderr.take() {
            forward(stream, sender, Chunk::Complaint);
        }
        Ok(Session {
            stdin: child.stdin.take(),
            child,
            output,
            watch: Watch::default(),
            raw: Vec::new(),
            complaints: Vec::new(),
            echo,
        })
    }

    /// Types on the console.
    pub fn send(&mut self, text: &str) -> Result<()> {
        let Some(stdin) = &mut self.stdin else {
            return Ok(());
        };
        // Long input at once overruns the PL011's FIFO of 16 bytes: a person types slowly.
        for chunk in text.as_bytes().chunks(8) {
            let written = stdin.write_all(chunk).and_then(|()| stdin.flush());
            written.map_err(|error| Error::Failed {
                what: "typing on the console".into(),
                how: error.to_string(),
            })?;
            thread::sleep(Duration::from_millis(5));
        }
        Ok(())
    }

    /// Waits until the console has said `text` after the first `from` bytes of it; returns where
    /// in the output it ends, or `None` when QEMU ended or time was up before.
    pub fn wait_for(&mut self, text: &str, from: usize, deadline: Instant) -> Option<usize> {
        let length = text.len().max(1);
        let mut from = from;
        loop {
            let heard = self.raw.get(from..).unwrap_or_default();
            let found = heard.windows(length).position(|window| window == text.as_bytes());
            if let Some(at) = found {
                return Some(from + at + text.len());
            }
            // What was looked through is not looked through again.
            from = from.max((self.raw.len() + 1).saturating_sub(length));
            let left = deadline.checked_duration_since(Instant::now())?;
            let chunk = self.output.recv_timeout(left).ok()?;
            self.take(chunk);
        }
    }

    /// Listens to the console until then. False if QEMU ended before.
    pub fn listen(&mut self, until: Instant) -> bool {
        while let Some(left) = until.checked_duration_since(Instant::now()) {
            match self.output.recv_timeout(left) {
                Ok(chunk) => self.take(chunk),
                Err(end) => return end == RecvTimeoutError::Timeout,
            }
        }
        true
    }

    /// Waits for the end: of QEMU, of the grace after the last line, or of the time given.
    pub fn finish(&mut self, mut deadline: Option<Instant>) -> Result<End> {
        let mut grace = None;
        loop {
            let until = grace.or(deadline);
            let left = until.map_or(Duration::from_secs(3600), |until: Instant| {
                until.saturating_duration_since(Instant::now())
            });
            // One that never stops talking is over time, too.
            let received = match left {
                Duration::ZERO => Err(RecvTimeoutError::Timeout),
                left => self.output.recv_timeout(left),
            };
            match received {
                Ok(chunk) => {
                    self.take(chunk);
                    grace = self.watch.status().map(|_| Instant::now() + GRACE);
                }
                Err(RecvTimeoutError::Disconnected) => {
                    let exit = self.child.wait().map_err(|error| Error::Failed {
                        what: "waiting for QEMU".into(),
                        how: error.to_string(),
                    })?;
                    return Ok(match self.watch.status() {
                        Some(status) => End::Status(status),
                        None if self.watch.was_left() => End::Left,
                        None => End::Exited(exit),
                    });
                }
                Err(RecvTimeoutError::Timeout) if until.is_none() => deadline = None,
                Err(RecvTimeoutError::Timeout) => {
                    self.stop();
                    return Ok(self.watch.status().map_or(End::TimedOut, End::Status));
                }
            }
        }
    }

    /// Ends QEMU: politely, so that it puts the terminal back in order, then for good.
    pub fn stop(&mut self) {
        let _ = Command::new("kill")
            .args(["-TERM", &self.child.id().to_string()])
            .stderr(Stdio::null())
            .status();
        for _ in 0..50 {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn take(&mut self, chunk: Chunk) {
        let chunk = match chunk {
            Chunk::Console(bytes) => bytes,
            Chunk::Complaint(bytes) => return self.complaints.extend(bytes),
        };
        if self.echo {
            // Whoever reads our output may have gone; QEMU's end is still to be waited for.
            let mut out = std::io::stdout().lock();
            let _ = out.write_all(&chunk).and_then(|()| out.flush());
        } else {
            self.raw.extend_from_slice(&chunk);
        }
        self.watch.feed(&chunk);
    }
}

/// Sends what a stream says, until nobody listens or nothing comes.
fn forward(mut stream: impl Read + Send + 'static, to: Sender<Chunk>, kind: fn(Vec<u8>) -> Chunk) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(count @ 1..) = stream.read(&mut buffer) {
            if to.send(kind(buffer[..count].to_vec())).is_err() {
                break;
            }
        }
    });
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            self.stop();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(output: &str) -> Option<i32> {
        let mut watch = Watch::default();
        // Split in the most awkward way: a byte at a time.
        output.as_bytes().iter().for_each(|b| watch.feed(&[*b]));
        watch.status()
    }

    #[test]
    fn the_last_line_gives_the_status() {
        assert_eq!(status("[a] hi\r\n[mezzanine] machine off: status 0\r\n"), Some(0));
        assert_eq!(status("[mezzanine] machine off: status 3\n\n"), Some(3));
        assert_eq!(status("[mezzanine] machine off: status 3"), None);
        assert_eq!(status("[mezzanine] machine off: status x\n"), None);
    }

    #[test]
    fn an_unfinished_line_that_was_taken_back_is_not_in_the_way() {
        let output = "[a] benos> \r\x1b[K[mezzanine] machine off: status 1\r\n";
        assert_eq!(status(output), Some(1));
    }

    #[test]
    fn a_guest_does_not_speak_for_the_hypervisor() {
        assert_eq!(status("[a] [mezzanine] machine off: status 0\n"), None);
        assert_eq!(status("[mezzanine] machine off: status 0\n[a] still here\n"), None);
        assert_eq!(status("[mezzanine] machine off: status 0\n[a] still"), None);
    }
}
