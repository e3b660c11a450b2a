//! The machine under us: what its device tree says, and the drivers for it.

pub mod cmdline;
pub mod fdt;
pub mod list;
pub mod machine;
