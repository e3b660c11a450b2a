//! The guest `fault`: see `probes::fault`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::fault::run);
