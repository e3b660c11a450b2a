//! The guest `victim`: see `hostile::victim`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(hostile::victim::run);
