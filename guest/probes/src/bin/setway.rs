//! The guest `setway`: see `probes::setway`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::setway::run);
