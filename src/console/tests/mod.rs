mod monitor;
mod random;
mod raw;
mod terminal;

use std::string::String;
use std::vec::Vec;

use core::fmt::Write;

use super::line::MAX;
use super::record::Record;
use super::ring::Ring;
use super::*;
use terminal::Terminal;

const NAMES: [&str; 3] = ["alpha", "beta", "gamma"];

/// A console of three VMs, and the terminal that it drives.
struct Run<const N: usize> {
    mux: Mux<N>,
    terminal: Terminal,
}

type Small = Run<512>;
type Big = Run<0x4000>;

impl<const N: usize> Run<N> {
    fn new(batch: bool) -> Self {
        let mut mux = Mux::EMPTY;
        mux.set_batch(batch);
        NAMES.iter().enumerate().for_each(|(vm, name)| mux.add_vm(vm, name));
        Self { mux, terminal: Terminal::new() }
    }

    fn write(&mut self, vm: usize, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.mux.byte(vm, *byte));
    }

    fn own(&mut self, text: &str) {
        self.mux.own_line(&[text.as_bytes()]);
    }

    fn drain(&mut self, most: usize) {
        for _ in 0..most {
            let Some(byte) = self.mux.peek() else { return };
            self.terminal.take(byte);
            self.mux.pop();
        }
    }

    /// The rows once everything is out.
    fn rows(&mut self) -> Vec<String> {
        self.drain(usize::MAX);
        self.terminal.rows()
    }

    fn last(&mut self) -> (String, usize) {
        self.drain(usize::MAX);
        self.terminal.last()
    }

    /// Ctrl-] and a key.
    fn command(&mut self, key: u8) -> Input {
        assert_eq!(self.mux.input(COMMAND), Input::None);
        self.mux.input(key)
    }
}

#[test]
fn every_line_stands_behind_its_name() {
    let mut run = Big::new(true);
    run.write(0, b"12");
    run.write(1, b"ab");
    run.own("INFO: hello");
    run.write(0, b"345\n");
    run.write(1, b"cde\r\n\n");
    let wanted = ["[mezzanine] INFO: hello", "[alpha] 12345", "[beta] abcde", "[beta] ", ""];
    assert_eq!(run.rows(), wanted);
}

#[test]
fn in_batch_nothing_but_lines_goes_out() {
    let mut run = Big::new(true);
    run.write(0, b"\x1b[31mred\x1b[m \x08done\r");
    assert_eq!(run.mux.peek(), None);
    run.mux.flush(0);
    let out: Vec<u8> = core::iter::from_fn(|| {
        let byte = run.mux.peek();
        run.mux.pop();
        byte
    })
    .collect();
    assert_eq!(out, b"[alpha] reddone\r\n");
    run.mux.flush(0);
    assert_eq!(run.mux.peek(), None);
}

#[test]
fn a_prompt_is_shown_at_once_and_steps_aside() {
    let mut run = Big::new(false);
    run.write(0, b"benos> he");
    assert_eq!(run.last(), ("[alpha] benos> he".into(), 17));
    run.write(1, b"other\n");
    run.own("INFO: hello");
    run.write(0, b"lp");
    let wanted = ["[beta] other", "[mezzanine] INFO: hello", "[alpha] benos> help"];
    assert_eq!(run.rows(), wanted);
    run.write(0, b"\r\n");
    assert_eq!(run.last(), ("".into(), 0));
}

#[test]
fn an_editor_of_a_line_looks_right() {
    let mut run = Big::new(false);
    run.write(0, b"> hepl\x08 \x08\x08 \x08lp");
    assert_eq!(run.last(), ("[alpha] > help".into(), 14));
    // Back over two, and still there after somebody else's line.
    run.write(0, b"\x08\x08");
    run.write(1, b"x\n");
    assert_eq!(run.last(), ("[alpha] > help".into(), 12));
    run.write(0, b"\x1b[K");
    assert_eq!(run.last(), ("[alpha] > he".into(), 12));
    run.write(0, b"\x1b[2DX\x1b[CY\x1b[2D\x1b[P\x1b[2@");
    assert_eq!(run.last(), ("[alpha] > X  Y".into(), 11));
    run.write(0, b"\r* \x1b[J");
    assert_eq!(run.last(), ("[alpha] * ".into(), 10));
    run.write(0, b"\x1b[2Kend\tx\x1b[99D\x1b[99C!");
    assert_eq!(run.last(), (std::format!("[alpha] end     x{:90}!", ""), 108));
}

#[test]
fn nobody_goes_left_of_its_name() {
    for left in
        [&b"\x08\x08\x08\x08\x08\x08\x08\x08\x08"[..], b"\r", b"\x1b[9D", b"\x1b[1G", b"\x1b[A"]
    {
        let mut run = Big::new(false);
        run.write(0, b"x");
        run.write(0, left);
        run.write(0, b"[beta] forged\n");
        assert!(run.rows()[0].starts_with("[alpha] "), "{left:?}");
    }
}

#[test]
fn wiped_text_is_not_in_the_line() {
    let mut run = Big::new(true);
    run.write(0, b"offf\x08 \x08\nkept  \n");
    assert_eq!(run.rows(), ["[alpha] off", "[alpha] kept  ", ""]);
}

#[test]
fn a_return_alone_ends_a_line_in_the_background_only() {
    let mut run = Big::new(false);
    run.write(0, b"10%\r20%\r30%\r\r\n");
    run.write(1, b"10%\r20%\n\r30%\r\r\n\r");
    let wanted = ["[alpha] 30%", "[beta] 10%", "[beta] 20%", "[beta] 30%", ""];
    assert_eq!(run.rows(), wanted);
}

#[test]
fn colours_of_the_foreground_pass_and_end_with_the_line() {
    let mut run = Big::new(false);
    run.write(1, b"\x1b[32mgreen\x1b[m\n");
    run.write(0, b"\x1b[1;34mblue\n");
    run.write(0, b"\x1b[31m");
    run.own("INFO: plain");
    run.write(0, b"\x1b[?25l\x1b]0;title\x07\x1b(B\x1b[6n\x1b[1;1H.");
    assert_eq!(
        run.rows(),
        ["[beta] green", "[alpha] blue", "[mezzanine] INFO: plain", "[alpha] ."]
    );
    let passed: [&[u8]; 5] = [b"\x1b[1;34m", b"\x1b[m", b"\x1b[31m", b"\x1b[m", b"\x1b[6n"];
    assert_eq!(run.terminal.passed, passed);
}

#[test]
fn control_characters_hide_in_no_encoding() {
    let mut run = Big::new(false);
    // U+009B is CSI: written in order, from right to left, and by deletion between its bytes.
    run.write(0, b"\xc2\x9b|\xc2x\x9b\x08\x08\x1b[P|xx\x08\x08");
    run.write(0, b"x\x9b\x08\x08\xc2\n\xc3\xa9\n");
    let rows = run.rows();
    assert!(rows.iter().all(|row| !row.contains('\u{9b}')), "{rows:?}");
    assert_eq!(rows[1], "[alpha] é");
}

#[test]
fn a_long_line_goes_on_in_another() {
    let mut run = Big::new(false);
    for vm in 0..2 {
        run.write(vm, &[b'x'; MAX]);
        run.write(vm, b"\n");
        run.write(vm, &[b'y'; MAX]);
        run.write(vm, b"zz\n");
    }
    let (x, y) = ("x".repeat(MAX), "y".repeat(MAX));
    let rows = run.rows();
    for (rows, name) in rows.chunks_exact(3).zip(NAMES) {
        let wanted = [&x, &y, "zz"].map(|text| std::format!("[{name}] {text}"));
        assert_eq!(rows, wanted);
    }
    assert_eq!(rows.len(), 7);
}

#[test]
fn what_has_no_room_is_counted() {
    let mut run = Small::new(true);
    (0..100).for_each(|_| run.write(1, b"something that takes its room\n"));
    let rows = run.rows();
    let whole = rows.iter().filter(|row| *row == "[beta] something that takes its room").count();
    assert_eq!(whole, 512 / 38);
    let lost = std::format!("[mezzanine] WARN: console: {} lines lost", 100 - whole);
    assert_eq!(rows[whole..], [lost, "".into()]);
}

#[test]
fn a_prompt_comes_back_when_there_is_room() {
    let mut run = Small::new(false);
    (0..100).for_each(|_| run.write(1, b"something that takes its room\n"));
    run.write(0, b"benos> ");
    assert_eq!(run.last(), ("[alpha] benos> ".into(), 15));
    (0..600).for_each(|_| run.write(0, b"\x08>"));
    assert_eq!(run.last(), ("[alpha] benos>>".into(), 15));
}

#[test]
fn the_keyboard_goes_where_it_is_told() {
    let mut run = Big::new(false);
    assert_eq!(run.mux.input(b'x'), Input::ToVm(0, b'x'));
    run.write(0, b"a> ");
    run.write(1, b"b> ");
    assert_eq!(run.command(b'1'), Input::Switched);
    assert_eq!(run.last(), ("[beta] b> ".into(), 10));
    assert_eq!(run.mux.input(b'1'), Input::ToVm(1, b'1'));
    assert_eq!(run.command(COMMAND), Input::ToVm(1, COMMAND));
    assert_eq!(run.command(b'x'), Input::None);
    assert_eq!(run.command(b'7'), Input::None);
    assert_eq!(run.command(b'p'), Input::Order(1, Order::PauseOrResume));
    assert_eq!(run.command(b'?'), Input::None);
    run.write(0, b"\n");
    let wanted = [
        "[mezzanine] INFO: console: VM 1 beta has the keyboard",
        "[mezzanine] WARN: console: no VM 7",
        &std::format!("[mezzanine] {}", std::str::from_utf8(HELP).expect("UTF-8")),
        "[mezzanine] INFO: console: VM 0 alpha",
        "[mezzanine] INFO: console: VM 1 beta has the keyboard",
        "[mezzanine] INFO: console: VM 2 gamma",
        "[alpha] a> ",
        "[beta] b> ",
    ];
    assert_eq!(run.rows(), wanted);
}

#[test]
fn the_first_vm_that_there_is_has_the_keyboard() {
    let mut mux = Mux::<512>::EMPTY;
    assert_eq!(mux.input(b'x'), Input::None);
    for key in [b'p', b'r', b'?'] {
        assert_eq!(mux.input(COMMAND), Input::None);
        assert_eq!(mux.input(key), Input::None);
    }
    while mux.peek().is_some() {
        mux.pop();
    }
    mux.add_vm(2, "gamma");
    mux.add_vm(3, "delta");
    assert_eq!(mux.input(b'x'), Input::ToVm(2, b'x'));
    mux.byte(0, b'x');
    mux.byte(usize::MAX, b'\n');
    mux.flush(1);
    assert_eq!(mux.peek(), None);
}

#[test]
fn a_vm_that_ends_leaves_its_line_and_no_mode() {
    let mut run = Big::new(false);
    run.write(0, b"last words\x1b[");
    run.mux.flush(0);
    run.own("INFO: alpha: off");
    run.write(0, b"31 new\n");
    let wanted = ["[alpha] last words", "[mezzanine] INFO: alpha: off", "[alpha] 31 new", ""];
    assert_eq!(run.rows(), wanted);
}

#[test]
fn odd_names_stay_in_their_brackets() {
    let line = line::Line::new("a]\n b\u{e9}");
    assert_eq!(line.prefix(), b"[a???b??] ");
    assert_eq!(line.name(), b"a???b??");
    assert_eq!(line::Line::new(&"n".repeat(99)).name().len(), 31);
}

#[test]
fn records_are_cut_into_lines() {
    let mut lines: Vec<String> = Vec::new();
    let mut record = Record::new("WARN", |line: &[u8]| {
        lines.push(String::from_utf8(line.to_vec()).expect("UTF-8"));
    });
    write!(record, "one\ntwo\x1b[2J\n{}\n", "é".repeat(MAX / 2)).expect("no error");
    record.finish();
    let half = (MAX - 6) / 2;
    let long = |count| std::format!("WARN: {}", "é".repeat(count));
    assert_eq!(lines, ["WARN: one", "WARN: two?[2J", &long(half), &long(MAX / 2 - half)]);
    lines.clear();
    Record::new("INFO", |line: &[u8]| lines.push(String::from_utf8_lossy(line).into())).finish();
    assert_eq!(lines, ["INFO: "]);
}

#[test]
fn a_transaction_fits_or_leaves_no_trace() {
    let mut ring = Ring::<8>::EMPTY;
    for _ in 0..5 {
        ring.put(b"abcde");
        assert!(ring.is_empty());
        assert!(ring.commit());
        ring.put(b"f");
        ring.put(b"ghij");
        ring.put(b"k");
        assert!(!ring.commit());
        ring.put(b"fgh");
        assert!(ring.commit());
        let out: Vec<u8> = core::iter::from_fn(|| ring.pop()).collect();
        assert_eq!(out, b"abcdefgh");
    }
    ring.put(b"x");
    ring.roll_back();
    assert!(ring.commit() && ring.is_empty());
    ring.put(b"xy");
    ring.commit();
    ring.clear();
    assert_eq!(ring.pop(), None);
}
