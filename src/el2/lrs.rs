//! List registers.
