//! The guest `dabort`: see `probes::dabort`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::dabort::run);
