//! The guest `idle`: see `probes::idle`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::idle::run);
