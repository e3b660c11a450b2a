//! Traces that are made up: what the model and the files have to say of them.

use super::{file::Trace, html, model::*, pftrace, sample::Sample, stats, svg, words};
use mezzanine::trace::format::{Event, Kind, Left, NO_VCPU, NO_VM};

const A: (u16, u8) = (0, 0);
const B: (u16, u8) = (1, 0);
const NOBODY: (u16, u8) = (NO_VM, NO_VCPU);

fn read(sample: &Sample) -> (Trace, Model) {
    let trace = Trace::parse(&sample.bytes()).unwrap();
    let model = Model::new(&trace);
    (trace, model)
}

/// A run of A with one call in it, on pCPU 0.
fn one_call() -> Sample {
    let mut sample = Sample::new(2, &["a", "b"], 64).since(90);
    sample.add(0, 100, Event::SchedIn, A, [0, 0, u64::MAX]);
    sample.add(0, 110, Event::Enter, A, [0, 0x4008_0000, 5]);
    sample.exit(0, 200, 50, A, (Kind::Call, false));
    sample.add(0, 300, Event::ExitIrq, A, [26, 0x4008_0010, 0]);
    sample.add(0, 340, Event::Handled, A, [9, 0x4008_0010, 1]);
    sample.add(0, 350, Event::SchedOut, A, [Left::Preempted as u64, 0, 0]);
    sample.at(0, 360, Event::Idle).at(0, 500, Event::Awake);
    sample
}

#[test]
fn spans_are_between_their_events() {
    let (_, model) = read(&one_call());
    let spans: Vec<_> = model.guests.iter().map(|g| (g.span.start, g.span.end)).collect();
    assert_eq!(spans, [(110, 200), (250, 300)]);
    let exits: Vec<_> = model.exits.iter().map(|e| (e.span.start, e.span.end, e.kind)).collect();
    assert_eq!(exits, [(200, 250, Kind::Call), (300, 350, Kind::Interrupt)]);
    assert_eq!(model.exits[0].handled, Some((240, 0x4008_0004)));
    assert!(!model.exits[0].leaves && model.exits[1].leaves);
    assert_eq!(model.exits[1].pstate, Some(0));
    assert_eq!(model.runs.len(), 1);
    assert_eq!(
        (model.runs[0].span, model.runs[0].left),
        (Span { start: 100, end: 350 }, Some(Left::Preempted))
    );
    assert_eq!(model.idles, [(0, Span { start: 360, end: 500 })]);
    // The call itself is a mark within its exit.
    assert_eq!(model.marks[0].exit, Some(0));
}

/// Handled, and about to go on, when it was called away.
#[test]
fn who_is_put_back_has_left() {
    let mut sample = Sample::new(1, &["a"], 64);
    sample.add(0, 5, Event::SchedIn, A, [0; 3]).add(0, 6, Event::Enter, A, [0, 0, 5]);
    sample.add(0, 100, Event::ExitSync, A, [0x5a00_0000, 0, 0]);
    sample.add(0, 110, Event::Handled, A, [1, 0, 0]).add(0, 120, Event::SchedOut, A, [1, 0, 0]);
    let (_, model) = read(&sample);
    assert!(model.exits[0].leaves);
    assert_eq!(model.exits[0].span.end, 120);
}

/// EL2 sleeps for a guest that waits for a short time: not its work.
#[test]
fn sleep_within_an_exit_is_not_counted_as_work() {
    let mut sample = Sample::new(1, &["a"], 64);
    sample.add(0, 5, Event::SchedIn, A, [0; 3]).add(0, 6, Event::Enter, A, [0, 0, 5]);
    sample.add(0, 100, Event::ExitSync, A, [0x07e0_0000, 0, 0]);
    sample.add(0, 110, Event::Idle, A, [0; 3]).add(0, 180, Event::Awake, A, [0; 3]);
    sample.add(0, 190, Event::Handled, A, [6, 0, 0]).add(0, 200, Event::Enter, A, [0, 0, 5]);
    let (_, model) = read(&sample);
    assert_eq!((model.exits[0].span.ticks(), model.exits[0].worked()), (100, 30));
    assert_eq!(model.runs.len(), 1);
}

#[test]
fn what_began_before_the_trace_is_seen_from_its_first_event_on() {
    let mut sample = Sample::new(2, &["a", "b"], 64).since(90);
    sample.exit(0, 200, 50, A, (Kind::Call, false));
    sample.at(1, 150, Event::Awake);
    let (_, model) = read(&sample);
    // It was in the guest, and its pCPU ran it, since the trace began.
    assert_eq!(model.guests[0].span, Span { start: 90, end: 200 });
    assert_eq!(model.runs[0].span, Span { start: 90, end: 250 });
    assert_eq!(model.idles, [(1, Span { start: 90, end: 150 })]);
}

#[test]
fn what_the_trace_does_not_see_the_end_of_ends_with_it() {
    let mut sample = Sample::new(1, &["a"], 64);
    sample.add(0, 10, Event::SchedIn, A, [0; 3]).add(0, 20, Event::Enter, A, [0, 0, 5]);
    sample.add(0, 30, Event::ExitSync, A, [0x5a00_0000, 0, 0]);
    sample.at(0, 77, Event::Timer);
    let (_, model) = read(&sample);
    assert_eq!(model.exits[0].span, Span { start: 30, end: 77 });
    assert_eq!((model.exits[0].kind, model.exits[0].handled), (Kind::Call, None));
    assert_eq!(model.runs[0].span, Span { start: 10, end: 77 });
}

#[test]
fn a_trace_whose_oldest_records_are_lost_begins_with_what_is_left() {
    let mut sample = Sample::new(1, &["a"], 8);
    sample.add(0, 5, Event::SchedIn, A, [0; 3]).add(0, 6, Event::Enter, A, [0, 0, 5]);
    for number in 0..10 {
        sample.exit(0, 100 * (number + 1), 50, A, (Kind::Call, false));
    }
    let (trace, model) = read(&sample);
    assert_eq!(trace.lost(), 42 - 7);
    // The exit at 900 came first: of it Handled and Enter are left.
    assert_eq!(model.exits.len(), 1);
    assert_eq!(model.runs[0].span.start, trace.rings[0].since);
    assert_eq!(trace.rings[0].since, trace.events[0].record.time);
}

#[test]
fn flows_lead_from_a_cause_to_its_effect() {
    let mut sample = one_call();
    sample.add(1, 100, Event::SchedIn, B, [0; 3]).add(1, 110, Event::Enter, B, [0, 0, 5]);
    sample.add(1, 400, Event::ExitSync, B, [0x5a00_0000, 0, 0]);
    // A waits for a pCPU: it gets pCPU 0, which is kicked for it.
    sample.add(1, 410, Event::Wake, A, [1, 0, 0]).add(1, 411, Event::Kick, NOBODY, [0; 3]);
    sample.add(1, 412, Event::Inject, B, [0x5600_0000, 0x200, 0]);
    sample.add(1, 420, Event::Handled, B, [1, 0, 0]).add(1, 430, Event::Enter, B, [0, 0, 5]);
    sample.at(0, 501, Event::Kicked);
    sample.add(0, 510, Event::SchedIn, A, [0; 3]).add(0, 520, Event::Enter, A, [0, 0, 5]);
    let (_, model) = read(&sample);
    let times: Vec<_> = model
        .flows
        .iter()
        .map(|flow| {
            let effect = match flow.effect {
                Effect::Mark(mark) => model.marks[mark].stamped.record.time,
                Effect::Run(run) => model.runs[run].span.start,
                Effect::Guest(guest) => model.guests[guest].span.start,
            };
            (model.marks[flow.cause].stamped.event, effect)
        })
        .collect();
    assert_eq!(times, [(Event::Inject, 430), (Event::Kick, 501), (Event::Wake, 510)]);
    // Preempted, it was ready all the while.
    let a = model.vcpus.iter().position(|&vcpu| vcpu == A).unwrap();
    let states: Vec<_> = model.states.iter().filter(|state| state.vcpu == a).collect();
    let states: Vec<_> = states.iter().map(|state| (state.doing, state.span.end)).collect();
    assert_eq!(states, [(Doing::Running(0), 350), (Doing::Ready, 510), (Doing::Running(0), 520)]);
}

#[test]
fn exits_are_told_in_a_few_words() {
    let mut sample = one_call();
    sample.add(1, 100, Event::SchedIn, B, [0; 3]).add(1, 110, Event::Enter, B, [0, 0, 5]);
    sample.exit(1, 200, 50, B, (Kind::Device, false));
    sample.exit(1, 300, 50, B, (Kind::Wait, true));
    let (_, model) = read(&sample);
    let marks = model.marks_by_exit();
    let titles: Vec<_> = model.exits.iter().zip(&marks).map(|(e, m)| words::title(e, m)).collect();
    assert_eq!(titles, ["HVC PSCI_VERSION", "write UARTFR", "IRQ PPI 26 (EL2's timer)", "WFI"]);
    assert_eq!(
        words::sentence(&model.exits[1]),
        "EC 0x24 data abort from a lower EL: write of 4 bytes from w1 at IPA 0x9000018, \
         translation fault level 3"
    );
    assert_eq!(words::addresses(&model.exits[1]), Some((0x900_0018, Some(0x900_0018))));
    assert_eq!(words::pc(&model.exits[0]), Some(0x4008_0080));
}

#[test]
fn exits_are_summed_up_by_vm_and_kind() {
    let mut sample = Sample::new(1, &["a"], 1024);
    sample.add(0, 5, Event::SchedIn, A, [0; 3]).add(0, 6, Event::Enter, A, [0, 0, 5]);
    for number in 0..100 {
        // 1 us each, but for the last.
        let ticks = if number == 99 { 6250 } else { 62 };
        sample.exit(0, 10_000 * (number + 1), ticks, A, (Kind::Call, false));
    }
    let (trace, model) = read(&sample);
    let rows = stats::rows(&trace, &model, model.span);
    assert_eq!(rows.len(), 1);
    let row = &rows[0];
    assert_eq!((row.count, row.p99, row.max), (100, 992, 100_000));
    assert_eq!((row.total, row.mean), (99 * 992 + 100_000, (99 * 992 + 100_000) / 100));
    let half = Span { start: 0, end: 500_000 };
    assert_eq!(stats::rows(&trace, &model, half)[0].count, 50);
    assert!(stats::table(&rows).contains("a  calls           100      198.2  100%"));
}

#[test]
fn the_protobuf_says_what_the_trace_says() {
    let (trace, model) = read(&Sample::busy(4000));
    let bytes = pftrace::write(&trace, &model);
    let file = pftrace::read(&bytes).unwrap();
    let tracks: Vec<_> = file.packet.iter().filter_map(|p| p.track_descriptor.as_ref()).collect();
    let threads: Vec<_> = tracks.iter().filter_map(|track| track.thread.as_ref()).collect();
    let names: Vec<_> = threads.iter().map(|thread| thread.thread_name()).collect();
    assert_eq!(names[..3], ["pCPU 0", "pCPU 1", "linux.0"]);
    let slices = pftrace::slices(&file).unwrap();
    // Each kind as often as it was put in, on the pCPUs' tracks and on the vCPUs'.
    let count = |prefix: &str| slices.iter().filter(|slice| slice.name.starts_with(prefix)).count();
    for category in ["exit", "el2"] {
        assert_eq!(count(&format!("{category}:HVC PSCI_VERSION")), 1500);
        assert_eq!(count(&format!("{category}:write UARTFR")), 1000);
        assert_eq!(count(&format!("{category}:WFI")), 500);
        assert_eq!(count(&format!("{category}:IRQ PPI 27 (virtual timer)")), 1000);
    }
    // Guests and EL2 are within what the pCPU runs, exits within what the vCPU does.
    for slice in &slices {
        let inner = ["guest:", "el2:", "exit:"].iter().any(|start| slice.name.starts_with(start));
        assert_eq!(slice.depth, usize::from(inner), "{}", slice.name);
    }
}

/// Whatever stands in the memory that a trace is taken from: it is refused, or all can be drawn.
#[test]
fn spoiled_traces_are_survived() {
    let good = Sample::busy(24).bytes();
    let mut read = 0;
    for offset in (0..1024).chain((1024..good.len()).step_by(5)) {
        for value in [0, 1, 0x7f, 0xff] {
            let mut bytes = good.clone();
            bytes[offset] = value;
            let Ok(trace) = Trace::parse(&bytes) else { continue };
            // Most of what can be changed makes no other picture.
            if offset % 61 == 0 && good[offset] != value {
                let model = Model::new(&trace);
                pftrace::slices(&pftrace::file(&trace, &model)).unwrap();
                html::page(&trace, &model);
                svg::draw(&trace, &model, 0, 40);
                stats::table(&stats::rows(&trace, &model, model.span));
                read += 1;
            }
        }
    }
    assert!(read > 50, "{read}");
}

#[test]
fn flows_of_the_protobuf_have_two_ends() {
    let (trace, model) = read(&Sample::busy(400));
    let file = pftrace::file(&trace, &model);
    let events: Vec<_> =
        file.packet.iter().filter_map(|packet| packet.track_event.as_ref()).collect();
    let (mut begun, mut ended): (Vec<u64>, Vec<u64>) = Default::default();
    for event in events {
        // The end is not before the beginning.
        assert!(event.terminating_flow_ids.iter().all(|id| begun.contains(id)));
        begun.extend(&event.flow_ids);
        ended.extend(&event.terminating_flow_ids);
    }
    ended.sort_unstable();
    begun.sort_unstable();
    assert!(!begun.is_empty());
    assert_eq!(begun, ended);
}

#[test]
fn times_are_nanoseconds() {
    let (trace, model) = read(&one_call());
    let slices = pftrace::slices(&pftrace::file(&trace, &model)).unwrap();
    let call = slices.iter().find(|slice| slice.name.starts_with("el2:HVC")).unwrap();
    assert_eq!(call.track, pftrace::pcpu(0));
    // Ticks 200 to 250, of 16 ns each, from tick 90 on.
    assert_eq!((call.start, call.end), (110 * 16, 160 * 16));
}
