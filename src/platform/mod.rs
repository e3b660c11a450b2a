//! The machine under us: what its device tree says, and the drivers for it.

pub mod fdt;
pub mod machine;
