//! The file system of the Linux guests: busybox, our scripts, and a program that strains a kernel.

use crate::{Error, Result, root};
use cpio::newc::{Builder, ModeFileType};
use std::{fs, io::Cursor, path::Path};

/// Directories, parents first.
const DIRECTORIES: [&str; 8] = ["bin", "dev", "etc", "proc", "root", "sys", "tmp", "var"];

/// Packs the archive that the kernel unpacks as its root. It needs no compression: it is read from
/// the VM's memory.
pub fn pack(busybox: &Path, stress: &Path) -> Result<Vec<u8>> {
    let scripts = root().join("guest/linux");
    let mut entries = Vec::new();
    let mut entry = |name: &str, kind, mode, bytes: Vec<u8>| {
        // Each file a number of its own, or the kernel takes them for one.
        let number = entries.len() as u32 + 1;
        let builder = Builder::new(name).ino(number).nlink(1).mode(mode).set_mode_file_type(kind);
        entries.push((builder, Cursor::new(bytes)));
    };
    for directory in DIRECTORIES {
        entry(directory, ModeFileType::Directory, 0o755, Vec::new());
    }
    entry("bin/sh", ModeFileType::Symlink, 0o777, b"busybox".to_vec());
    let programs = [
        ("init", scripts.join("init")),
        ("etc/batch", scripts.join("batch")),
        ("etc/stress", scripts.join("stress")),
        ("bin/busybox", busybox.into()),
        ("bin/strain", stress.into()),
    ];
    for (name, file) in programs {
        let bytes = fs::read(&file).map_err(Error::file(&file))?;
        entry(name, ModeFileType::Regular, 0o755, bytes);
    }
    let archive = cpio::write_cpio(entries.into_iter(), Vec::new());
    archive.map_err(Error::file("target/guests/linux.cpio"))
}
