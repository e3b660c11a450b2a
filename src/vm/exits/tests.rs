use std::string::ToString;

use super::{Exits, Kind};

#[test]
fn what_was_counted_is_said() {
    let mut exits = Exits::default();
    assert_eq!(exits.to_string(), "0 exits");
    exits.count(Kind::SError);
    exits.count(Kind::Call);
    exits.count(Kind::Call);
    assert_eq!(exits.to_string(), "3 exits: 2 calls, 1 SErrors");
}
