//! The guest `pl011`: see `probes::pl011`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::pl011::run);
