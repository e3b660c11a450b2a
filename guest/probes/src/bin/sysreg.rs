//! The guest `sysreg`: see `probes::sysreg`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::sysreg::run);
