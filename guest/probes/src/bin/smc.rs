//! The guest `smc`: see `probes::smc`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::smc::run);
