//! The guest `asid`: see `probes::asid`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::asid::run);
