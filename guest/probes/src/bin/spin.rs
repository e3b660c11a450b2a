//! The guest `spin`: see `probes::spin`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::spin::run);
