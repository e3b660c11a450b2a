//! The guest `rewrite`: see `probes::rewrite`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::rewrite::run);
