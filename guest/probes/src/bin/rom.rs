//! The guest `rom`: see `probes::rom`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::rom::run);
