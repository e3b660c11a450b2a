//! Stage-2 translation tables.
