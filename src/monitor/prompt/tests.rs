use std::string::String;
use std::vec::Vec;

use proptest::prelude::*;

use super::Prompt;

/// Types; returns the commands that came of it.
fn typed(prompt: &mut Prompt, keys: &str) -> Vec<String> {
    let commands: Vec<_> = keys.bytes().filter_map(|key| prompt.key(key)).collect();
    if !commands.is_empty() {
        prompt.done();
    }
    commands
}

#[test]
fn a_line_is_a_command() {
    let mut prompt = Prompt::default();
    assert_eq!(prompt.take_shown(), b"mz> ");
    assert_eq!(typed(&mut prompt, "  vm   list \r"), ["vm list"]);
    assert_eq!(typed(&mut prompt, "stat -w --x -- 3\n"), ["stat -w --x -- 3"]);
    assert_eq!(typed(&mut prompt, "\r   \r"), [""; 0]);
}

#[test]
fn nothing_is_prompted_while_a_command_runs() {
    let mut prompt = Prompt::default();
    prompt.take_shown();
    assert_eq!(prompt.key(b'x'), None);
    assert_eq!(prompt.key(b'\r').as_deref(), Some("x"));
    assert_eq!(prompt.take_shown(), b"x\r\n");
    prompt.done();
    assert_eq!(prompt.take_shown(), b"\r\x1b[2Kmz> ");
}

#[test]
fn a_line_can_be_edited() {
    let mut prompt = Prompt::default();
    // Both backspaces, and the arrows.
    assert_eq!(typed(&mut prompt, "vm lost\x7f\x08\x7fist\r"), ["vm list"]);
    assert_eq!(typed(&mut prompt, "v list\x1b[D\x1b[D\x1b[D\x1b[D\x1b[Dm\x1b[C\r"), ["vm list"]);
}

#[test]
fn commands_come_back() {
    let mut prompt = Prompt::default();
    typed(&mut prompt, "vm list\r");
    typed(&mut prompt, "stat\r");
    assert_eq!(typed(&mut prompt, "\x1b[A\r"), ["stat"]);
    assert_eq!(typed(&mut prompt, "\x1b[A\x1b[A\x1b[A\x7f\x7f\x7f\x7fshow x\r"), ["vm show x"]);
    assert_eq!(typed(&mut prompt, "half\x1b[A\x1b[A\x1b[B\x1b[B\x1b[Bhelp\r"), ["help"]);
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_keys_are_survived(keys in proptest::collection::vec(
        prop_oneof![any::<u8>(), prop::sample::select(&b"\r\n\x1b[ABCD\x7f\x08\t\"\\ ab-"[..])],
        0..if cfg!(miri) { 32 } else { 2048 },
    )) {
        let mut prompt = Prompt::default();
        for key in keys {
            if prompt.key(key).is_some() {
                prompt.done();
            }
        }
        prop_assert!(prompt.take_shown().is_ascii());
    }
}
