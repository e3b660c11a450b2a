//! Why a guest came back, and what is done about it: decoding of syndromes, and one handler file
//! per kind of exit.

use cfg_if::cfg_if;

pub mod decode;
pub mod esr;
pub mod inject;
pub mod pstate;

cfg_if! {
    // What needs the machine itself.
    if #[cfg(target_os = "none")] {
        mod abort;
        mod call;
        mod fault;
        pub mod guest;
        mod handle;
        pub mod interrupt;
        mod maintenance;
        pub mod run;
        mod sysreg;
        mod wait;
        mod watch;

        pub use handle::handle;
    }
}

/// The kind of vector by which a guest came back (DDI 0487 D1.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Exit {
    /// An instruction of the guest's: ESR_EL2 says which and why.
    Synchronous,
    /// A physical interrupt.
    Irq,
    /// A physical interrupt of Group 0.
    Fiq,
    /// A physical SError.
    SError,
}

impl Exit {
    /// By the number that the vector left: its offset within the group of four.
    #[inline(always)]
    pub const fn from_vector(kind: u64) -> Self {
        match kind & 3 {
            0 => Self::Synchronous,
            1 => Self::Irq,
            2 => Self::Fiq,
            _ => Self::SError,
        }
    }
}
