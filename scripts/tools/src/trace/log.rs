//! A trace as the monitor's `trace dump` prints it on the console, taken from a log of that.
//!
//! ```text
//! [monitor] trace 0x<offset> <64 bytes in 128 hex digits>
//! …
//! [monitor] trace end <bytes in all>
//! ```
//!
//! What is all zero is left out.

use crate::session::shown;
use std::fmt;

/// How each of the lines begins. (A guest's lines have the guest's name before them.)
const START: &str = "[monitor] trace ";
/// Bytes in a line.
const CHUNK: usize = 64;
/// No trace is larger; a log that says so is damaged.
const MOST: usize = 1 << 30;

/// What is wrong with a log: in which line, from 1 on, what stands there and what should.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    line: usize,
    found: String,
    wanted: &'static str,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}; wanted: {}", self.line, self.found, self.wanted)
    }
}

/// The bytes of the last whole trace in a console's log.
pub fn bytes(log: &str) -> Result<Vec<u8>, Fault> {
    let mut bytes = Vec::new();
    let mut last = None;
    for (line, text) in (1..).zip(log.lines()) {
        let text = shown(text.as_bytes());
        let Some(rest) = text.strip_prefix(START) else { continue };
        let fault = |wanted| Fault { line, found: format!("`{rest}`"), wanted };
        let mut words = rest.split_whitespace();
        match (words.next(), words.next(), words.next()) {
            (Some("end"), Some(total), None) => {
                let total = total.parse().ok().filter(|&total| total <= MOST);
                let total = total.ok_or_else(|| fault("a number of bytes behind `trace end`"))?;
                if bytes.len() > total {
                    return Err(fault("no less than the lines above it have"));
                }
                bytes.resize(total, 0);
                last = Some(std::mem::take(&mut bytes));
            }
            (Some(offset), Some(hex), None) if offset.starts_with("0x") => {
                let offset = usize::from_str_radix(&offset[2..], 16).ok();
                let offset = offset.filter(|offset| *offset < MOST && offset % CHUNK == 0);
                let offset = offset.ok_or_else(|| fault("an offset that is a multiple of 64"))?;
                let chunk = chunk(hex).ok_or_else(|| fault("128 hex digits behind the offset"))?;
                if offset < bytes.len() {
                    // Another dump, whose predecessor did not come to its end.
                    bytes.clear();
                }
                bytes.resize(offset, 0);
                bytes.extend(chunk);
            }
            // `trace: N records …`, and other words about traces.
            _ => {}
        }
    }
    last.ok_or_else(|| Fault {
        line: log.lines().count(),
        found: if bytes.is_empty() { "no trace".into() } else { "a trace without an end".into() },
        wanted: "the lines of `trace dump`, up to `[monitor] trace end BYTES`",
    })
}

fn chunk(hex: &str) -> Option<Vec<u8>> {
    if hex.len() != 2 * CHUNK || !hex.is_ascii() {
        return None;
    }
    let byte = |at: usize| u8::from_str_radix(&hex[at..at + 2], 16).ok();
    (0..hex.len()).step_by(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::Sample;

    #[test]
    fn what_was_dumped_is_read_back_among_other_lines() {
        let sample = Sample::busy(40);
        let dump = sample.console();
        let noise = "[mezzanine] INFO: trace: 64 records a pCPU at 0x4000, 0x9000 bytes\r\n\
                     [a] INFO: trace 0x0 00\r\n";
        let log = format!("{noise}{}", dump.replacen('\n', "\n[a] hello\n", 3));
        assert!(bytes(&log).unwrap() == sample.bytes());
        // The later one counts, also if the one before it was cut off.
        let cut = &dump[..dump.len() / 2];
        let cut = &cut[..cut.rfind('\n').unwrap() + 1];
        assert!(bytes(&format!("{cut}{dump}")).unwrap() == sample.bytes());
    }

    #[test]
    fn what_is_damaged_is_named_with_its_line() {
        let fault = |log: &str| bytes(log).unwrap_err().to_string();
        assert_eq!(
            fault("x\n[monitor] trace 0x0 12\n"),
            "line 2: `0x0 12`; wanted: 128 hex digits behind the offset"
        );
        assert_eq!(
            fault("[monitor] trace 0x5 12\n"),
            "line 1: `0x5 12`; wanted: an offset that is a multiple of 64"
        );
        assert_eq!(
            fault("[monitor] trace end many\n"),
            "line 1: `end many`; wanted: a number of bytes behind `trace end`"
        );
        assert!(
            fault("hello\n").starts_with("line 1: no trace; wanted: the lines of `trace dump`")
        );
        let chunk = format!("[monitor] trace 0x40 {}\n", "ab".repeat(64));
        assert!(fault(&chunk).starts_with("line 1: a trace without an end"));
    }
}
