#![cfg_attr(fuzzing, no_main)]
fuzz::face!(walk);
