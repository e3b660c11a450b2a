//! The guest `gicscan`: see `probes::gicscan`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::gicscan::run);
