//! Tests of the scheduler's room.

mod presence;
mod random;
mod rest;
mod shares;
mod tournament;
mod transitions;
