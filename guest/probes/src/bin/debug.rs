//! The guest `debug`: see `probes::debug`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::debug::run);
