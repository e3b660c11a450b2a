use std::string::ToString;
use std::vec::Vec;

use log::LevelFilter;
use proptest::prelude::*;

use super::*;

fn errors(line: &str) -> Vec<std::string::String> {
    CommandLine::new(line).errors().map(|error| error.to_string()).collect()
}

#[test]
fn an_empty_line_asks_for_nothing() {
    let line = CommandLine::new("  \t ");
    assert!(!line.batch && !line.stay && line.log.is_none());
    assert_eq!(line.errors().count(), 0);
}

#[test]
fn all_words_are_understood() {
    let line = CommandLine::new("batch stay log=debug alpha.bootargs=quiet");
    assert!(line.batch && line.stay);
    assert_eq!(line.log, Some(LevelFilter::Debug));
    assert_eq!(line.bootargs("alpha"), Some("quiet"));
    assert_eq!(line.bootargs("beta"), None);
    assert_eq!(line.errors().count(), 0);
}

#[test]
fn quotes_keep_blanks_together() {
    let line = CommandLine::new("a.bootargs=\"console=ttyAMA0 rw  init=/x\" stay b.bootargs=\"\"");
    assert_eq!(line.bootargs("a"), Some("console=ttyAMA0 rw  init=/x"));
    assert_eq!(line.bootargs("b"), Some(""));
    assert!(line.stay);
    let inner = CommandLine::new("a.bootargs=dyndbg=\"file a +p\" batch");
    assert_eq!(inner.bootargs("a"), Some("dyndbg=\"file a +p\""));
    assert!(inner.batch);
}

#[test]
fn commands_for_the_monitor_are_one_word() {
    assert_eq!(CommandLine::new("batch").monitor, "");
    let line = CommandLine::new("batch monitor=\"vm list; stat -w\" stay");
    assert_eq!(line.monitor, "vm list; stat -w");
    assert!(line.stay && line.errors().count() == 0);
    assert_eq!(CommandLine::new("monitor=stat").monitor, "stat");
    assert_eq!(
        errors("monitor=\"vm list"),
        ["command line: found \"monitor=\\\"vm list\", wanted a closing quote"]
    );
}

#[test]
fn the_last_replacement_holds_and_names_may_have_dots() {
    let line = CommandLine::new("a.bootargs=1 a.bootargs=2 x.y.bootargs=3");
    assert_eq!(line.bootargs("a"), Some("2"));
    assert_eq!(line.bootargs("x.y"), Some("3"));
    assert_eq!(line.replacements().count(), 3);
}

#[test]
fn wrong_words_are_named_and_the_others_hold() {
    let found = errors("batch=1 satay log=loud .bootargs=x alpha.memory=3 stay");
    let word = "batch, stay, gdb, log=LEVEL, trace, monitor=\"...\" or NAME.bootargs=...";
    assert_eq!(
        found,
        [
            std::format!("command line: found \"batch=1\", wanted {word}"),
            std::format!("command line: found \"satay\", wanted {word}"),
            "command line: found \"log=loud\", wanted log=off, error, warn, info, debug or trace"
                .to_string(),
            std::format!("command line: found \".bootargs=x\", wanted {word}"),
            std::format!("command line: found \"alpha.memory=3\", wanted {word}"),
        ]
    );
    assert!(CommandLine::new("satay stay").stay);
    assert_eq!(
        errors("a.bootargs=\"rest of it"),
        ["command line: found \"a.bootargs=\\\"rest of it\", wanted a closing quote"]
    );
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_line_is_survived(line in "[ a-z.=\"é\\n]{0,64}") {
        let parsed = CommandLine::new(&line);
        parsed.errors().for_each(|error| assert!(!error.to_string().is_empty()));
        let _ = parsed.replacements().count();
    }
}
