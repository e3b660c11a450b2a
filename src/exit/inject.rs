//! Exceptions that a guest takes to EL1, computed.
