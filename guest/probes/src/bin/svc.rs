//! The guest `svc`: see `probes::svc`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::svc::run);
