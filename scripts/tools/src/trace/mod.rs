//! `make trace`: the hypervisor's timeline, taken from a run or from a console's log, as files to
//! look at.

pub mod fields;
pub mod file;
pub mod log;
pub mod model;
pub mod pftrace;
pub mod sample;
pub mod stats;
pub mod words;

#[cfg(test)]
mod tests;
