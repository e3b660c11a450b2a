//! Prepares the bare-metal build: the linker script, and the demo that is built in.
//!
//! The demo goes the same way as any VM description: a device tree blob with the guest's image in
//! it, as `vms/two-benos.dts` compiles to. The host build needs neither.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};
use vm_fdt::FdtWriter;

/// The demo's guest.
const GUEST: &str = "benos";

/// The phandle of the guest's image in the description.
const IMAGE: u32 = 1;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    if variable("CARGO_CFG_TARGET_OS") != "none" {
        return;
    }
    let root = PathBuf::from(variable("CARGO_MANIFEST_DIR"));
    let script = root.join("linker.ld");
    println!("cargo::rerun-if-changed={}", script.display());
    println!("cargo::rustc-link-arg-bins=-T{}", script.display());
    // The erratum of Cortex-A53: other bare targets of rustc ask for it by themselves.
    println!("cargo::rustc-link-arg-bins=--fix-cortex-a53-843419");

    for part in [GUEST, "rt"] {
        println!("cargo::rerun-if-changed={}", root.join("guest").join(part).display());
    }
    let out = PathBuf::from(variable("OUT_DIR"));
    let image = out.join("benos.img");
    build_guest(&root, &out, &image);
    let image = fs::read(&image).unwrap_or_else(|error| panic!("{}: {error}", image.display()));
    let blob = demo(&image).unwrap_or_else(|error| panic!("the demo's description: {error}"));
    let path = out.join("demo.dtb");
    fs::write(&path, blob).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
}

/// Builds the guest for the same target, always optimised, and extracts its Image.
fn build_guest(root: &Path, out: &Path, image: &Path) {
    let target = variable("TARGET");
    let directory = out.join("guest");
    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(root)
        .args(["build", "--quiet", "--release", "--package", GUEST])
        .args(["--target", &target])
        // The outer cargo holds the lock of its own target directory while it waits for us.
        .arg("--target-dir")
        .arg(&directory);
    // What the outer build was told for its own packages (flags, clippy as the compiler, another
    // place for the output) is not for the guest.
    for name in [
        "CARGO_BUILD_TARGET",
        "CARGO_ENCODED_RUSTFLAGS",
        "CARGO_TARGET_DIR",
        "CLIPPY_ARGS",
        "RUSTC_WORKSPACE_WRAPPER",
        "RUSTFLAGS",
    ] {
        cargo.env_remove(name);
    }
    run(&mut cargo);
    let elf = directory.join(&target).join("release").join(GUEST);
    let mut objcopy = Command::new(objcopy());
    run(objcopy.args(["-O", "binary"]).args([&elf, image]));
}

/// The toolchain's own objcopy, from the component `llvm-tools`.
fn objcopy() -> PathBuf {
    let output = Command::new(variable("RUSTC"))
        .args(["--print", "target-libdir"])
        .output()
        .unwrap_or_else(|error| panic!("rustc: {error}"));
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    libraries.with_file_name("bin").join("rust-objcopy")
}

/// Two VMs of two vCPUs and 16 MiB each, from one image.
fn demo(image: &[u8]) -> Result<Vec<u8>, vm_fdt::Error> {
    let mut tree = FdtWriter::new()?;
    let root = tree.begin_node("")?;
    tree.property_string("compatible", "mezzanine,vms")?;
    let images = tree.begin_node("images")?;
    let node = tree.begin_node(GUEST)?;
    tree.property("data", image)?;
    tree.property_phandle(IMAGE)?;
    tree.end_node(node)?;
    tree.end_node(images)?;
    for name in ["alpha", "beta"] {
        let vm = tree.begin_node(name)?;
        tree.property_string("compatible", "mezzanine,vm")?;
        tree.property_u32("cpus", 2)?;
        tree.property_u32("memory-mib", 16)?;
        tree.property_u32("kernel", IMAGE)?;
        tree.end_node(vm)?;
    }
    tree.end_node(root)?;
    tree.finish()
}

fn run(command: &mut Command) {
    let status = command.status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "{command:?}: {status:?}");
}

fn variable(name: &str) -> String {
    env::var(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}
