//! A trace as a Perfetto trace file: TrackEvents in protobuf (perfetto's
//! `protos/perfetto/trace/trace_packet.proto` and `track_event/*.proto`), of which only the fields
//! that are used here are declared.
//!
//! A process `pCPUs` has a thread a pCPU: what it runs, and within that the guest and EL2 by turns.
//! Each VM is a process with a thread a vCPU: what it does, and within that its exits.

use super::{
    file::Trace,
    model::{Doing, Effect, Exit, Guest, Mark, Model, Span, VcpuIndex},
    words,
};
use mezzanine::trace::format::Event;
use prost::Message;
use std::collections::HashMap;

/// `perfetto.protos.Trace`.
#[derive(Clone, PartialEq, Message)]
pub struct File {
    /// Its packets.
    #[prost(message, repeated, tag = "1")]
    pub packet: Vec<TracePacket>,
}

/// `perfetto.protos.TracePacket`.
#[derive(Clone, PartialEq, Message)]
pub struct TracePacket {
    /// In units of its clock: nanoseconds here.
    #[prost(uint64, optional, tag = "8")]
    pub timestamp: Option<u64>,
    /// Which writer it is from.
    #[prost(uint32, optional, tag = "10")]
    pub trusted_packet_sequence_id: Option<u32>,
    /// An event.
    #[prost(message, optional, tag = "11")]
    pub track_event: Option<TrackEvent>,
    /// `SequenceFlags`: 1 in a writer's first packet.
    #[prost(uint32, optional, tag = "13")]
    pub sequence_flags: Option<u32>,
    /// `BuiltinClock`.
    #[prost(uint32, optional, tag = "58")]
    pub timestamp_clock_id: Option<u32>,
    /// A track.
    #[prost(message, optional, tag = "60")]
    pub track_descriptor: Option<TrackDescriptor>,
}

/// `perfetto.protos.TrackDescriptor`.
#[derive(Clone, PartialEq, Message)]
pub struct TrackDescriptor {
    /// What events name it by.
    #[prost(uint64, optional, tag = "1")]
    pub uuid: Option<u64>,
    /// A process's own track.
    #[prost(message, optional, tag = "3")]
    pub process: Option<ProcessDescriptor>,
    /// A thread's track.
    #[prost(message, optional, tag = "4")]
    pub thread: Option<ThreadDescriptor>,
}

/// `perfetto.protos.ProcessDescriptor`.
#[derive(Clone, PartialEq, Message)]
pub struct ProcessDescriptor {
    /// Its number.
    #[prost(int32, optional, tag = "1")]
    pub pid: Option<i32>,
    /// Its name.
    #[prost(string, optional, tag = "6")]
    pub process_name: Option<String>,
}

/// `perfetto.protos.ThreadDescriptor`.
#[derive(Clone, PartialEq, Message)]
pub struct ThreadDescriptor {
    /// Of which process.
    #[prost(int32, optional, tag = "1")]
    pub pid: Option<i32>,
    /// Its number, which no other thread of any process has.
    #[prost(int32, optional, tag = "2")]
    pub tid: Option<i32>,
    /// Its name.
    #[prost(string, optional, tag = "5")]
    pub thread_name: Option<String>,
}

/// `perfetto.protos.TrackEvent`.
#[derive(Clone, PartialEq, Message)]
pub struct TrackEvent {
    /// Arguments.
    #[prost(message, repeated, tag = "4")]
    pub debug_annotations: Vec<DebugAnnotation>,
    /// What it is.
    #[prost(enumeration = "Type", optional, tag = "9")]
    pub r#type: Option<i32>,
    /// Where.
    #[prost(uint64, optional, tag = "11")]
    pub track_uuid: Option<u64>,
    /// What one can filter by.
    #[prost(string, repeated, tag = "22")]
    pub categories: Vec<String>,
    /// Its name.
    #[prost(string, optional, tag = "23")]
    pub name: Option<String>,
    /// Flows that pass through it.
    #[prost(fixed64, repeated, packed = "false", tag = "47")]
    pub flow_ids: Vec<u64>,
    /// Flows that end here.
    #[prost(fixed64, repeated, packed = "false", tag = "48")]
    pub terminating_flow_ids: Vec<u64>,
}

/// `perfetto.protos.TrackEvent.Type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, prost::Enumeration)]
#[repr(i32)]
pub enum Type {
    /// Never written.
    Unspecified = 0,
    /// A slice begins.
    SliceBegin = 1,
    /// The innermost slice of the track ends.
    SliceEnd = 2,
    /// It has no length.
    Instant = 3,
}

/// `perfetto.protos.DebugAnnotation`.
#[derive(Clone, PartialEq, Message)]
pub struct DebugAnnotation {
    /// A number.
    #[prost(uint64, optional, tag = "3")]
    pub uint_value: Option<u64>,
    /// Words.
    #[prost(string, optional, tag = "6")]
    pub string_value: Option<String>,
    /// An address.
    #[prost(uint64, optional, tag = "7")]
    pub pointer_value: Option<u64>,
    /// Its name.
    #[prost(string, optional, tag = "10")]
    pub name: Option<String>,
}

/// The one writer of all packets.
const SEQUENCE: u32 = 1;
/// `SEQ_INCREMENTAL_STATE_CLEARED`.
const STATE_CLEARED: u32 = 1;
/// `BUILTIN_CLOCK_BOOTTIME`, which is the clock of a trace file that says nothing else.
const BOOTTIME: u32 = 6;
/// The process that the pCPUs are threads of; the VMs' follow.
const PCPUS: i32 = 1;

/// The category of an exit on its vCPU's track.
pub const EXIT: &str = "exit";
/// The category of the same on the pCPU's track.
pub const EL2: &str = "el2";

/// Makes the file's bytes.
pub fn write(trace: &Trace, model: &Model) -> Vec<u8> {
    file(trace, model).encode_to_vec()
}

/// Makes the file.
pub fn file(trace: &Trace, model: &Model) -> File {
    let mut writer = Writer { trace, model, events: Vec::new(), causes: HashMap::new() };
    let mut effects: HashMap<Effect, Vec<u64>> = HashMap::new();
    for (id, flow) in (1..).zip(&model.flows) {
        writer.causes.entry(flow.cause).or_default().push(id);
        effects.entry(flow.effect).or_default().push(id);
    }
    writer.pcpus(&effects);
    writer.vcpus();
    writer.marks(&effects);
    let mut packet = writer.descriptors();
    let mut events = writer.events;
    // What begins at the time at which something else ends does so after it. An event that ends
    // when it begins keeps its own order.
    events.sort_by_key(|event| (event.time, event.rank));
    packet.extend(events.into_iter().map(|event| TracePacket {
        timestamp: Some(trace.nanoseconds(event.time.saturating_sub(model.span.start))),
        timestamp_clock_id: Some(BOOTTIME),
        trusted_packet_sequence_id: Some(SEQUENCE),
        track_event: Some(event.event),
        ..TracePacket::default()
    }));
    File { packet }
}

/// Reads a file's bytes.
pub fn read(bytes: &[u8]) -> Result<File, prost::DecodeError> {
    File::decode(bytes)
}

/// A slice as a reader of the file finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Slice {
    /// Where.
    pub track: u64,
    /// Its category and its name, with a colon between.
    pub name: String,
    /// From when, in nanoseconds.
    pub start: u64,
    /// To when.
    pub end: u64,
    /// In how many others it is.
    pub depth: usize,
}

/// All slices. An error if they do not nest: one ends that has not begun, or never ends, or the packets
/// are not in the order of time.
pub fn slices(file: &File) -> Result<Vec<Slice>, String> {
    let mut open: HashMap<u64, Vec<(String, u64)>> = HashMap::new();
    let mut slices = Vec::new();
    let mut now = 0;
    for packet in &file.packet {
        let Some(event) = &packet.track_event else { continue };
        let (time, track) = (packet.timestamp(), event.track_uuid());
        if time < now {
            return Err(format!("a packet of {time} ns comes after one of {now} ns"));
        }
        now = time;
        let stack = open.entry(track).or_default();
        match event.r#type() {
            Type::SliceBegin => {
                stack.push((format!("{}:{}", event.categories.join(","), event.name()), time));
            }
            Type::SliceEnd => {
                let begun = stack.pop();
                let begun =
                    begun.ok_or_else(|| format!("track {track}: an end alone at {time} ns"));
                let ((name, start), depth) = (begun?, stack.len());
                slices.push(Slice { track, name, start, end: time, depth });
            }
            Type::Instant | Type::Unspecified => {}
        }
    }
    match open.iter().find(|(_, stack)| !stack.is_empty()) {
        Some((track, stack)) => Err(format!("track {track}: {stack:?} never end")),
        None => Ok(slices),
    }
}

/// An event on its way to the file.
struct Timed {
    time: u64,
    /// Among those of the same time.
    rank: (u8, i64),
    event: TrackEvent,
}

struct Writer<'a> {
    trace: &'a Trace,
    model: &'a Model,
    events: Vec<Timed>,
    /// By mark.
    causes: HashMap<usize, Vec<u64>>,
}

impl Writer<'_> {
    fn pcpus(&mut self, effects: &HashMap<Effect, Vec<u64>>) {
        let ends = |effect| effects.get(&effect).cloned().unwrap_or_default();
        for (number, run) in self.model.runs.iter().enumerate() {
            let mut event = begin(self.model.name(self.trace, run.vcpu), "run");
            if let Some(left) = run.left {
                event.debug_annotations.push(text("put back because it", words::left(left)));
            }
            event.terminating_flow_ids = ends(Effect::Run(number));
            self.slice(pcpu(run.pcpu), run.span, 0, event);
        }
        // A pCPU sleeps by itself, or within an exit of what it runs.
        for &(number, span) in &self.model.idles {
            self.slice(pcpu(number), span, 2, begin("asleep".into(), "idle"));
        }
        for (number, guest) in self.model.guests.iter().enumerate() {
            let mut event = self.guest(guest);
            event.terminating_flow_ids = ends(Effect::Guest(number));
            self.slice(pcpu(guest.pcpu), guest.span, 1, event);
        }
        let marks = self.model.marks_by_exit();
        for (exit, marks) in self.model.exits.iter().zip(&marks) {
            let event = self.exit(exit, marks, EL2);
            self.slice(pcpu(exit.pcpu), exit.span, 1, event);
        }
    }

    fn vcpus(&mut self) {
        for state in &self.model.states {
            let name = match state.doing {
                Doing::Running(pcpu) => format!("on pCPU {pcpu}"),
                Doing::Ready => "ready".into(),
                Doing::Blocked => "blocked".into(),
            };
            self.slice(vcpu(state.vcpu), state.span, 0, begin(name, "state"));
        }
        let marks = self.model.marks_by_exit();
        for (exit, marks) in self.model.exits.iter().zip(&marks) {
            let event = self.exit(exit, marks, EXIT);
            self.slice(vcpu(exit.vcpu), exit.span, 1, event);
        }
    }

    fn marks(&mut self, effects: &HashMap<Effect, Vec<u64>>) {
        for (number, mark) in self.model.marks.iter().enumerate() {
            let mut event = TrackEvent {
                r#type: Some(Type::Instant.into()),
                track_uuid: Some(pcpu(mark.stamped.pcpu)),
                categories: vec![words::event(mark.stamped.event).into()],
                name: Some(words::mark(self.trace, self.model, mark)),
                ..TrackEvent::default()
            };
            event.flow_ids = self.causes.get(&number).cloned().unwrap_or_default();
            event.terminating_flow_ids =
                effects.get(&Effect::Mark(number)).cloned().unwrap_or_default();
            // An injection is seen where it arrives, too.
            if let (Event::Inject, Some(to)) = (mark.stamped.event, mark.vcpu) {
                let there = TrackEvent { track_uuid: Some(vcpu(to)), ..event.clone() };
                self.instant(mark, there);
            }
            self.instant(mark, event);
        }
    }

    fn instant(&mut self, mark: &Mark, event: TrackEvent) {
        self.events.push(Timed { time: mark.stamped.record.time, rank: (2, 0), event });
    }

    /// Adds a slice at this depth of its track.
    fn slice(&mut self, track: u64, span: Span, depth: i64, mut event: TrackEvent) {
        event.track_uuid = Some(track);
        let end = TrackEvent {
            r#type: Some(Type::SliceEnd.into()),
            track_uuid: Some(track),
            ..TrackEvent::default()
        };
        // Ends come first, from the inside out; then beginnings, from the outside in. One without
        // length has to end behind its own beginning.
        let rank = if span.ticks() == 0 { (1, depth) } else { (0, -depth) };
        self.events.push(Timed { time: span.start, rank: (1, depth), event });
        self.events.push(Timed { time: span.end, rank, event: end });
    }

    fn guest(&self, guest: &Guest) -> TrackEvent {
        let mut event =
            begin(format!("{} in guest", self.model.name(self.trace, guest.vcpu)), "guest");
        if let Some((pc, pstate)) = guest.entered {
            event.debug_annotations.push(address("entered at", pc));
            event.debug_annotations.push(text("level", &words::level(pstate)));
        }
        event
    }

    fn exit(&self, exit: &Exit, marks: &[Mark], category: &str) -> TrackEvent {
        let mut event = begin(words::title(exit, marks), category);
        let arguments = &mut event.debug_annotations;
        arguments.push(text("kind", words::kind(exit.kind)));
        arguments.push(text("vCPU", &self.model.name(self.trace, exit.vcpu)));
        arguments.push(text("decoded", &words::sentence(exit)));
        if exit.event != Event::ExitIrq {
            arguments.push(address("ESR_EL2", exit.record.detail.into()));
        }
        if let Some((va, ipa)) = words::addresses(exit) {
            arguments.push(address("FAR_EL2", va));
            arguments.extend(ipa.map(|ipa| address("IPA", ipa)));
        }
        arguments.extend(words::pc(exit).map(|pc| address("PC", pc)));
        if let Some((time, pc)) = exit.handled {
            let ticks = time.saturating_sub(exit.span.start);
            arguments.push(number("handled after ns", self.trace.nanoseconds(ticks)));
            arguments.push(address("goes on at", pc));
        }
        arguments.extend(exit.pstate.map(|pstate| text("from level", &words::level(pstate))));
        let what = if exit.leaves { "leaves the pCPU" } else { "goes on at once" };
        arguments.push(text("then", what));
        event
    }

    fn descriptors(&self) -> Vec<TracePacket> {
        let process = |pid: i32, name: &str| {
            let process = ProcessDescriptor { pid: Some(pid), process_name: Some(name.into()) };
            TrackDescriptor { uuid: Some(pid as u64), process: Some(process), thread: None }
        };
        let thread = |uuid: u64, pid: i32, name: String| {
            let (pid, tid) = (Some(pid), i32::try_from(uuid).ok());
            let thread = ThreadDescriptor { pid, tid, thread_name: Some(name) };
            TrackDescriptor { uuid: Some(uuid), process: None, thread: Some(thread) }
        };
        let mut tracks = vec![process(PCPUS, "pCPUs")];
        for number in 0..self.trace.rings.len() as u16 {
            tracks.push(thread(pcpu(number), PCPUS, format!("pCPU {number}")));
        }
        for (number, name) in (0..).zip(&self.trace.vms) {
            tracks.push(process(vm(number), &format!("VM {name}")));
        }
        for (index, &(number, _)) in self.model.vcpus.iter().enumerate() {
            let name = self.model.name(self.trace, index);
            let pid = if self.trace.vm(number).is_some() { vm(number) } else { PCPUS };
            tracks.push(thread(vcpu(index), pid, name));
        }
        let packet = |(first, track): (bool, TrackDescriptor)| TracePacket {
            trusted_packet_sequence_id: Some(SEQUENCE),
            sequence_flags: first.then_some(STATE_CLEARED),
            track_descriptor: Some(track),
            ..TracePacket::default()
        };
        let first = std::iter::once(true).chain(std::iter::repeat(false));
        first.zip(tracks).map(packet).collect()
    }
}

/// The process of a VM.
fn vm(number: u16) -> i32 {
    PCPUS + 1 + i32::from(number)
}

/// The track of a pCPU. Tracks of threads are numbered apart from those of processes.
pub fn pcpu(number: u16) -> u64 {
    0x10_0000 + u64::from(number)
}

/// The track of a vCPU.
pub fn vcpu(index: VcpuIndex) -> u64 {
    0x20_0000 + index as u64
}

fn begin(name: String, category: &str) -> TrackEvent {
    TrackEvent {
        r#type: Some(Type::SliceBegin.into()),
        categories: vec![category.into()],
        name: Some(name),
        ..TrackEvent::default()
    }
}

fn text(name: &str, value: &str) -> DebugAnnotation {
    let (name, string_value) = (Some(name.into()), Some(value.into()));
    DebugAnnotation { name, string_value, ..DebugAnnotation::default() }
}

fn number(name: &str, value: u64) -> DebugAnnotation {
    let (name, uint_value) = (Some(name.into()), Some(value));
    DebugAnnotation { name, uint_value, ..DebugAnnotation::default() }
}

fn address(name: &str, value: u64) -> DebugAnnotation {
    let (name, pointer_value) = (Some(name.into()), Some(value));
    DebugAnnotation { name, pointer_value, ..DebugAnnotation::default() }
}
