//! The monitor as one more party on the console.

use super::*;

const KEYBOARD: &str = "[mezzanine] INFO: console: the monitor has the keyboard";

fn with_monitor<const N: usize>(batch: bool) -> Run<N> {
    let mut run = Run::new(batch);
    assert_eq!(run.mux.add_monitor(), 3);
    run
}

#[test]
fn its_prompt_is_shown_when_it_has_the_keyboard_and_steps_aside() {
    let mut run = with_monitor::<0x4000>(false);
    run.write(0, b"benos> ");
    assert!(run.mux.say(b"mz> "));
    assert_eq!(run.last(), ("[alpha] benos> ".into(), 15));
    assert_eq!(run.command(b'm'), Input::Switched);
    assert_eq!(run.last(), ("[monitor] mz> ".into(), 14));
    assert_eq!(run.mux.input(b'x'), Input::ToVm(3, b'x'));
    assert!(run.mux.say(b"x"));
    run.write(1, b"tick\n");
    assert_eq!(run.last(), ("[monitor] mz> x".into(), 15));
    assert!(run.mux.say(b"\r\nanswer\r\nmz> "));
    // And back: the VM's own prompt is there again.
    assert_eq!(run.command(b'0'), Input::Switched);
    assert_eq!(run.mux.input(b'y'), Input::ToVm(0, b'y'));
    assert!(run.mux.say(b"late"));
    let rows = run.rows();
    let wanted = [KEYBOARD, "[beta] tick", "[monitor] mz> x", "[monitor] answer"];
    assert_eq!(rows[..4], wanted);
    assert_eq!(rows[5], "[alpha] benos> ");
}

#[test]
fn it_is_listed_has_no_digit_and_obeys_no_order() {
    let mut run = with_monitor::<0x4000>(false);
    assert_eq!(run.command(b'3'), Input::None);
    assert_eq!(run.command(b'm'), Input::Switched);
    for key in [b'p', b's', b'r', b'?'] {
        assert_eq!(run.command(key), Input::None);
    }
    let rows = run.rows();
    let rows: Vec<_> = rows.iter().filter_map(|row| row.strip_prefix("[mezzanine] ")).collect();
    assert_eq!(rows[0], "WARN: console: no VM 3");
    assert!(rows[2].contains("m moves it to the monitor"));
    let wanted = ["VM 0 alpha", "VM 1 beta", "VM 2 gamma", "the monitor has the keyboard"];
    assert_eq!(rows[3..], wanted.map(|said| std::format!("INFO: console: {said}")));
}

#[test]
fn without_one_its_key_does_nothing() {
    let mut run = Big::new(false);
    assert_eq!(run.command(b'm'), Input::None);
    assert!(!run.mux.say(b"nobody\n"));
    assert_eq!(run.rows(), [""]);
}

#[test]
fn what_it_says_waits_for_room_and_is_never_lost() {
    let mut run = with_monitor::<0x1000>(false);
    run.command(b'm');
    let mut said = 0;
    let mut lines = 0;
    while lines < 500 {
        let line = std::format!("line {lines} of many\n");
        match run.mux.say(line.as_bytes()) {
            true => lines += 1,
            false => run.drain(300),
        }
        said += 1;
    }
    assert!(said > lines);
    let rows = run.rows();
    let wanted = (0..500).map(|number| std::format!("[monitor] line {number} of many"));
    assert!(rows.iter().skip(1).zip(wanted).all(|(row, wanted)| *row == wanted));
}

#[test]
fn it_waits_for_the_end_of_a_raw_view() {
    let mut run = with_monitor::<0x4000>(false);
    run.command(b'r');
    assert!(!run.mux.say(b"answer\n"));
    run.command(b'r');
    while run.mux.peek().is_some() {
        run.mux.pop();
    }
    assert!(run.mux.say(b"answer\n"));
}

#[test]
fn a_prompt_alone_is_not_flushed() {
    let mut run = with_monitor::<0x4000>(true);
    assert!(run.mux.say(b"mz> "));
    run.mux.vms().for_each(|party| run.mux.flush(party));
    assert_eq!(run.rows(), [""]);
    assert!(run.mux.say(b"mz> stat\r\n"));
    assert_eq!(run.rows(), ["[monitor] mz> stat", ""]);
}
