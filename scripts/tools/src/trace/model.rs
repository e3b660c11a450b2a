//! What the events of a trace mean: who ran where, when it was in its guest and when in EL2, and
//! what caused what.
//!
//! A trace may begin and end in the middle of anything. What was going on before a pCPU's first
//! event is taken from that event: who comes back from a guest was in it.

use super::file::{Stamped, Trace};
use mezzanine::trace::format::{Event, JOB, Kind, Left, NO_VCPU, Record};
use std::collections::HashMap;

/// From when to when, in ticks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The beginning.
    pub start: u64,
    /// The end, not before it.
    pub end: u64,
}

impl Exit {
    /// How long EL2 worked for it, in ticks.
    pub fn worked(&self) -> u64 {
        self.span.ticks().saturating_sub(self.slept)
    }
}

impl Span {
    /// How long, in ticks.
    pub fn ticks(self) -> u64 {
        self.end.saturating_sub(self.start)
    }
}

/// A vCPU, or a job, by its place in [`Model::vcpus`].
pub type VcpuIndex = usize;

/// A pCPU runs a vCPU: from SchedIn to SchedOut.
#[derive(Clone, Copy, Debug)]
pub struct Run {
    /// Where.
    pub pcpu: u16,
    /// What.
    pub vcpu: VcpuIndex,
    /// When.
    pub span: Span,
    /// Why it was put back; `None` if it is not known.
    pub left: Option<Left>,
}

/// A guest runs: from an ERET to an exit.
#[derive(Clone, Copy, Debug)]
pub struct Guest {
    /// Where.
    pub pcpu: u16,
    /// What.
    pub vcpu: VcpuIndex,
    /// When.
    pub span: Span,
    /// PC and PSTATE at the ERET, if that was seen.
    pub entered: Option<(u64, u64)>,
}

/// An exit: from a guest to EL2, until the guest goes on or is put back.
#[derive(Clone, Copy, Debug)]
pub struct Exit {
    /// Where.
    pub pcpu: u16,
    /// Whose.
    pub vcpu: VcpuIndex,
    /// From when until when EL2 had the pCPU for it.
    pub span: Span,
    /// The record of the exit itself.
    pub record: Record,
    /// By which vector: ExitSync, ExitIrq or ExitSError.
    pub event: Event,
    /// As it was counted; by its syndrome where the trace ends before.
    pub kind: Kind,
    /// When it was handled, and the PC at which the guest goes on, if that was seen.
    pub handled: Option<(u64, u64)>,
    /// The vCPU left the pCPU.
    pub leaves: bool,
    /// Ticks of the span in which the pCPU slept, because the guest waited.
    pub slept: u64,
    /// PSTATE of the guest, as far as it is known.
    pub pstate: Option<u64>,
}

/// Anything that has no length.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// The event.
    pub stamped: Stamped,
    /// Whom it concerns.
    pub vcpu: Option<VcpuIndex>,
    /// The exit during which it happened, on the same pCPU.
    pub exit: Option<usize>,
}

/// What a vCPU does while it is in no guest, or in one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// It has this pCPU.
    Running(u16),
    /// It waits for a pCPU.
    Ready,
    /// It waits for an interrupt, or for time.
    Blocked,
}

/// A vCPU does one thing for a while.
#[derive(Clone, Copy, Debug)]
pub struct State {
    /// Who.
    pub vcpu: VcpuIndex,
    /// What.
    pub doing: Doing,
    /// When.
    pub span: Span,
}

/// Where a flow ends: what its cause brought about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Effect {
    /// A pCPU took a kick: this one of [`Model::marks`].
    Mark(usize),
    /// A vCPU got a pCPU: this one of [`Model::runs`].
    Run(usize),
    /// A guest was entered: this one of [`Model::guests`].
    Guest(usize),
}

/// What caused what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// The cause, a Wake, Kick or Inject of [`Model::marks`].
    pub cause: usize,
    /// The effect.
    pub effect: Effect,
}

/// What a trace shows.
#[derive(Clone, Debug, Default)]
pub struct Model {
    /// From when to when.
    pub span: Span,
    /// Everybody that a pCPU ran or that anything happened to: VM and vCPU.
    pub vcpus: Vec<(u16, u8)>,
    /// What ran.
    pub runs: Vec<Run>,
    /// When which pCPU slept: it had nothing to run, or what it ran waited.
    pub idles: Vec<(u16, Span)>,
    /// When guests ran.
    pub guests: Vec<Guest>,
    /// When and why they did not.
    pub exits: Vec<Exit>,
    /// What else happened.
    pub marks: Vec<Mark>,
    /// What each vCPU did.
    pub states: Vec<State>,
    /// What caused what.
    pub flows: Vec<Flow>,
}

impl Model {
    /// Makes sense of a trace.
    pub fn new(trace: &Trace) -> Self {
        let first = trace.events.first().map_or(trace.since, |event| event.record.time);
        let span = Span { start: trace.since.min(first), end: trace.until };
        let mut vcpus: Vec<_> = trace.events.iter().filter_map(|e| entity(&e.record)).collect();
        vcpus.sort_unstable();
        vcpus.dedup();
        let index = vcpus.iter().copied().zip(0..).collect();
        let mut reader = Reader {
            pcpus: trace.rings.iter().map(|ring| Pcpu::new(ring.since)).collect(),
            since: trace.rings.iter().map(|ring| ring.since).collect(),
            current: vec![None; vcpus.len()],
            news: vec![Vec::new(); vcpus.len()],
            kicks: HashMap::new(),
            model: Self { span, vcpus, ..Self::default() },
            index,
        };
        for event in &trace.events {
            reader.take(event);
        }
        reader.model
    }

    /// For each exit what happened during it.
    pub fn marks_by_exit(&self) -> Vec<Vec<Mark>> {
        let mut marks = vec![Vec::new(); self.exits.len()];
        for mark in &self.marks {
            if let Some(exit) = mark.exit {
                marks[exit].push(*mark);
            }
        }
        marks
    }

    /// A name: `linux.0`, or `linux job`; `service` for a job of no VM.
    pub fn name(&self, trace: &Trace, vcpu: VcpuIndex) -> String {
        let Some(&(vm, number)) = self.vcpus.get(vcpu) else { return "?".into() };
        match (trace.vm(vm), number) {
            (None, _) => "service".into(),
            (Some(name), JOB) => format!("{name} job"),
            (Some(name), number) => format!("{name}.{number}"),
        }
    }
}

/// Whom an event concerns: a VM's vCPU, its job, or a job of no VM.
fn entity(record: &Record) -> Option<(u16, u8)> {
    (record.vcpu != NO_VCPU).then_some((record.vm, record.vcpu))
}

/// What is going on on a pCPU.
struct Pcpu {
    /// From when on it is known, until its first event.
    unseen: Option<u64>,
    run: Option<usize>,
    guest: Option<usize>,
    exit: Option<usize>,
    idle: Option<usize>,
}

impl Pcpu {
    fn new(since: u64) -> Self {
        Self { unseen: Some(since), run: None, guest: None, exit: None, idle: None }
    }
}

/// Goes through the events in the order of time.
struct Reader {
    model: Model,
    pcpus: Vec<Pcpu>,
    /// From when on each of them is known.
    since: Vec<u64>,
    index: HashMap<(u16, u8), VcpuIndex>,
    /// Each vCPU's state, in `Model::states`.
    current: Vec<Option<usize>>,
    /// Marks that have had no effect on this vCPU yet.
    news: Vec<Vec<usize>>,
    /// Marks that have had no effect on this pCPU yet.
    kicks: HashMap<u64, Vec<usize>>,
}

impl Reader {
    fn take(&mut self, stamped: &Stamped) {
        let vcpu = entity(&stamped.record).and_then(|entity| self.index.get(&entity).copied());
        let is_mark = !matches!(
            stamped.event,
            Event::SchedIn
                | Event::SchedOut
                | Event::Enter
                | Event::Handled
                | Event::Idle
                | Event::Awake
                | Event::ExitSync
                | Event::ExitIrq
                | Event::ExitSError
        );
        if is_mark {
            return self.mark(stamped, vcpu);
        }
        let from = self.pcpu(stamped).unseen.take().unwrap_or(stamped.record.time);
        match (stamped.event, vcpu) {
            (Event::SchedIn, Some(vcpu)) => self.sched_in(stamped, vcpu),
            (Event::SchedOut, Some(vcpu)) => self.sched_out(stamped, vcpu, from),
            (Event::Enter, Some(vcpu)) => self.enter(stamped, vcpu, from),
            (Event::ExitSync | Event::ExitIrq | Event::ExitSError, Some(vcpu)) => {
                self.exit(stamped, vcpu, from);
            }
            (Event::Handled, Some(vcpu)) => self.handled(stamped, vcpu, from),
            (Event::Idle, vcpu) => {
                // What runs may sleep, too: it waits for so short a time that it keeps its pCPU.
                match vcpu {
                    Some(vcpu) => drop(self.running(stamped, vcpu, from)),
                    None => self.close(stamped),
                }
                let span = Span { start: stamped.record.time, end: self.model.span.end };
                self.pcpu(stamped).idle = Some(self.model.idles.len());
                self.model.idles.push((stamped.pcpu, span));
            }
            (Event::Awake, _) => self.awake(stamped, from),
            // It says of nobody that it was in a guest.
            _ => {}
        }
    }

    fn pcpu(&mut self, stamped: &Stamped) -> &mut Pcpu {
        &mut self.pcpus[usize::from(stamped.pcpu)]
    }

    fn sched_in(&mut self, stamped: &Stamped, vcpu: VcpuIndex) {
        self.close(stamped);
        let run = self.open_run(stamped, vcpu, stamped.record.time);
        for cause in std::mem::take(&mut self.news[vcpu]) {
            if self.model.marks[cause].stamped.event == Event::Wake {
                self.model.flows.push(Flow { cause, effect: Effect::Run(run) });
            } else {
                self.news[vcpu].push(cause);
            }
        }
    }

    fn sched_out(&mut self, stamped: &Stamped, vcpu: VcpuIndex, from: u64) {
        let run = self.running(stamped, vcpu, from);
        let number = stamped.record.detail;
        let left = Left::ALL.iter().map(|(left, _)| *left).find(|left| *left as u32 == number);
        self.model.runs[run].left = left;
        // It may have been called away when it was about to go on.
        if let Some(exit) = self.pcpu(stamped).exit {
            self.model.exits[exit].leaves = true;
        }
        self.close(stamped);
        let doing = match left {
            Some(Left::Yield | Left::Preempted) => Some(Doing::Ready),
            Some(Left::Block) => Some(Doing::Blocked),
            Some(Left::Off) | None => None,
        };
        self.does(vcpu, doing, stamped.record.time);
    }

    fn enter(&mut self, stamped: &Stamped, vcpu: VcpuIndex, from: u64) {
        self.running(stamped, vcpu, from);
        self.close_inner(stamped);
        let Record { time, a, b, .. } = stamped.record;
        let guest = self.model.guests.len();
        self.pcpu(stamped).guest = Some(guest);
        self.model.guests.push(Guest {
            pcpu: stamped.pcpu,
            vcpu,
            span: Span { start: time, end: self.model.span.end },
            entered: Some((a, b)),
        });
        for cause in std::mem::take(&mut self.news[vcpu]) {
            self.model.flows.push(Flow { cause, effect: Effect::Guest(guest) });
        }
    }

    fn exit(&mut self, stamped: &Stamped, vcpu: VcpuIndex, from: u64) {
        self.running(stamped, vcpu, from);
        let Record { time, b, .. } = stamped.record;
        if from < time {
            let span = Span { start: from, end: time };
            self.model.guests.push(Guest { pcpu: stamped.pcpu, vcpu, span, entered: None });
        }
        let entered = self.pcpu(stamped).guest.and_then(|guest| self.model.guests[guest].entered);
        self.close_inner(stamped);
        let pstate = match stamped.event {
            Event::ExitSync => entered.map(|(_, pstate)| pstate),
            _ => Some(b),
        };
        self.pcpu(stamped).exit = Some(self.model.exits.len());
        self.model.exits.push(Exit {
            pcpu: stamped.pcpu,
            vcpu,
            span: Span { start: time, end: self.model.span.end },
            record: stamped.record,
            event: stamped.event,
            kind: stamped.kind(),
            handled: None,
            leaves: false,
            slept: 0,
            pstate,
        });
    }

    fn handled(&mut self, stamped: &Stamped, vcpu: VcpuIndex, from: u64) {
        self.running(stamped, vcpu, from);
        let Record { time, detail, a, b, .. } = stamped.record;
        // Else the beginning of it is lost.
        let Some(exit) = self.pcpu(stamped).exit else { return };
        let exit = &mut self.model.exits[exit];
        exit.handled = Some((time, a));
        exit.leaves = b != 0;
        let kinds = Kind::ALL.iter().map(|(kind, _)| *kind);
        exit.kind = kinds.into_iter().find(|kind| *kind as u32 == detail).unwrap_or(Kind::None);
    }

    fn awake(&mut self, stamped: &Stamped, from: u64) {
        let Record { time, .. } = stamped.record;
        let idle = match self.pcpu(stamped).idle.take() {
            Some(idle) => idle,
            None if from < time => {
                self.model.idles.push((stamped.pcpu, Span { start: from, end: time }));
                self.model.idles.len() - 1
            }
            None => return,
        };
        self.model.idles[idle].1.end = time;
        self.slept(stamped, idle);
    }

    fn mark(&mut self, stamped: &Stamped, vcpu: Option<VcpuIndex>) {
        let mark = self.model.marks.len();
        let exit = self.pcpu(stamped).exit;
        self.model.marks.push(Mark { stamped: *stamped, vcpu, exit });
        let Record { time, detail, .. } = stamped.record;
        match (stamped.event, vcpu) {
            // One that came to a pCPU before that is known has had its effect there.
            (Event::Kick, _)
                if self.since.get(detail as usize).is_some_and(|&since| since <= time) =>
            {
                self.kicks.entry(detail.into()).or_default().push(mark);
            }
            (Event::Kicked, _) => {
                let causes = self.kicks.remove(&stamped.pcpu.into()).unwrap_or_default();
                for cause in causes {
                    self.model.flows.push(Flow { cause, effect: Effect::Mark(mark) });
                }
            }
            (Event::Inject, Some(vcpu)) => self.news[vcpu].push(mark),
            (Event::Wake, Some(vcpu)) => {
                self.news[vcpu].push(mark);
                let current = self.current[vcpu].map(|state| self.model.states[state].doing);
                if current == Some(Doing::Blocked) {
                    self.does(vcpu, Some(Doing::Ready), time);
                }
            }
            _ => {}
        }
    }

    /// The run that `vcpu` is in; one that was not seen to begin does so with `from`.
    fn running(&mut self, stamped: &Stamped, vcpu: VcpuIndex, from: u64) -> usize {
        let open = self.pcpu(stamped).run;
        match open {
            Some(run) if self.model.runs[run].vcpu == vcpu => run,
            _ => {
                self.close(stamped);
                self.open_run(stamped, vcpu, from)
            }
        }
    }

    fn open_run(&mut self, stamped: &Stamped, vcpu: VcpuIndex, from: u64) -> usize {
        let run = self.model.runs.len();
        let span = Span { start: from, end: self.model.span.end };
        self.model.runs.push(Run { pcpu: stamped.pcpu, vcpu, span, left: None });
        self.pcpu(stamped).run = Some(run);
        self.does(vcpu, Some(Doing::Running(stamped.pcpu)), from);
        run
    }

    /// Sleep in an exit is no time that EL2 took.
    fn slept(&mut self, stamped: &Stamped, idle: usize) {
        if let Some(exit) = self.pcpu(stamped).exit {
            self.model.exits[exit].slept += self.model.idles[idle].1.ticks();
        }
    }

    /// Ends what goes on in a run.
    fn close_inner(&mut self, stamped: &Stamped) {
        let time = stamped.record.time;
        if let Some(idle) = self.pcpu(stamped).idle.take() {
            self.model.idles[idle].1.end = time;
            self.slept(stamped, idle);
        }
        let (guest, exit) = (self.pcpu(stamped).guest.take(), self.pcpu(stamped).exit.take());
        if let Some(guest) = guest {
            self.model.guests[guest].span.end = time;
        }
        if let Some(exit) = exit {
            self.model.exits[exit].span.end = time;
        }
    }

    /// Ends whatever goes on on this pCPU.
    fn close(&mut self, stamped: &Stamped) {
        self.close_inner(stamped);
        let time = stamped.record.time;
        if let Some(run) = self.pcpu(stamped).run.take() {
            self.model.runs[run].span.end = time;
            self.does(self.model.runs[run].vcpu, None, time);
        }
    }

    /// From `time` on `vcpu` does something else, or nothing that is known.
    fn does(&mut self, vcpu: VcpuIndex, doing: Option<Doing>, time: u64) {
        if let Some(state) = self.current[vcpu].take() {
            let span = &mut self.model.states[state].span;
            span.end = time.max(span.start);
        }
        if let Some(doing) = doing {
            self.current[vcpu] = Some(self.model.states.len());
            let span = Span { start: time, end: self.model.span.end };
            self.model.states.push(State { vcpu, doing, span });
        }
    }
}
