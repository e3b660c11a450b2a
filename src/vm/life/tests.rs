use std::format;
use std::string::{String, ToString};
use std::vec::Vec;

use super::{InvalidTransition, Life, Why};

#[test]
fn a_life_from_made_to_off() {
    let mut life = Life::Made;
    assert_eq!(life.start(), Ok(()));
    assert_eq!(life.ready(), Ok(()));
    assert_eq!(life.stop(Why::PowerOff), Ok(()));
    assert_eq!(life.stopped(), Ok(false));
    assert!(life.start().is_err(), "its memory isn't the machine's yet");
    assert_eq!(life.released(), Ok(Why::PowerOff));
    assert_eq!(life, Life::Off(Why::PowerOff));
    assert_eq!(life.start(), Ok(()), "an operator may start it again");
}

#[test]
fn a_reset_prepares_again() {
    let mut life = Life::Running;
    assert_eq!(life.stop(Why::Reset), Ok(()));
    assert_eq!(life.stopped(), Ok(true));
    assert_eq!(life, Life::Preparing);
}

#[test]
fn the_first_reason_to_stop_holds() {
    let mut life = Life::Running;
    assert_eq!(life.stop(Why::Fault), Ok(()));
    let refused = life.stop(Why::Reset).map_err(|refused| refused.to_string());
    let line =
        "a VM that is Stopping(Fault) can't stop: only one that is Running, Pausing or Paused";
    assert_eq!(refused, Err(line.to_string()));
    assert_eq!(life, Life::Stopping(Why::Fault));
}

#[test]
fn a_pause_stops_time_from_the_last_vcpu_on() {
    let mut life = Life::Running;
    assert_eq!(life.pause(), Ok(()));
    assert_eq!(life, Life::Pausing);
    assert_eq!(life.resume(900), Ok(0), "a vCPU still ran, and its time with it");
    assert_eq!(life, Life::Running);
    assert_eq!(life.pause(), Ok(()));
    assert_eq!(life.paused(1000), Ok(()));
    assert_eq!(life, Life::Paused(1000));
    assert_eq!(life.resume(1234), Ok(234));
    assert_eq!(life, Life::Running);
}

#[test]
fn what_is_paused_can_be_stopped() {
    for paused in [Life::Pausing, Life::Paused(1)] {
        let mut life = paused;
        assert_eq!(life.stop(Why::Reset), Ok(()));
        assert_eq!(life, Life::Stopping(Why::Reset));
        assert!(life.resume(2).is_err(), "it comes back by itself");
    }
}

/// All steps from all states: those that aren't the life cycle's are refused by name, and nothing
/// changes.
#[test]
fn what_is_not_allowed_changes_nothing() {
    type Step = fn(&mut Life) -> Result<(), InvalidTransition>;
    let steps: [(&str, Step); 9] = [
        ("start", Life::start),
        ("run", Life::ready),
        ("stop", |life| life.stop(Why::PowerOff)),
        ("fail", Life::fail),
        ("have stopped", |life| life.stopped().map(drop)),
        ("be off", |life| life.released().map(drop)),
        ("pause", Life::pause),
        ("stand still", |life| life.paused(7)),
        ("resume", |life| life.resume(7).map(drop)),
    ];
    let states: [(Life, &[&str]); 8] = [
        (Life::Made, &["start"]),
        (Life::Preparing, &["run", "fail"]),
        (Life::Running, &["stop", "pause"]),
        (Life::Pausing, &["stop", "stand still", "resume"]),
        (Life::Paused(3), &["stop", "resume"]),
        (Life::Stopping(Why::Fault), &["have stopped"]),
        (Life::Releasing(Why::Fault), &["be off"]),
        (Life::Off(Why::Fault), &["start"]),
    ];
    for (from, allowed) in states {
        for (operation, step) in steps {
            let mut life = from;
            let done = step(&mut life);
            if allowed.contains(&operation) {
                assert_eq!(done, Ok(()), "{operation} from {from:?}");
            } else {
                // It names the states in which it is allowed, all of them.
                let states = states.iter().filter(|(_, allowed)| allowed.contains(&operation));
                let names = states.map(|(state, _)| format!("{state:?}"));
                let names: Vec<String> =
                    names.map(|name| name.split('(').next().unwrap().into()).collect();
                let only = match names.as_slice() {
                    [first @ .., last] if !first.is_empty() => {
                        format!("{} or {last}", first.join(", "))
                    }
                    names => names.concat(),
                };
                let refused: InvalidTransition = done.unwrap_err();
                assert_eq!(
                    (refused.from, refused.operation, refused.only),
                    (from, operation, &*only)
                );
                assert_eq!(life, from);
            }
        }
    }
}
