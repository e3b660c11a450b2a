//! The guest `iabort`: see `probes::iabort`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::iabort::run);
