//! The guest `moved`: see `probes::moved`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::moved::run);
