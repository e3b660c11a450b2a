//! How much of EL2 each VM and kind of exit took.

use super::{
    file::Trace,
    model::{Model, Span},
    words,
};
use mezzanine::trace::format::Kind;
use std::{collections::BTreeMap, fmt::Write};

/// The exits of one kind of one VM. Times are nanoseconds in EL2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// Whose.
    pub vm: String,
    /// Of which kind.
    pub kind: Kind,
    /// How many.
    pub count: u64,
    /// The sum.
    pub total: u64,
    /// The sum over the count.
    pub mean: u64,
    /// Only one in a hundred took longer.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

/// Sums the exits up that begin within `span`, those that took most of EL2 first. An exit whose end
/// is not in the trace counts with what is seen of it.
pub fn rows(trace: &Trace, model: &Model, span: Span) -> Vec<Row> {
    let mut sorted: BTreeMap<(u16, u32), Vec<u64>> = BTreeMap::new();
    let within = |start: u64| (span.start..=span.end).contains(&start);
    for exit in model.exits.iter().filter(|exit| within(exit.span.start)) {
        let (vm, _) = model.vcpus[exit.vcpu];
        let ticks = exit.worked();
        sorted.entry((vm, exit.kind as u32)).or_default().push(ticks);
    }
    let row = |((vm, kind), mut ticks): ((u16, u32), Vec<u64>)| {
        ticks.sort_unstable();
        let count = ticks.len() as u64;
        let total = trace.nanoseconds(ticks.iter().copied().fold(0, u64::saturating_add));
        let rank = (ticks.len() * 99).div_ceil(100).max(1) - 1;
        let kinds = Kind::ALL.iter().map(|(kind, _)| *kind);
        Row {
            vm: trace.vm(vm).unwrap_or("?").into(),
            kind: kinds.into_iter().find(|one| *one as u32 == kind).unwrap_or(Kind::None),
            count,
            total,
            mean: total / count.max(1),
            p99: trace.nanoseconds(ticks[rank]),
            max: trace.nanoseconds(ticks.last().copied().unwrap_or(0)),
        }
    };
    let mut rows: Vec<Row> = sorted.into_iter().map(row).collect();
    rows.sort_by_key(|row| std::cmp::Reverse(row.total));
    rows
}

/// The rows as a table for people.
pub fn table(rows: &[Row]) -> String {
    let all = rows.iter().map(|row| row.total).fold(0, u64::saturating_add);
    let width = rows.iter().map(|row| row.vm.len()).max().unwrap_or(0).max(2);
    let mut text = format!(
        "{:width$} {:<10} {:>8} {:>10} {:>5} {:>9} {:>9} {:>9}\n",
        "VM", "exits", "count", "in EL2 us", "share", "mean us", "p99 us", "max us"
    );
    for row in rows {
        let _ = writeln!(
            text,
            "{:width$} {:<10} {:>8} {:>10} {:>4}% {:>9} {:>9} {:>9}",
            row.vm,
            words::kind(row.kind),
            row.count,
            microseconds(row.total),
            (u128::from(row.total) * 100 + u128::from(all / 2)) / u128::from(all.max(1)),
            microseconds(row.mean),
            microseconds(row.p99),
            microseconds(row.max),
        );
    }
    text
}

/// Nanoseconds as microseconds with one digit behind the point.
fn microseconds(nanoseconds: u64) -> String {
    format!("{:.1}", nanoseconds as f64 / 1000.0)
}
