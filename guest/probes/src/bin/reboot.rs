//! The guest `reboot`: see `probes::reboot`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::reboot::run);
