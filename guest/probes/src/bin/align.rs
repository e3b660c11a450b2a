//! The guest `align`: see `probes::align`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::align::run);
