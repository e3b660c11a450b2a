//! The guest `chaos`: see `hostile::streams`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(hostile::streams::run);
