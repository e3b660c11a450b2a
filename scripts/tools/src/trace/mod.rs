//! `make trace`: the hypervisor's timeline, taken from a run or from a console's log, as files to
//! look at. `docs/trace.md` describes them.

pub mod capture;
pub mod devices;
pub mod fields;
pub mod file;
pub mod html;
pub mod log;
pub mod model;
pub mod pftrace;
pub mod qmp;
pub mod sample;
pub mod stats;
pub mod svg;
pub mod words;

#[cfg(test)]
mod tests;

use crate::{Error, Result, qemu::Machine, root, var};
use file::Trace;
use model::Model;
use std::{
    fs,
    io::Write,
    path::{Path, PathBuf},
    time::Duration,
};

/// Seconds that a run is let go on for.
const SECONDS: f64 = 2.0;
/// Crossings that a sequence diagram shows.
const FIRST: usize = 40;

/// What is wanted.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How long the machine runs.
    pub time: Duration,
    /// A log of the console to take the trace from, in place of a run.
    pub log: Option<PathBuf>,
    /// From when on, in nanoseconds, and how many crossings the sequence diagram shows, if one is
    /// wanted.
    pub diagram: Option<(u64, usize)>,
}

impl Settings {
    /// As `SECONDS`, `LOG`, `FORMAT`, `FIRST` and `AT` say.
    pub fn from_env() -> Result<Self> {
        let seconds = match var("SECONDS") {
            None => SECONDS,
            Some(text) => {
                let seconds =
                    text.parse().ok().filter(|seconds| (0.0..=86_400.0).contains(seconds));
                seconds.ok_or_else(|| usage("SECONDS", &text, "seconds, from 0 to 86400"))?
            }
        };
        let first = match var("FIRST") {
            None => FIRST,
            Some(text) => {
                let first = text.parse().ok().filter(|first| *first > 0);
                first.ok_or_else(|| usage("FIRST", &text, "a number of crossings"))?
            }
        };
        let at = match var("AT") {
            None => 0,
            Some(text) => {
                let at = text.parse().ok().and_then(|at: u64| at.checked_mul(1000));
                at.ok_or_else(|| usage("AT", &text, "microseconds, as the page shows them"))?
            }
        };
        let diagram = match var("FORMAT").as_deref() {
            None => None,
            Some("svg") => Some((at, first)),
            Some(other) => return Err(usage("FORMAT", other, "svg, for a sequence diagram too")),
        };
        let time = Duration::from_secs_f64(seconds);
        Ok(Self { time, log: var("LOG").map(PathBuf::from), diagram })
    }
}

fn usage(name: &str, found: &str, wanted: &str) -> Error {
    Error::Usage(format!("{name}={found}: wanted {wanted}"))
}

/// Takes the trace of a run of this machine, and writes all files.
pub fn of_run(machine: Machine, settings: &Settings) -> Result<()> {
    let file = target("trace.bin");
    let seconds = settings.time.as_secs_f64();
    eprintln!("the VMs run for {seconds} s, or until the machine is off");
    capture::capture(machine, settings.time, &file)?;
    let bytes = fs::read(&file).map_err(Error::file(&file))?;
    publish(&file, &bytes, settings)
}

/// Takes the trace that `trace dump` has printed into this log, and writes all files.
pub fn of_log(log: &Path, settings: &Settings) -> Result<()> {
    let text = fs::read(log).map_err(Error::file(log))?;
    let bytes = log::bytes(&String::from_utf8_lossy(&text));
    let bytes = bytes.map_err(|fault| Error::File { path: log.into(), why: fault.to_string() })?;
    write(&target("trace.bin"), &bytes)?;
    publish(log, &bytes, settings)
}

/// Writes what can be looked at, and says what that is. `source` is where the bytes are from.
fn publish(source: &Path, bytes: &[u8], settings: &Settings) -> Result<()> {
    let trace = Trace::parse(bytes)
        .map_err(|fault| Error::File { path: source.into(), why: fault.to_string() })?;
    let model = Model::new(&trace);
    write(&target("trace.pftrace"), &pftrace::write(&trace, &model))?;
    write(&target("trace.html"), html::page(&trace, &model).as_bytes())?;
    if let Some((at, first)) = settings.diagram {
        write(&target("trace.svg"), svg::draw(&trace, &model, at, first).as_bytes())?;
    }
    let mut report = format!("{}\n\n", summary(&trace, &model));
    report += &stats::table(&stats::rows(&trace, &model, model.span));
    report += "\ntarget/trace.html     to be opened in a browser\n\
               target/trace.pftrace  for https://ui.perfetto.dev, or Perfetto's other tools\n\
               target/trace.bin      the trace itself (docs/trace.md)\n";
    if let Some((_, first)) = settings.diagram {
        report += &format!("target/trace.svg      {first} crossings or loops, for paper\n");
    }
    // Whoever reads it may have read enough.
    let _ = std::io::stdout().write_all(report.as_bytes());
    Ok(())
}

/// How much there is, and how much is not.
fn summary(trace: &Trace, model: &Model) -> String {
    let time = trace.nanoseconds(model.span.ticks()) as f64 / 1e6;
    let (events, exits, pcpus) = (trace.events.len(), model.exits.len(), trace.rings.len());
    let lost = match trace.lost() {
        0 => "none lost".into(),
        lost => {
            let since = trace.nanoseconds(trace.whole_since() - model.span.start) as f64 / 1e6;
            format!(
                "the {lost} before them lost: all pCPUs are seen from {since:.3} ms on (APPEND=trace=RECORDS keeps more)"
            )
        }
    };
    let s = if pcpus == 1 { "" } else { "s" };
    format!("{events} events of {pcpus} pCPU{s} in {time:.3} ms, {exits} exits; {lost}")
}

fn target(name: &str) -> PathBuf {
    root().join("target").join(name)
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(path, bytes).map_err(Error::file(path))
}
