//! The guest `count`: see `probes::count`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::count::run);
