//! The guest `siblings`: see `probes::siblings`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::siblings::run);
