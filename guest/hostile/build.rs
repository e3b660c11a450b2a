//! Links the guest by the runtime library's linker script.

fn main() {
    println!("cargo:rerun-if-changed=../rt/guest.ld");
    if std::env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let root = std::env::var("CARGO_MANIFEST_DIR").expect("cargo sets it");
        println!("cargo:rustc-link-arg-bins=-T{root}/../rt/guest.ld");
    }
}
