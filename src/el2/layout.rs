//! EL2's own virtual address space, drawn in one place.
//!
//! ```text
//! 0x0000_ff80_0000_0000  IMAGE      text, rodata, data, bss          1 GiB slot
//! 0x0000_ff80_4000_0000  STACKS     one 128 KiB slot a pCPU, guarded
//! 0x0000_ff80_8000_0000  WINDOWS    one 2 MiB window a pCPU onto guest memory
//! 0x0000_ff80_c000_0000  DEVICES    MMIO of the machine
//! 0x0000_ff81_0000_0000  HEAP       EL2's own memory
//! 0x0000_ff82_0000_0000  TREE       the machine's device tree, read-only
//! 0x0000_ff83_0000_0000  BLOB       the VM description (the initrd), read-only, up to 64 GiB
//! ```
//!
//! Everything else faults. Guest memory isn't here: it is seen through a window, for the length
//! of one slice of work.

use crate::memory::{GIB, Va};

/// Where the image is linked: linker.ld states the same number.
pub const IMAGE: Va = Va::new(0xff80_0000_0000);
/// Stacks.
pub const STACKS: Va = IMAGE.wrapping_add(GIB);
/// Windows onto guest memory.
pub const WINDOWS: Va = IMAGE.wrapping_add(2 * GIB);
/// Device registers.
pub const DEVICES: Va = IMAGE.wrapping_add(3 * GIB);
/// EL2's own memory.
pub const HEAP: Va = IMAGE.wrapping_add(4 * GIB);
/// The machine's device tree.
pub const TREE: Va = IMAGE.wrapping_add(8 * GIB);
/// Its header once more, from which its size is learnt.
pub const TREE_HEADER: Va = IMAGE.wrapping_add(11 * GIB);
/// The VM description.
pub const BLOB: Va = IMAGE.wrapping_add(12 * GIB);

/// The most pCPUs that one image drives.
pub const MAX_PCPUS: usize = 8;

/// Bytes of a pCPU's stack, a power of two, and log2 of it.
///
/// A stack of 2^k bytes is the *upper* half of a slot of 2^(k+1) bytes, so bit k of a good stack
/// pointer that has something pushed is 1, and 0 as soon as it runs into the guard below: one
/// `tbz` tells (vectors.rs).
///
/// Without optimisation the parser of gdb's packets alone, a crate's, has a frame of 36 KiB.
pub const STACK_SHIFT: u32 = if cfg!(debug_assertions) { 16 } else { 15 };
/// Bytes of a pCPU's stack.
pub const STACK_SIZE: u64 = 1 << STACK_SHIFT;
/// Bytes of a pCPU's emergency stack.
pub const EMERGENCY_SIZE: u64 = 16 << 10;
/// Distance between two pCPUs' stacks: guard, stack, guard, emergency stack.
pub const STACK_SLOT: u64 = 4 << STACK_SHIFT;
