//! The first crossings of a trace as a sequence diagram for paper: time goes down, each exception
//! level is a line, each exit and each ERET an arrow. What is done again and again is drawn once.

use super::{
    file::Trace,
    html::escaped,
    model::{Exit, Guest, Mark, Model, VcpuIndex},
    words,
};
use mezzanine::exit::pstate;
use std::fmt::Write;

/// Points of the picture, in its own units.
const TIMES: f64 = 92.0;
const LANE: f64 = 220.0;
const TOP: f64 = 104.0;
const ROW: f64 = 24.0;
const BOTTOM: f64 = 40.0;
/// Half the width of a bar on a lifeline.
const HALF: f64 = 5.0;
/// Width of a letter, about.
const LETTER: f64 = 6.0;
/// The VMs', distinct also to those who see few colours; EL2 is dark.
const COLOURS: [&str; 4] = ["#0072b2", "#d55e00", "#00805c", "#9a4f96"];
const EL2: &str = "#333";

/// A crossing.
enum Crossing<'a> {
    /// To EL2.
    Exit(&'a Exit, &'a [Mark]),
    /// To a guest.
    Enter(&'a Guest),
}

impl Crossing<'_> {
    /// What makes it the same as another.
    fn key(&self) -> (u16, VcpuIndex, String) {
        (self.pcpu(), self.vcpu(), self.words())
    }

    fn words(&self) -> String {
        match self {
            Crossing::Exit(exit, marks) => words::title(exit, marks),
            Crossing::Enter(_) => "ERET".into(),
        }
    }

    fn time(&self) -> u64 {
        match self {
            Crossing::Exit(exit, _) => exit.span.start,
            Crossing::Enter(guest) => guest.span.start,
        }
    }

    fn pcpu(&self) -> u16 {
        match self {
            Crossing::Exit(exit, _) => exit.pcpu,
            Crossing::Enter(guest) => guest.pcpu,
        }
    }

    fn vcpu(&self) -> VcpuIndex {
        match self {
            Crossing::Exit(exit, _) => exit.vcpu,
            Crossing::Enter(guest) => guest.vcpu,
        }
    }

    /// The guest's level, EL1 where it is not known.
    fn level(&self) -> u8 {
        let known = match self {
            Crossing::Exit(exit, _) => exit.pstate,
            Crossing::Enter(guest) => guest.entered.map(|(_, pstate)| pstate),
        };
        known.map_or(1, pstate::level).min(1)
    }
}

/// A row of the picture.
enum Row<'a> {
    /// A crossing.
    Once(Crossing<'a>),
    /// The rows above, so many of them, again, so many times.
    Again(usize, usize),
}

/// The most crossings that are seen to be the same as those before them: a guest's loop.
const LOOP: usize = 6;

/// The first `first` rows: what follows on itself at least twice is left out, and counted.
fn fold(crossings: Vec<Crossing>, first: usize) -> Vec<Row> {
    let keys: Vec<_> = crossings.iter().map(Crossing::key).collect();
    let mut rows = Vec::new();
    let mut again = 0;
    let mut crossings = crossings.into_iter().enumerate();
    while let Some((index, crossing)) = crossings.next() {
        if rows.len() >= first {
            break;
        }
        rows.push(Row::Once(crossing));
        // Only what has been drawn since the last loop can be a loop.
        again += 1;
        let next = index + 1;
        let times = |length: usize| {
            let body = &keys[next - length..next];
            keys[next..].chunks_exact(length).take_while(|chunk| *chunk == body).count()
        };
        let found = (2..=LOOP.min(again)).map(|length| (length, times(length)));
        if let Some((length, times)) = found.into_iter().find(|(_, times)| *times >= 2) {
            rows.push(Row::Again(length, times));
            again = 0;
            crossings.by_ref().take(length * times).for_each(drop);
        }
    }
    rows
}

/// A lifeline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Line {
    /// An exception level of a VM, EL0 left of EL1.
    Guest(u16, u8),
    /// EL2 on a pCPU.
    El2(u16),
}

/// Draws the first `first` crossings, `from` nanoseconds after the trace's start or later.
pub fn draw(trace: &Trace, model: &Model, from: u64, first: usize) -> String {
    let marks = model.marks_by_exit();
    let exits = model.exits.iter().zip(&marks).map(|(exit, marks)| Crossing::Exit(exit, marks));
    let entered = model.guests.iter().filter(|guest| guest.entered.is_some());
    let mut crossings: Vec<_> = exits.chain(entered.map(Crossing::Enter)).collect();
    let since = |one: &Crossing| trace.nanoseconds(one.time().saturating_sub(model.span.start));
    crossings.retain(|one| since(one) >= from);
    crossings.sort_by_key(Crossing::time);
    // A loop is looked for in what can be drawn, and in some more.
    crossings.truncate(first.saturating_mul(1000));
    let rows = fold(crossings, first);
    let mut lines = Vec::new();
    for row in &rows {
        if let Row::Once(crossing) = row {
            let (vm, _) = model.vcpus[crossing.vcpu()];
            lines.extend([Line::Guest(vm, 0), Line::Guest(vm, 1), Line::El2(crossing.pcpu())]);
        }
    }
    lines.sort_unstable();
    lines.dedup();
    Picture { trace, model, rows, lines }.draw()
}

struct Picture<'a> {
    trace: &'a Trace,
    model: &'a Model,
    rows: Vec<Row<'a>>,
    lines: Vec<Line>,
}

impl Picture<'_> {
    fn draw(&self) -> String {
        let width = TIMES + LANE * self.lines.len().max(1) as f64 + 20.0;
        let height = TOP + ROW * self.rows.len() as f64 + BOTTOM;
        let mut names: Vec<_> = self.lines.iter().filter_map(|line| self.vm(*line)).collect();
        names.dedup();
        let title = format!("Crossings of {}", escaped(&names.join(", ")));
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" \
             width=\"{width}\" height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" \
             fill=\"#222\">\n<title>{title}</title>\n\
             <defs><marker id=\"head\" viewBox=\"0 0 8 8\" refX=\"8\" refY=\"4\" markerWidth=\"8\" \
             markerHeight=\"8\" orient=\"auto\"><path d=\"M0 0L8 4L0 8z\" fill=\"#222\"/></marker></defs>\n\
             <rect width=\"{width}\" height=\"{height}\" fill=\"#fff\"/>\n\
             <text x=\"20\" y=\"26\" font-size=\"15\">{title}</text>\n\
             <text x=\"20\" y=\"46\" fill=\"#555\">time in us, not to scale; a bar is who runs</text>\n"
        );
        for (index, line) in self.lines.iter().enumerate() {
            self.lifeline(&mut svg, index, *line, height);
        }
        self.bars(&mut svg);
        for (number, row) in self.rows.iter().enumerate() {
            match row {
                Row::Once(crossing) => self.arrow(&mut svg, number, crossing),
                Row::Again(length, times) => self.again(&mut svg, number, *length, *times),
            }
        }
        svg + "</svg>\n"
    }

    fn vm(&self, line: Line) -> Option<&str> {
        match line {
            Line::Guest(vm, _) => self.trace.vm(vm),
            Line::El2(_) => None,
        }
    }

    /// Rows that are crossings, with their numbers.
    fn crossings(&self) -> impl DoubleEndedIterator<Item = (usize, &Crossing<'_>)> {
        self.rows.iter().enumerate().filter_map(|(number, row)| match row {
            Row::Once(crossing) => Some((number, crossing)),
            Row::Again(..) => None,
        })
    }

    fn x(&self, line: Line) -> f64 {
        let index = self.lines.iter().position(|one| *one == line).unwrap_or(0);
        TIMES + LANE * (index as f64 + 0.5)
    }

    fn colour(line: Line) -> &'static str {
        match line {
            Line::El2(_) => EL2,
            Line::Guest(vm, _) => COLOURS[usize::from(vm) % COLOURS.len()],
        }
    }

    fn lifeline(&self, svg: &mut String, index: usize, line: Line, height: f64) {
        let x = TIMES + LANE * (index as f64 + 0.5);
        let (name, below) = match line {
            Line::El2(pcpu) => ("Mezzanine".into(), format!("EL2, pCPU {pcpu}")),
            Line::Guest(vm, level) => {
                (escaped(self.trace.vm(vm).unwrap_or("?")), format!("EL{level}"))
            }
        };
        let colour = Self::colour(line);
        let _ = writeln!(
            svg,
            "<text x=\"{x}\" y=\"70\" text-anchor=\"middle\" fill=\"{colour}\" \
             font-weight=\"bold\">{name}</text>\
             <text x=\"{x}\" y=\"86\" text-anchor=\"middle\" fill=\"{colour}\">{below}</text>\
             <path d=\"M{x} 94V{:.1}\" stroke=\"#bbb\" stroke-dasharray=\"2 3\"/>",
            height - 20.0
        );
    }

    /// Who runs between two crossings of the same pCPU.
    fn bars(&self, svg: &mut String) {
        for (row, crossing) in self.crossings() {
            let (from, to) = self.ends(crossing);
            let mut there = self.crossings().filter(|(_, other)| other.pcpu() == crossing.pcpu());
            let first = there.next().is_some_and(|(number, _)| number == row);
            let next = self
                .crossings()
                .find(|(number, other)| *number > row && other.pcpu() == crossing.pcpu());
            let top = Self::y(row);
            let bottom = Self::y(next.map_or(self.rows.len(), |(number, _)| number));
            if first && row > 0 {
                Self::bar(svg, self.x(from), Self::y(0) - ROW / 2.0, top, Self::colour(from));
            }
            Self::bar(svg, self.x(to), top, bottom, Self::colour(to));
        }
    }

    fn bar(svg: &mut String, x: f64, top: f64, bottom: f64, colour: &str) {
        let _ = writeln!(
            svg,
            "<rect x=\"{:.1}\" y=\"{top:.1}\" width=\"{}\" height=\"{:.1}\" fill=\"{colour}\" \
             fill-opacity=\"0.75\"/>",
            x - HALF,
            2.0 * HALF,
            bottom - top
        );
    }

    /// From which lifeline to which.
    fn ends(&self, crossing: &Crossing) -> (Line, Line) {
        let (vm, _) = self.model.vcpus[crossing.vcpu()];
        let (guest, el2) = (Line::Guest(vm, crossing.level()), Line::El2(crossing.pcpu()));
        match crossing {
            Crossing::Exit(..) => (guest, el2),
            Crossing::Enter(_) => (el2, guest),
        }
    }

    fn arrow(&self, svg: &mut String, row: usize, crossing: &Crossing) {
        let (from, to) = self.ends(crossing);
        let (a, b) = (self.x(from), self.x(to));
        let way = (b - a).signum() * (HALF + 1.0);
        let y = Self::y(row);
        let since = crossing.time().saturating_sub(self.model.span.start);
        let time = self.trace.nanoseconds(since) as f64 / 1000.0;
        let words = crossing.words();
        let dash = match crossing {
            Crossing::Exit(..) => "",
            Crossing::Enter(_) => " stroke-dasharray=\"5 3\"",
        };
        let name = self.model.name(self.trace, crossing.vcpu());
        // The words stand by the guest's end, where there is room for them.
        let guest = if matches!(crossing, Crossing::Exit(..)) { a } else { b };
        let toward = if matches!(crossing, Crossing::Exit(..)) { way } else { -way };
        let anchor = if toward > 0.0 { "start" } else { "end" };
        let words = escaped(&format!("{words} ({name})"));
        let at = guest + toward * 1.8;
        let room = words.chars().count() as f64 * LETTER;
        let left = if toward > 0.0 { at } else { at - room };
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\" fill=\"#555\">{time:.1}</text>\
             <path d=\"M{:.1} {y:.1}H{:.1}\" stroke=\"#222\"{dash} marker-end=\"url(#head)\"/>\
             <rect x=\"{left:.1}\" y=\"{:.1}\" width=\"{room:.1}\" height=\"13\" fill=\"#fff\" \
             fill-opacity=\"0.8\"/>\
             <text x=\"{at:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\" font-size=\"11\">{words}</text>",
            TIMES - 16.0,
            y + 4.0,
            a + way,
            b - way,
            y - 15.0,
            y - 4.0,
        );
    }

    fn again(&self, svg: &mut String, row: usize, length: usize, times: usize) {
        let right = TIMES + LANE * self.lines.len() as f64;
        let (top, y) = (Self::y(row - length) - ROW * 0.7, Self::y(row));
        let _ = writeln!(
            svg,
            "<path d=\"M{right} {top:.1}h8V{:.1}h-8\" fill=\"none\" stroke=\"#888\"/>\
             <rect x=\"{TIMES}\" y=\"{:.1}\" width=\"{:.1}\" height=\"16\" fill=\"#f1f1f1\"/>\
             <text x=\"{:.1}\" y=\"{:.1}\" fill=\"#555\">the {length} above, {times} times more</text>",
            y - ROW * 0.5,
            y - 10.0,
            right - TIMES,
            TIMES + 12.0,
            y + 2.0
        );
    }

    fn y(row: usize) -> f64 {
        TOP + ROW * (row as f64 + 0.5)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::sample::Sample;
    use mezzanine::trace::format::{Event, Kind};

    fn drawn(from: u64, first: usize) -> String {
        let trace = Trace::parse(&Sample::busy(400).bytes()).unwrap();
        draw(&trace, &Model::new(&trace), from, first)
    }

    /// Every element is closed in its turn, and no text has a bare `<` or `&`.
    fn is_well_formed(svg: &str) -> bool {
        let mut open = Vec::new();
        for part in svg.split('<').skip(1) {
            let Some((tag, text)) = part.split_once('>') else { return false };
            let entities = ["amp;", "lt;", "gt;", "quot;"];
            let bare = |rest: &str| !entities.iter().any(|entity| rest.starts_with(entity));
            if text.split('&').skip(1).any(bare) || tag.matches('"').count() % 2 != 0 {
                return false;
            }
            let name = tag.split([' ', '/']).next().unwrap_or_default();
            match tag.strip_prefix('/') {
                Some(name) if open.pop() != Some(name) => return false,
                Some(_) => {}
                None if tag.ends_with('/') => {}
                None => open.push(name),
            }
        }
        open.is_empty()
    }

    #[test]
    fn each_crossing_is_an_arrow() {
        let svg = drawn(0, 40);
        assert!(is_well_formed(&svg));
        assert_eq!(svg.matches("marker-end").count(), 40);
        assert!(svg.contains(">HVC PSCI_VERSION (linux.0)</text>"), "{svg}");
        let ways =
            (svg.matches(">ERET (").count(), svg.matches("stroke-dasharray=\"5 3\"").count());
        assert!(ways.0 == ways.1 && ways.0 > 10 && ways.0 < 30, "{ways:?}");
        // A guest's levels and EL2 of each pCPU have a line each.
        assert_eq!(svg.matches(">Mezzanine</text>").count(), 2);
        assert_eq!(svg.matches(">EL0</text>").count(), svg.matches(">EL1</text>").count());
    }

    #[test]
    fn crossings_before_the_time_asked_for_are_left_out() {
        let times = |svg: &str| -> Vec<f64> {
            let texts = svg.split("fill=\"#555\">").skip(2);
            texts.filter_map(|text| text.split('<').next()?.parse().ok()).collect()
        };
        let late = times(&drawn(200_000, 10));
        assert!(late.len() == 10 && late[0] >= 200.0 && late.is_sorted(), "{late:?}");
        assert!(times(&drawn(0, 10))[0] < 100.0);
    }

    /// A guest that writes 100 letters reads a flag and writes a letter each time.
    #[test]
    fn a_loop_is_drawn_once() {
        let vcpu = (0, 0);
        let mut sample = Sample::new(1, &["a"], 4096);
        sample.add(0, 5, Event::SchedIn, vcpu, [0; 3]).add(0, 6, Event::Enter, vcpu, [0, 0, 5]);
        for number in 0..200 {
            let kind = if number % 2 == 0 { Kind::Device } else { Kind::Call };
            sample.exit(0, 100 * (number + 1), 50, vcpu, (kind, false));
        }
        sample.exit(0, 30_000, 50, vcpu, (Kind::Wait, true));
        let trace = Trace::parse(&sample.bytes()).unwrap();
        let svg = draw(&trace, &Model::new(&trace), 0, 40);
        assert!(is_well_formed(&svg));
        assert!(svg.contains(">the 4 above, 99 times more</text>"), "{svg}");
        // The first entry, the loop's four, and what came then.
        assert_eq!(svg.matches("marker-end").count(), 6);
        assert!(svg.contains(">WFI (a.0)</text>"));
    }
}
