//! The guest `isv0`: see `probes::isv0`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::isv0::run);
