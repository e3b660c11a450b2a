//! The guest `paused`: see `probes::paused`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::paused::run);
