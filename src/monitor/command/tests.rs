use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;

use super::*;

fn find(name: &str) -> Option<usize> {
    let named = ["alpha", "be.ta", "7"].iter().position(|known| *known == name);
    named.or((name == "0").then_some(0))
}

fn parse(line: &str) -> Result<Command, String> {
    Command::parse(line, find).map_err(|error| error.to_string())
}

/// Name, VM, vCPU and numbers.
fn parts(line: &str) -> (&'static str, usize, usize, Vec<u64>) {
    let Command { name, vm, vcpu, numbers, .. } = parse(line).expect("a command");
    (name, vm, vcpu, numbers.to_vec())
}

#[test]
fn vms_have_names_and_numbers() {
    assert_eq!(parts("vm pause alpha"), ("vm pause", 0, 0, [].into()));
    assert_eq!(parts("vm show 0"), ("vm show", 0, 0, [].into()));
    // A VM may be called 7, and have a dot in its name.
    assert_eq!(parts("vcpu regs 7.1"), ("vcpu regs", 2, 1, [].into()));
    assert_eq!(parts("vcpu pin be.ta.3 0xf"), ("vcpu pin", 1, 3, [15].into()));
    assert_eq!(parts("s1 0.0 0x80"), ("s1", 0, 0, [0x80].into()));
    let wanted = "found \"gamma\", wanted a VM: `vm list` has them";
    assert_eq!(parse("vm show gamma"), Err(wanted.into()));
    let wanted = "found \"alpha.x\", wanted a vCPU, VM.N: `vcpu list` has them";
    assert_eq!(parse("gic alpha.x"), Err(wanted.into()));
    for name in ["alpha", "alpha.", "alpha.-1", "gamma.0"] {
        assert!(parse(&std::format!("gic {name}")).is_err(), "{name}");
    }
}

#[test]
fn numbers_are_decimal_or_hexadecimal() {
    assert_eq!(parts("esr 0x96000010").3, [0x9600_0010]);
    assert_eq!(parts("mem alpha 0x40000000 16"), ("mem", 0, 0, [0x4000_0000, 16].into()));
    assert_eq!(parts("log debug").3, [4]);
    assert_eq!(parts("stat").0, "stat");
    assert_eq!(parts("stat -w"), ("stat -w", 0, 0, [].into()));
    assert_eq!(parts("stat -w 5").3, [5]);
    let wanted = "found \"12x\", wanted a number, decimal or hexadecimal with 0x";
    assert_eq!(parse("esr 12x"), Err(wanted.into()));
    assert!(parse("esr 0x10000000000000000").is_err());
    assert!(parse("esr -1").is_err());
}

#[test]
fn what_is_no_command_says_what_would_be_one() {
    assert_eq!(parse("vn list"), Err("\"vn\" is no command: `help` lists them".into()));
    assert_eq!(parse("mem alpha"), Err("found \"mem alpha\", wanted `mem VM IPA LEN`".into()));
    let wanted = "found \"vcpu\", wanted `vcpu list`, `vcpu regs VM.N`, `vcpu bt VM.N`, \
                  `vcpu pin VM.N MASK`";
    assert_eq!(parse("vcpu"), Err(wanted.into()));
    assert!(parse("vm list all").is_err());
    let wanted = "found \"loud\", wanted off, error, warn, info, debug or trace";
    assert_eq!(parse("log loud"), Err(wanted.into()));
}

/// What `help` lists is what is understood.
#[test]
fn help_has_every_command() {
    for (name, with, what) in COMMANDS {
        let words = with.split_whitespace().map(|kind| match kind {
            "VM" => "alpha",
            "VM.N" => "alpha.0",
            "LEVEL" => "debug",
            "[COMMAND]" => "stat",
            _ => "1",
        });
        let line = core::iter::once(name).chain(words).collect::<Vec<_>>().join(" ");
        assert_eq!(parse(&line).map(|command| command.name), Ok(name));
        assert!(!what.is_empty());
    }
    let mut all = String::new();
    help(None, &mut all);
    assert_eq!(all.lines().count(), COMMANDS.len() + 1);
    assert!(all.lines().all(|line| line.len() < 100), "{all}");
    let mut one = String::new();
    help(Some("stat"), &mut one);
    assert_eq!(one.lines().count(), 3);
    assert_eq!(parse("help stat").map(|help| help.topic), Ok(Some("stat".into())));
    assert!(parse("help what").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 2 } else { 512 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    #[test]
    fn any_line_is_survived(line in "[ a-z0-9.\\-é]{0,64}") {
        if let Err(error) = parse(&line) {
            assert!(!error.is_empty());
        }
    }
}
