//! The guest `pong`: see `probes::pong`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::pong::run);
