//! The guest `bench`: see `probes::bench`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::bench::run);
