//! The CPU at EL2.
