use super::{InvalidTransition, Life, Why};

#[test]
fn a_life_from_made_to_off() {
    let mut life = Life::Made;
    assert_eq!(life.start(), Ok(()));
    assert_eq!(life.ready(), Ok(()));
    assert_eq!(life.stop(Why::PowerOff), Ok(()));
    assert_eq!(life.stopped(), Ok(false));
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
    let refused = InvalidTransition { from: Life::Stopping(Why::Fault), operation: "stop" };
    assert_eq!(life.stop(Why::Reset), Err(refused));
    assert_eq!(life, Life::Stopping(Why::Fault));
}

#[test]
fn what_is_not_allowed_changes_nothing() {
    for from in [Life::Made, Life::Preparing, Life::Off(Why::Fault)] {
        let mut life = from;
        assert!(life.stop(Why::PowerOff).is_err());
        assert!(life.stopped().is_err());
        assert_eq!(life, from);
    }
    let mut life = Life::Running;
    assert!(life.start().is_err() && life.ready().is_err());
    assert_eq!(life, Life::Running);
}
