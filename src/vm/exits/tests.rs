use std::string::ToString;

use super::Exits;

#[test]
fn what_was_counted_is_said() {
    let mut exits = Exits::default();
    assert_eq!(exits.to_string(), "0 exits");
    exits.serrors += 1;
    exits.calls += 2;
    assert_eq!(exits.to_string(), "3 exits: 2 calls, 1 serrors");
}
