//! The guest `uneoi`: see `probes::uneoi`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::uneoi::run);
