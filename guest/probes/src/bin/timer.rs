//! The guest `timer`: see `probes::timer`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::timer::run);
