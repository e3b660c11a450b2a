//! The guest `hvc`: see `probes::hvc`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::hvc::run);
