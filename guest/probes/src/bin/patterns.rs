//! The guest `patterns`: see `probes::patterns`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::patterns::run);
