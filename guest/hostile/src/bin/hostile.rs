//! The guest `hostile`: see `hostile::life`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(hostile::life::run);
