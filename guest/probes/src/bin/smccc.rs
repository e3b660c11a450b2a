//! The guest `smccc`: see `probes::smccc`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::smccc::run);
