//! The guest `smp`: see `probes::smp`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::smp::run);
