//! The CPU at EL2: the first instructions, the vectors, the world switch, EL2's own translation,
//! the per-CPU block, and what traps. The only room with assembly in it.

pub mod at;
pub mod cache;
pub mod debug;
pub mod errata;
pub mod fatal;
pub mod features;
pub mod head;
pub mod layout;
pub mod lock;
pub mod lrs;
pub mod mmu;
pub mod percpu;
pub mod regs;
pub mod smp;
pub mod state;
pub mod traps;
pub mod vectors;
