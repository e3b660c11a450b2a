//! Mezzanine's front door.
fn main() {}
