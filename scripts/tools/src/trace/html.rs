//! A trace as one page that needs nothing else: `page.html` with the data in it.
//!
//! Each list is a few columns of numbers, every column a string of LEB128 numbers in base 64; times
//! are ticks from the trace's start, each the distance to the one before it. Texts are made here, so
//! that they are the hypervisor's own, and kept once each.

use super::{
    devices, fields,
    file::Trace,
    model::{Doing, Effect, Model, Run, Span, VcpuIndex},
    words,
};
use base64::{Engine, prelude::BASE64_STANDARD};
use mezzanine::{
    exit::esr::Esr,
    trace::format::{Event, JOB, Kind},
};
use serde_json::{Map, Value, json};
use std::collections::HashMap;

/// The page, with a place for the data and for the title.
const PAGE: &str = include_str!("page.html");
/// What stands in these places.
const DATA: &str = "{/*DATA*/}";
const TITLE: &str = "<!--TITLE-->";

/// Makes the page.
pub fn page(trace: &Trace, model: &Model) -> String {
    let title = match trace.vms.as_slice() {
        [] => "no VM".into(),
        names => names.join(", "),
    };
    // Within a script element nothing may look like its end.
    let data = data(trace, model).to_string().replace('<', "\\u003c");
    PAGE.replace(TITLE, &escaped(&title)).replacen(DATA, &data, 1)
}

/// A text as HTML and XML take it.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// A column of numbers.
#[derive(Default)]
struct Column(Vec<u8>);

impl Column {
    fn push(&mut self, mut number: u64) {
        while number >= 0x80 {
            self.0.push(number as u8 | 0x80);
            number >>= 7;
        }
        self.0.push(number as u8);
    }
}

/// The columns of a list, by name.
struct List {
    names: &'static [&'static str],
    columns: Vec<Column>,
    count: usize,
    last: u64,
    origin: u64,
}

impl List {
    /// The first column is the time.
    fn new(origin: u64, names: &'static [&'static str]) -> Self {
        let columns = names.iter().map(|_| Column::default()).collect();
        Self { names, columns, count: 0, last: 0, origin }
    }

    fn push(&mut self, time: u64, numbers: impl IntoIterator<Item = u64>) {
        let time = time.saturating_sub(self.origin);
        let distance = std::iter::once(time.saturating_sub(self.last));
        self.last = self.last.max(time);
        self.count += 1;
        for (column, number) in self.columns.iter_mut().zip(distance.chain(numbers)) {
            column.push(number);
        }
    }

    fn json(self) -> Value {
        let mut columns = Map::new();
        for (name, column) in self.names.iter().zip(self.columns) {
            columns.insert((*name).into(), BASE64_STANDARD.encode(column.0).into());
        }
        json!({ "count": self.count, "columns": columns })
    }
}

/// Texts, each once.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    known: HashMap<String, u64>,
}

impl Texts {
    fn add(&mut self, text: String) -> u64 {
        if let Some(index) = self.known.get(&text) {
            return *index;
        }
        let index = self.all.len() as u64;
        self.known.insert(text.clone(), index);
        self.all.push(text);
        index
    }

    /// An address, or 0 for none: the first text is empty.
    fn address(&mut self, address: Option<u64>) -> u64 {
        address.map_or(0, |address| self.add(format!("{address:#x}")))
    }
}

fn data(trace: &Trace, model: &Model) -> Value {
    let mut texts = Texts::default();
    texts.add(String::new());
    let since: Vec<u64> = trace.rings.iter().map(|ring| ring.since).collect();
    let vcpus: Vec<Value> = (0..model.vcpus.len())
        .map(|index| json!({ "vm": vm(trace, model, index), "name": model.name(trace, index) }))
        .collect();
    let kinds: Vec<&str> = Kind::ALL.iter().map(|(_, name)| *name).collect();
    let events: Map<String, Value> = Event::ALL
        .iter()
        .map(|event| ((*event as u8).to_string(), words::event(*event).into()))
        .collect();
    json!({
        "frequency": trace.frequency,
        "end": model.span.ticks(),
        "events": trace.events.len(),
        "lost": trace.rings.iter().map(|ring| ring.lost).collect::<Vec<_>>(),
        "since": since.iter().map(|time| time.saturating_sub(model.span.start)).collect::<Vec<_>>(),
        "vms": trace.vms,
        "vcpus": vcpus,
        "kinds": kinds,
        "eventNames": events,
        "syndromes": syndromes(model),
        "exits": exits(model, &mut texts),
        "guests": guests(model, &mut texts),
        "sleeps": sleeps(model),
        "others": others(trace, model),
        "states": states(model),
        "marks": marks(trace, model, &mut texts),
        "flows": flows(model),
        "texts": texts.all,
    })
}

/// The number of a vCPU's VM, or -1.
fn vm(trace: &Trace, model: &Model, vcpu: VcpuIndex) -> i32 {
    let (vm, _) = model.vcpus[vcpu];
    if trace.vm(vm).is_some() { vm.into() } else { -1 }
}

/// The fields of each syndrome that there is, by its number.
fn syndromes(model: &Model) -> Value {
    let mut all = Map::new();
    for exit in model.exits.iter().filter(|exit| exit.event != Event::ExitIrq) {
        let esr = exit.record.detail;
        all.entry(esr.to_string()).or_insert_with(|| {
            let field = |field: fields::Field| {
                let (high, low) = field.bits;
                let bits = if high == low { high.to_string() } else { format!("{high}:{low}") };
                json!([field.name, bits, format!("{:#x}", field.value), field.words])
            };
            fields::of(Esr::new(esr.into())).into_iter().map(field).collect()
        });
    }
    all.into()
}

fn exits(model: &Model, texts: &mut Texts) -> Value {
    const NAMES: &[&str] = &[
        "start", "length", "slept", "pcpu", "vcpu", "kind", "title", "words", "sync", "esr", "pc",
        "far", "ipa", "handled", "next", "ends", "level",
    ];
    let mut list = List::new(model.span.start, NAMES);
    for (exit, marks) in model.exits.iter().zip(&model.marks_by_exit()) {
        let (far, ipa) = words::addresses(exit).unzip();
        let (handled, next) = exit.handled.unzip();
        let row = [
            exit.span.ticks(),
            exit.slept,
            exit.pcpu.into(),
            exit.vcpu as u64,
            exit.kind as u64,
            texts.add(words::title(exit, marks)),
            texts.add(words::sentence(exit)),
            u64::from(exit.event != Event::ExitIrq),
            exit.record.detail.into(),
            texts.address(words::pc(exit)),
            texts.address(far),
            ipa.flatten().map_or(0, |ipa| texts.add(place(ipa))),
            handled.map_or(0, |time| time.saturating_sub(exit.span.start) + 1),
            texts.address(next),
            // Not seen, goes on, or leaves.
            if handled.is_none() { 0 } else { 1 + u64::from(exit.leaves) },
            texts.add(exit.pstate.map_or_else(String::new, words::level)),
        ];
        list.push(exit.span.start, row);
    }
    list.json()
}

/// An IPA, with the name of the register that is there.
fn place(ipa: u64) -> String {
    let register = devices::register(ipa).map(|name| format!(" ({name})"));
    format!("{ipa:#x}{}", register.unwrap_or_default())
}

fn guests(model: &Model, texts: &mut Texts) -> Value {
    let mut list = List::new(model.span.start, &["start", "length", "pcpu", "vcpu", "pc", "level"]);
    let mut guests = model.guests.clone();
    guests.sort_by_key(|guest| guest.span.start);
    for guest in &guests {
        let (pc, pstate) = guest.entered.unzip();
        let level = texts.add(pstate.map_or_else(String::new, words::level));
        let (pcpu, vcpu) = (guest.pcpu.into(), guest.vcpu as u64);
        let row = [guest.span.ticks(), pcpu, vcpu, texts.address(pc), level];
        list.push(guest.span.start, row);
    }
    list.json()
}

fn sleeps(model: &Model) -> Value {
    let mut list = List::new(model.span.start, &["start", "length", "pcpu"]);
    let mut idles = model.idles.clone();
    idles.sort_by_key(|(_, span)| span.start);
    for (pcpu, span) in &idles {
        list.push(span.start, [span.ticks(), (*pcpu).into()]);
    }
    list.json()
}

/// When EL2 had a pCPU for something else than an exit: for a job, or to choose what to run, to load
/// and to put it. What neither a guest, nor an exit, nor sleep is, on each pCPU.
fn others(trace: &Trace, model: &Model) -> Value {
    let is_job = |run: &&Run| model.vcpus[run.vcpu].1 == JOB;
    let jobs =
        model.runs.iter().filter(is_job).map(|run| (run.pcpu, run.span, run.vcpu as u64 + 1));
    let mut others: Vec<_> = jobs.collect();
    let mut spans: Vec<Vec<Span>> = vec![Vec::new(); trace.rings.len()];
    let guests = model.guests.iter().map(|guest| (guest.pcpu, guest.span));
    let exits = model.exits.iter().map(|exit| (exit.pcpu, exit.span));
    let jobs = others.iter().map(|(pcpu, span, _)| (*pcpu, *span));
    for (pcpu, span) in guests.chain(exits).chain(model.idles.iter().copied()).chain(jobs) {
        spans[usize::from(pcpu)].push(span);
    }
    for ((pcpu, ring), spans) in (0..).zip(&trace.rings).zip(&mut spans) {
        spans.sort_by_key(|span| span.start);
        let mut end = ring.since;
        // What follows the last is not known.
        for span in spans {
            if end < span.start {
                others.push((pcpu, Span { start: end, end: span.start }, 0));
            }
            end = end.max(span.end);
        }
    }
    others.sort_by_key(|(_, span, _)| span.start);
    let mut list = List::new(model.span.start, &["start", "length", "pcpu", "who"]);
    for (pcpu, span, who) in others {
        list.push(span.start, [span.ticks(), pcpu.into(), who]);
    }
    list.json()
}

fn states(model: &Model) -> Value {
    let mut list = List::new(model.span.start, &["start", "length", "vcpu", "doing"]);
    let mut states = model.states.clone();
    states.sort_by_key(|state| state.span.start);
    for state in &states {
        let doing = match state.doing {
            Doing::Blocked => 0,
            Doing::Ready => 1,
            Doing::Running(pcpu) => 2 + u64::from(pcpu),
        };
        list.push(state.span.start, [state.span.ticks(), state.vcpu as u64, doing]);
    }
    list.json()
}

fn marks(trace: &Trace, model: &Model, texts: &mut Texts) -> Value {
    const NAMES: &[&str] = &["start", "pcpu", "who", "event", "words", "exit"];
    let mut list = List::new(model.span.start, NAMES);
    for mark in &model.marks {
        let row = [
            mark.stamped.pcpu.into(),
            mark.vcpu.map_or(0, |vcpu| vcpu as u64 + 1),
            mark.stamped.event as u64,
            texts.add(words::mark(trace, model, mark)),
            mark.exit.map_or(0, |exit| exit as u64 + 1),
        ];
        list.push(mark.stamped.record.time, row);
    }
    list.json()
}

fn flows(model: &Model) -> Value {
    let mut list = List::new(model.span.start, &["start", "length", "event", "from", "to"]);
    let mut flows = model.flows.clone();
    let time = |cause: usize| model.marks[cause].stamped.record.time;
    flows.sort_by_key(|flow| time(flow.cause));
    for flow in &flows {
        let cause = &model.marks[flow.cause].stamped;
        let (end, to) = match flow.effect {
            Effect::Mark(mark) => {
                let stamped = &model.marks[mark].stamped;
                (stamped.record.time, stamped.pcpu)
            }
            Effect::Run(run) => (model.runs[run].span.start, model.runs[run].pcpu),
            Effect::Guest(guest) => (model.guests[guest].span.start, model.guests[guest].pcpu),
        };
        let length = end.saturating_sub(cause.record.time);
        let row = [length, cause.event as u64, cause.pcpu.into(), to.into()];
        list.push(cause.record.time, row);
    }
    list.json()
}
