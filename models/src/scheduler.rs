//! The life of vCPUs on pCPUs: the real run queue, and around it all that touches it.
//!
//! A *step* is what happens at once: one section under the run queue's lock, one look at a
//! shared word, one interrupt. Between any two steps of one party every other may act. The kick
//! itself counts as one step here, because `presence` has checked what it consists of.

mod steps;
mod tests;
mod world;
