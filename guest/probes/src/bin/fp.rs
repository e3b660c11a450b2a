//! The guest `fp`: see `probes::fp`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::fp::run);
