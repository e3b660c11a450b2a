//! The machine under us: what its device tree says, and the drivers for it.

#[cfg(target_os = "none")]
pub mod boot;
pub mod cmdline;
#[cfg(target_os = "none")]
pub mod console;
pub mod cpu;
pub mod fdt;
#[cfg(target_os = "none")]
pub mod gic;
pub mod machine;
#[cfg(target_os = "none")]
pub mod pl011;
#[cfg(target_os = "none")]
pub mod power;
#[cfg(target_os = "none")]
pub mod psci;
#[cfg(target_os = "none")]
pub mod timer;
