//! The guest `scan`: see `probes::scan`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::scan::run);
