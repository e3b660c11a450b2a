//! Address newtypes: a physical address, a guest's physical address and an EL2 virtual address
//! are all 64-bit numbers, and mixing them up is the classic bug of a hypervisor.

use core::fmt;

/// Size of a page and of a translation table, in bytes (4 KiB granule).
pub const PAGE_SIZE: u64 = 4096;
/// Size of a level-2 block, in bytes: the unit in which VM memory is owned.
pub const BLOCK_SIZE: u64 = 2 << 20;
/// Size of a level-1 block, in bytes.
pub const GIB: u64 = 1 << 30;

macro_rules! address {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(u64);

        impl $name {
            /// Wraps the raw address.
            pub const fn new(address: u64) -> Self {
                Self(address)
            }

            /// The raw address.
            pub const fn get(self) -> u64 {
                self.0
            }

            /// The address `bytes` further, modulo 2^64.
            pub const fn wrapping_add(self, bytes: u64) -> Self {
                Self(self.0.wrapping_add(bytes))
            }

            /// Whether the address is a multiple of `align`, a power of two.
            pub const fn is_aligned(self, align: u64) -> bool {
                self.0 & align.wrapping_sub(1) == 0
            }

            /// The address rounded down to a multiple of `align`, a power of two.
            pub const fn align_down(self, align: u64) -> Self {
                Self(self.0 & !align.wrapping_sub(1))
            }

            /// The offset of the address within its `align`-sized unit, a power of two.
            pub const fn offset_in(self, align: u64) -> u64 {
                self.0 & align.wrapping_sub(1)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({:#x})"), self.0)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{:#x}", self.0)
            }
        }
    };
}

address! {
    /// A physical address: what the machine's bus sees.
    Pa
}
address! {
    /// An intermediate physical address: what a guest believes to be physical.
    Ipa
}
address! {
    /// A virtual address of EL2's own stage-1 translation.
    Va
}

/// `value` rounded up to a multiple of `align` (a power of two), or `None` past 2^64.
pub const fn align_up(value: u64, align: u64) -> Option<u64> {
    value.checked_next_multiple_of(align)
}
