//! The guest `illegal`: see `probes::illegal`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::illegal::run);
