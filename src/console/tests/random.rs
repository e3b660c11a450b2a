//! Random bytes and orders against what must always hold.

use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::line::MAX;
use super::{NAMES, Run, Small};

#[derive(Clone, Debug)]
enum Op {
    /// A VM sends bytes.
    Write(usize, Vec<u8>),
    /// The hypervisor says something.
    Own(usize),
    /// Ctrl-] and a key.
    Key(u8),
    /// The terminal takes that many bytes.
    Drain(usize),
    Flush(usize),
}

/// Bytes that an honest VM sends, at most.
const OTHERS: usize = if cfg!(miri) { 30 } else { 300 };

fn config() -> ProptestConfig {
    ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

fn ops(bytes: impl Strategy<Value = u8>) -> impl Strategy<Value = Vec<Op>> {
    let op = prop_oneof![
        8 => (0usize..3, prop::collection::vec(bytes, 1..40)).prop_map(|(vm, b)| Op::Write(vm, b)),
        2 => (0usize..1000).prop_map(Op::Own),
        1 => prop::sample::select(b"012345?px\x1d".to_vec()).prop_map(Op::Key),
        3 => (0usize..400).prop_map(Op::Drain),
        1 => (0usize..3).prop_map(Op::Flush),
    ];
    prop::collection::vec(op, 1..if cfg!(miri) { 6 } else { 60 })
}

fn text() -> impl Strategy<Value = u8> {
    prop_oneof![4 => b' '..=b'~', 1 => Just(b'\n')]
}

fn wild() -> impl Strategy<Value = u8> {
    let telling = b"\r\n\x08\x1b[];0123456789mKJDCPn@A H\t\x07\xc2\x9b[mezzanine] x".to_vec();
    prop_oneof![3 => prop::sample::select(telling), 1 => any::<u8>()]
}

/// With `room`, everything goes out after each step, so that there is always enough.
fn run<const N: usize>(run: &mut Run<N>, ops: &[Op], room: bool) {
    for op in ops {
        if room {
            run.drain(usize::MAX);
        }
        match op {
            Op::Write(vm, bytes) => run.write(*vm, bytes),
            Op::Own(number) => run.own(&std::format!("INFO: {number}")),
            Op::Key(key) => {
                run.mux.input(super::super::COMMAND);
                run.mux.input(*key);
            }
            Op::Drain(count) => run.drain(*count),
            Op::Flush(vm) => run.mux.flush(*vm),
        }
    }
    (0..3).for_each(|vm| run.mux.flush(vm));
    run.drain(usize::MAX);
}

/// The lines of one VM on the terminal, or of the hypervisor.
fn of(rows: &[String], name: &str) -> Vec<String> {
    let prefix = std::format!("[{name}] ");
    rows.iter().filter_map(|row| row.strip_prefix(&prefix)).map(String::from).collect()
}

/// The lines that a VM has sent, cut where they are too long.
fn sent(ops: &[Op], vm: usize) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = String::new();
    let mut end = |line: &mut String| lines.push(std::mem::take(line));
    for op in ops {
        match op {
            Op::Write(of, bytes) if *of == vm => {
                for byte in bytes {
                    match byte {
                        b'\n' => end(&mut line),
                        _ if line.len() == MAX => {
                            end(&mut line);
                            line.push(char::from(*byte));
                        }
                        _ => line.push(char::from(*byte)),
                    }
                }
            }
            Op::Flush(of) if *of == vm && !line.is_empty() => end(&mut line),
            _ => {}
        }
    }
    if !line.is_empty() {
        end(&mut line);
    }
    lines
}

proptest! {
    #![proptest_config(config())]

    /// Whatever the order, the terminal ends up with each VM's lines, whole and in order.
    #[test]
    fn lines_are_never_torn(ops in ops(text()), batch: bool) {
        let mut big = Run::<0x1_0000>::new(batch);
        run(&mut big, &ops, true);
        let rows = big.terminal.rows();
        for (vm, name) in NAMES.iter().enumerate() {
            prop_assert_eq!(of(&rows, name), sent(&ops, vm));
        }
        let own = ops.iter().filter_map(|op| match op {
            Op::Own(number) => Some(std::format!("INFO: {number}")),
            _ => None,
        });
        let said = of(&rows, "mezzanine").into_iter().filter(|line| !line.contains("console:"));
        prop_assert_eq!(said.collect::<Vec<_>>(), own.collect::<Vec<_>>());
        prop_assert_eq!(rows.last().map(String::as_str), Some(""));
    }

    /// A VM that sends anything harms no other's lines, and none of its rows is without its name.
    #[test]
    fn nobody_forges(ops in ops(wild()), others in prop::collection::vec(text(), 1..OTHERS), batch: bool) {
        let mut big = Run::<0x1_0000>::new(batch);
        let chunk = others.len() / ops.len() + 1;
        let mut mixed = Vec::new();
        let mut honest = others.chunks(chunk);
        for op in &ops {
            mixed.push(match op {
                // VM 2 is the honest one.
                Op::Write(2, _) | Op::Flush(2) => Op::Write(2, honest.next().unwrap_or(b"").to_vec()),
                other => other.clone(),
            });
        }
        run(&mut big, &mixed, true);
        let rows = big.terminal.rows();
        prop_assert_eq!(of(&rows, NAMES[2]), sent(&mixed, 2));
        let (last, rows) = rows.split_last().expect("a row");
        prop_assert_eq!(last, "");
        for row in rows {
            let mut known = NAMES.iter().chain(&["mezzanine"]);
            let named = known.any(|name| row.starts_with(&std::format!("[{name}] ")));
            prop_assert!(named, "{}", row);
        }
        let said = of(rows, "mezzanine").len();
        let told = ops.iter().filter(|op| matches!(op, Op::Own(_))).count();
        let listed = of(rows, "mezzanine").iter().filter(|line| line.contains(" console: ")).count();
        prop_assert_eq!(said, told + listed);
        for control in &big.terminal.passed {
            let harmless = control == b"\x07" || matches!(control.last(), Some(b'm' | b'n'));
            prop_assert!(harmless, "{:?}", control);
        }
    }

    /// With too little room lines are missing, but none is torn or out of order, and the console
    /// says how many.
    #[test]
    fn lost_lines_are_counted(ops in ops(text()), batch: bool) {
        let mut small = Small::new(batch);
        run(&mut small, &ops, false);
        let rows = small.terminal.rows();
        let mut missing = 0;
        for (vm, name) in NAMES.iter().enumerate() {
            let mut shown = of(&rows, name).into_iter().peekable();
            for line in sent(&ops, vm) {
                if shown.next_if_eq(&line).is_none() {
                    missing += 1;
                }
            }
            prop_assert_eq!(shown.next(), None);
        }
        let said = of(&rows, "mezzanine");
        let told = ops.iter().filter(|op| matches!(op, Op::Own(_))).count();
        missing += told - said.iter().filter(|line| !line.contains(" console: ")).count();
        let lost = said.iter().filter_map(|line| {
            line.strip_prefix("WARN: console: ")?.strip_suffix(" lines lost")?.parse::<usize>().ok()
        });
        // Answers to keys may be among the lost as well.
        let keys = ops.iter().filter(|op| matches!(op, Op::Key(_))).count();
        let lost: usize = lost.sum();
        prop_assert!((missing..=missing + 4 * keys).contains(&lost), "{lost} of {missing}");
    }
}
