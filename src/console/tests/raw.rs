//! The raw view: the terminal is one VM's for a while, and put right after.

use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::super::screen::PUT_RIGHT;
use super::{Big, Input, NAMES, Order, Run, Small};

const BEGIN: &str = "[mezzanine] INFO: console: alpha has the terminal, until Ctrl-] r\r\n";

/// A full-screen program's bytes, none of which the line model would pass.
const PROGRAM: &[u8] =
    b"\x1b[?1049h\x1b[2J\x1b[5;20r\x1b(0lqk\x0e\x1b[1;1H\x1b]0;title\xc2\x9b\xff";

fn end(missed: usize) -> Vec<u8> {
    let said = "[mezzanine] INFO: console: end of the raw view;";
    let said = std::format!("{said} {missed} bytes of it lost\r\n");
    [PUT_RIGHT, said.as_bytes()].concat()
}

/// What goes out from here on.
fn out<const N: usize>(run: &mut Run<N>) -> Vec<u8> {
    core::iter::from_fn(|| {
        let byte = run.mux.peek();
        run.mux.pop();
        byte
    })
    .collect()
}

fn begin<const N: usize>(run: &mut Run<N>) {
    assert_eq!(run.command(b'r'), Input::None);
    assert!(out(run).ends_with(BEGIN.as_bytes()));
}

#[test]
fn bytes_pass_as_they_are_and_others_lines_wait() {
    let mut run = Big::new(false);
    run.write(0, b"benos> he");
    out(&mut run);
    assert_eq!(run.command(b'r'), Input::None);
    // What was in the row is a line now.
    assert_eq!(out(&mut run), [b"\r\n", BEGIN.as_bytes()].concat());
    run.write(0, PROGRAM);
    run.write(1, b"one line, and a part");
    run.write(1, b" of it\nthe next");
    run.own("INFO: hello");
    assert_eq!(out(&mut run), PROGRAM);
    assert_eq!(run.mux.input(b'x'), Input::ToVm(0, b'x'), "the keyboard stays");
    assert_eq!(run.command(super::super::COMMAND), Input::ToVm(0, super::super::COMMAND));
    run.write(0, b"\x1b[H");
    assert_eq!(out(&mut run), b"\x1b[H");
    assert_eq!(run.command(b'r'), Input::None);
    let held = "[beta] one line, and a part of it\r\n[mezzanine] INFO: hello\r\n";
    assert_eq!(out(&mut run), [&end(0), held.as_bytes()].concat());
    run.write(0, b"\x1b[2J$ ");
    run.write(1, b" line\n");
    assert_eq!(run.last(), ("[alpha] $ ".into(), 10));
    assert!(run.terminal.passed.is_empty());
}

/// All ways out of it, whatever the sequence that the program was in the middle of.
#[test]
fn every_way_out_puts_the_terminal_right() {
    type Way = fn(&mut Big);
    let ways: [(&str, Way); 6] = [
        ("", |run| assert_eq!(run.command(b'r'), Input::None)),
        ("", |run| assert_eq!(run.command(b'x'), Input::None)),
        ("", |run| assert_eq!(run.command(b'p'), Input::Order(0, Order::PauseOrResume))),
        ("VM 1 beta has the keyboard\r\n", |run| assert_eq!(run.command(b'1'), Input::Switched)),
        ("VM 2 gamma\r\n", |run| assert_eq!(run.command(b'?'), Input::None)),
        ("", |run| run.mux.flush(0)),
    ];
    for (said, way) in ways {
        let mut run = Big::new(false);
        begin(&mut run);
        run.write(0, b"\x1b[12;");
        out(&mut run);
        way(&mut run);
        let out = out(&mut run);
        assert!(out.starts_with(&end(0)), "{}", String::from_utf8_lossy(&out));
        assert!(out.ends_with(said.as_bytes()), "{}", String::from_utf8_lossy(&out));
        run.write(0, b"34 \x1b[Jplain\n");
        assert_eq!(run.rows().first().map(String::as_str), Some("[alpha] 34 plain"));
    }
}

#[test]
fn nothing_else_begins_or_ends_it() {
    let mut batch = Big::new(true);
    assert_eq!(batch.command(b'r'), Input::None);
    batch.write(0, PROGRAM);
    batch.write(0, b"\n");
    assert!(!out(&mut batch).contains(&0x1b), "in batch there is no terminal to give away");

    let mut run = Big::new(false);
    begin(&mut run);
    // The key without Ctrl-], and another VM's end.
    assert_eq!(run.mux.input(b'r'), Input::ToVm(0, b'r'));
    run.mux.flush(1);
    run.write(0, b"\x1b[c");
    assert_eq!(out(&mut run), b"\x1b[c");
}

#[test]
fn what_finds_no_room_is_counted() {
    let mut run = Small::new(false);
    begin(&mut run);
    (0..600).for_each(|_| run.write(0, b"#"));
    (0..300).for_each(|_| run.write(1, b"something that takes its room\n"));
    // Not before what came first is out.
    assert_eq!(run.command(b'1'), Input::Switched);
    let held = 4096 / 38;
    let out = out(&mut run);
    let (raw, rest) = out.split_at(512);
    assert!(raw.iter().all(|byte| *byte == b'#'));
    assert!(rest.starts_with(&end(88)), "{}", String::from_utf8_lossy(rest));
    // What is left of the small ring has room for a few; each of all the others is counted, and so
    // is the answer to the key.
    let rest = String::from_utf8_lossy(rest);
    let shown = rest.matches("[beta] something that takes its room\r\n").count();
    assert!((1..held).contains(&shown));
    let lost = 300 - shown + 1;
    assert!(rest.ends_with(&std::format!("[mezzanine] WARN: console: {lost} lines lost\r\n")));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 4 } else { 400 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// The VM's bytes, whatever they are, come out of its raw view unchanged and with nothing between;
    /// everybody's lines come out whole, in order, outside of it.
    #[test]
    fn nothing_mixes(
        steps in prop::collection::vec((0usize..4, prop::collection::vec(any::<u8>(), 0..20)), 1..40)
    ) {
        let mut run = Big::new(false);
        let (mut raw, mut wanted, mut views) = (false, Vec::new(), Vec::new());
        let mut text = Vec::new();
        for (number, (step, bytes)) in steps.iter().enumerate() {
            match step {
                0 if raw => {
                    run.write(0, bytes);
                    views.last_mut().map(|view: &mut Vec<u8>| view.extend(bytes)).expect("a view");
                }
                0 => {}
                1 => {
                    raw = !raw;
                    run.command(b'r');
                    if raw { views.push(Vec::new()) }
                }
                vm => {
                    let line = std::format!("{number}");
                    run.write(vm - 1, line.as_bytes());
                    run.write(vm - 1, b"\n");
                    wanted.push(std::format!("[{}] {line}\r\n", NAMES[vm - 1]));
                }
            }
            text.extend(out(&mut run));
        }
        if raw {
            run.command(b'r');
            text.extend(out(&mut run));
        }
        let mut lines = String::new();
        for view in views {
            let at = text.windows(BEGIN.len()).position(|part| part == BEGIN.as_bytes());
            let (before, rest) = text.split_at(at.expect("its begin") + BEGIN.len());
            lines.push_str(std::str::from_utf8(before).expect("lines"));
            prop_assert!(rest.starts_with(&[&view, PUT_RIGHT].concat()));
            text = rest[view.len() + PUT_RIGHT.len()..].to_vec();
        }
        lines.push_str(std::str::from_utf8(&text).expect("lines"));
        let lines: String =
            lines.split_inclusive('\n').filter(|line| !line.starts_with("[mezz")).collect();
        prop_assert_eq!(lines, wanted.concat());
    }
}
