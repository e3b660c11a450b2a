//! The guest `turns`: see `probes::turns`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::turns::run);
