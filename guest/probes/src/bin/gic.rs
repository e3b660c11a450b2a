//! The guest `gic`: see `probes::gic`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::gic::run);
