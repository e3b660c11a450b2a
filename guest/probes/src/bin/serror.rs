//! The guest `serror`: see `probes::serror`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::serror::run);
