//! Device trees, read safely.
