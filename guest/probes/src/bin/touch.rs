//! The guest `touch`: see `probes::touch`.
#![cfg_attr(target_os = "none", no_std, no_main)]

guest_rt::guest!(probes::touch::run);
