//! The guest `tree`: see `probes::tree`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::tree::run);
