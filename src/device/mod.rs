//! What a guest sees: pure state machines over register reads and writes.

pub mod pl011;
pub mod psci;
pub mod timer;
pub mod vgic;
