//! Links the program as one for Linux: no script, only where it starts.

fn main() {
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        println!("cargo:rustc-link-arg-bins=--entry=_start");
        println!("cargo:rustc-link-arg-bins=-zseparate-loadable-segments");
    }
}
