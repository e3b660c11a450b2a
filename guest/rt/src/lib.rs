//! What every guest program needs and none should have to write again: start code, console,
//! exception vectors, MMU, GICv3, timer, PSCI, other CPUs.
//!
//! A guest is a plain AArch64 program for QEMU's `virt` board. It does not know whether it runs on
//! that board or in a virtual machine: there is no code for "under a hypervisor" in here.
//!
//! Guests are built for the bare target, but `cargo check`, `test` and `clippy` on the host must
//! not stumble over them. So everything that needs the CPU is behind `target_os = "none"`, and
//! [`guest!`] gives a program a `main` of its own on the host.
//!
//! | module | what it does |
//! |---|---|
//! | `head` | Image header, first instructions, EL2 → EL1, stacks, secondary CPUs' entry |
//! | `arch` | `mrs!`, `msr!`, barriers |
//! | `uart`, [`print!`] | PL011 |
//! | `vectors` | vector table, exception frame, `expect_fault` |
//! | `mmu` | identity map with caches |
//! | `gic`, `timer`, `psci`, `smp` | GICv3, generic timer, power control, other CPUs |
//! | `el0` | run a function at EL0 until it leaves by an exception |
//! | [`fdt`], `boot` | the device tree in x0, boot arguments |
#![cfg_attr(target_os = "none", no_std)]

pub mod fdt;

#[cfg(target_os = "none")]
mod bare {
    pub mod arch;
    pub mod boot;
    pub mod el0;
    pub mod gic;
    pub mod head;
    pub mod mmio;
    pub mod mmu;
    pub mod psci;
    pub mod smp;
    pub mod timer;
    pub mod uart;
    pub mod vectors;
}
#[cfg(target_os = "none")]
pub use bare::*;

/// Makes the function at a path the guest's entry: `guest!(my_crate::run)`.
///
/// It is called on CPU 0 at EL1, on a stack, with `.bss` cleared, interrupts masked and the MMU
/// off. When it returns the machine is switched off. On the host the program only says what it is.
#[macro_export]
macro_rules! guest {
    ($entry:path) => {
        #[cfg(target_os = "none")]
        #[unsafe(no_mangle)]
        extern "Rust" fn guest_main() {
            $entry()
        }

        #[cfg(not(target_os = "none"))]
        fn main() {
            println!(
                "{} is a bare-metal guest: build it with --target aarch64-unknown-none-softfloat",
                env!("CARGO_BIN_NAME")
            );
        }
    };
}
