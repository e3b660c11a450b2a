//! The timeline: a ring of records a pCPU, of what crosses EL2.

pub mod format;
