//! What a guest sees: pure state machines over register reads and writes.

pub mod vgic;
