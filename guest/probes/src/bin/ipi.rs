//! The guest `ipi`: see `probes::ipi`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::ipi::run);
