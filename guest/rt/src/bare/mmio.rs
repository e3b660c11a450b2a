//! Device registers.
//!
//! Each access is one instruction with a plain base register. A volatile read in Rust may be
//! compiled to one with writeback (`ldr w0, [x1], #4`), and for such an instruction the CPU gives
//! a hypervisor no syndrome (ESR_EL2.ISV = 0, Arm DDI 0487 D17.2.37): it would have to read and
//! decode the instruction.

use core::arch::asm;

macro_rules! accessors {
    ($($read:ident $write:ident $type:ty, $load:literal, $store:literal;)*) => { $(
        #[doc = concat!("Reads a device register with `", $load, "`.")]
        ///
        /// An address where there is no device raises a data abort.
        #[inline(always)]
        pub fn $read(address: usize) -> $type {
            let value: u64;
            // SAFETY: guests pass addresses of device registers; a load from elsewhere changes
            // nothing but may fault, which the vectors report.
            unsafe { asm!(concat!($load, " [{}]"), in(reg) address, lateout("x9") value, options(nostack)) };
            value as $type
        }

        #[doc = concat!("Writes a device register with `", $store, "`.")]
        #[inline(always)]
        pub fn $write(address: usize, value: $type) {
            // SAFETY: guests pass addresses of device registers, in pages that hold no Rust object.
            unsafe { asm!(concat!($store, " [{}]"), in(reg) address, in("x9") value as u64, options(nostack)) }
        }
    )* };
}

accessors! {
    read8 write8 u8, "ldrb w9,", "strb w9,";
    read16 write16 u16, "ldrh w9,", "strh w9,";
    read32 write32 u32, "ldr w9,", "str w9,";
    read64 write64 u64, "ldr x9,", "str x9,";
}
