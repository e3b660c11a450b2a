//! The guest `fiq`: see `probes::fiq`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::fiq::run);
