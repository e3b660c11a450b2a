//! The guest `wfi`: see `probes::wfi`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::wfi::run);
