//! The machine under us: what its device tree says, and the drivers for it.

use cfg_if::cfg_if;

pub mod cmdline;
pub mod cpu;
pub mod fdt;
pub mod machine;

cfg_if! {
    // What needs the machine itself.
    if #[cfg(target_os = "none")] {
        pub mod boot;
        pub mod console;
        pub mod gic;
        pub mod pl011;
        pub mod power;
        pub mod psci;
        pub mod timer;
        pub mod virtio;
    }
}
