//! The program: everything is in the library beside it, from [`benos::boot::run`] on.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(benos::boot::run);
