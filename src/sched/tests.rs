//! Tests of the scheduler's room.

mod presence;
mod random;
mod shares;
mod tournament;
mod transitions;
