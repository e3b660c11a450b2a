//! Why a guest came back: decoding of syndromes, and one handler file per kind of exit.

pub mod esr;
pub mod inject;
pub mod pstate;
