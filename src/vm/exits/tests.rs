use std::string::ToString;

use super::Exits;
use crate::trace::format::Kind;

#[test]
fn the_trace_has_the_same_kinds() {
    let kinds = Exits::default().kinds().map(|(name, _)| name);
    let [(Kind::None, _), traced @ ..] = Kind::ALL else { panic!("{:?}", Kind::ALL) };
    assert!(traced.iter().map(|(_, name)| *name).eq(kinds), "{kinds:?}");
}

#[test]
fn what_was_counted_is_said() {
    let mut exits = Exits::default();
    assert_eq!(exits.to_string(), "0 exits");
    exits.serrors += 1;
    exits.calls += 2;
    assert_eq!(exits.to_string(), "3 exits: 2 calls, 1 serrors");
}
