//! Guests that others wrote, from Debian's packages: Linux, busybox, U-Boot, Debian's installer.
//!
//! A VM description names their files as `../target/guests/PLACE/…`; what it names and is not
//! there is fetched before it is compiled. apt-get does it, with a state of its own below `target/`
//! and for arm64: it checks every package against Debian's signatures, and nothing of the system's
//! own packages or architectures is touched.

use crate::{
    Error, Result,
    build::{self, check},
    initramfs, root,
};
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// What there is to fetch: where it goes below `target/guests`, and what it consists of.
const GUESTS: [Guest; 5] = [
    Guest {
        place: "debian",
        packages: &["linux-image-cloud-arm64", "busybox-static"],
        files: &[("boot/vmlinuz-*", "Image"), ("bin/busybox", "busybox")],
    },
    Guest {
        place: "debian-generic",
        packages: &["linux-image-arm64"],
        files: &[("boot/vmlinuz-*", "Image")],
    },
    Guest {
        place: "debian-rt",
        packages: &["linux-image-rt-arm64"],
        files: &[("boot/vmlinuz-*", "Image")],
    },
    Guest {
        place: "u-boot",
        packages: &["u-boot-qemu"],
        files: &[("usr/lib/u-boot/qemu_arm64/u-boot.bin", "u-boot.bin")],
    },
    Guest {
        place: "installer",
        packages: &["debian-installer-12-netboot-arm64"],
        files: &[
            ("usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/linux", "Image"),
            (
                "usr/lib/debian-installer/images/12/arm64/text/debian-installer/arm64/initrd.gz",
                "initrd.gz",
            ),
        ],
    },
];

/// The name that a description gives to the file system of the Linux guests.
const INITRAMFS: &str = "linux.cpio";

struct Guest {
    place: &'static str,
    packages: &'static [&'static str],
    /// Path in a package, whose last part may end in `*`, and the name that it gets.
    files: &'static [(&'static str, &'static str)],
}

impl Guest {
    fn directory(&self) -> PathBuf {
        directory().join(self.place)
    }

    fn is_here(&self) -> bool {
        self.files.iter().all(|(_, name)| self.directory().join(name).is_file())
    }

    /// Fetches and unpacks its packages. Its directory appears when all is in it.
    fn fetch(&self) -> Result<()> {
        println!("fetching {} from Debian's packages", self.packages.join(", "));
        let work = directory().join(format!("{}.new", self.place));
        let _ = fs::remove_dir_all(&work);
        let (debs, tree, ready) = (work.join("debs"), work.join("tree"), work.join("ready"));
        for directory in [&debs, &tree, &ready] {
            fs::create_dir_all(directory).map_err(Error::file(directory))?;
        }
        let apt = Apt::new()?;
        let names: Vec<String> =
            self.packages.iter().map(|name| apt.resolve(name)).collect::<Result<_>>()?;
        let mut download = apt.command("apt-get");
        download.args(["-qq", "download"]).args(names).current_dir(&debs);
        check("apt-get download", &mut download)?;
        for deb in list(&debs)? {
            let mut unpack = Command::new("dpkg-deb");
            check("dpkg-deb", unpack.arg("-x").args([&deb, &tree]))?;
        }
        for (path, name) in self.files {
            let (from, to) = (find(&tree, path)?, ready.join(name));
            fs::copy(&from, &to).map_err(Error::file(&from))?;
        }
        let place = self.directory();
        let _ = fs::remove_dir_all(&place);
        fs::rename(&ready, &place).map_err(Error::file(&place))?;
        fs::remove_dir_all(&work).map_err(Error::file(&work))
    }
}

fn directory() -> PathBuf {
    root().join("target/guests")
}

/// Brings what the description in `source` names and is not here yet.
pub fn needed(source: &Path) -> Result<()> {
    let text = fs::read_to_string(source).map_err(Error::file(source))?;
    let names = |what: &str| text.contains(&format!("target/guests/{what}"));
    let linux = names(INITRAMFS);
    for guest in &GUESTS {
        let wanted = names(&format!("{}/", guest.place)) || linux && guest.place == "debian";
        if wanted && !guest.is_here() {
            guest.fetch()?;
        }
    }
    if linux {
        let busybox = directory().join("debian/busybox");
        let bytes = initramfs::pack(&busybox, &build::linux_program()?)?;
        let file = directory().join(INITRAMFS);
        let fresh = build::unfinished(&file);
        fs::write(&fresh, bytes).map_err(Error::file(&fresh))?;
        fs::rename(&fresh, &file).map_err(Error::file(&file))?;
    }
    Ok(())
}

/// apt-get and apt-cache as of an arm64 Debian that has nothing installed.
struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// Makes the state and takes Debian's package lists, unless they are there.
    fn new() -> Result<Self> {
        let state = root().join("target/apt");
        let made = state.join("made");
        let apt = Self { options: Self::options(&state)? };
        if !made.is_file() {
            check("apt-get update", apt.command("apt-get").args(["-qq", "update"]))?;
            fs::write(&made, "").map_err(Error::file(&made))?;
        }
        Ok(apt)
    }

    fn options(state: &Path) -> Result<Vec<String>> {
        for name in ["state/lists/partial", "cache/archives/partial", "sources"] {
            let directory = state.join(name);
            fs::create_dir_all(&directory).map_err(Error::file(&directory))?;
        }
        // No package is installed there.
        let status = state.join("status");
        fs::write(&status, "").map_err(Error::file(&status))?;
        // Debian's own sources as this system has them, and nobody else's.
        let system = Path::new("/etc/apt");
        for name in ["sources.list", "sources.list.d/debian.sources", "sources.list.d/debian.list"]
        {
            let source = system.join(name);
            if let (true, Some(name)) = (source.is_file(), source.file_name()) {
                let name = name.to_string_lossy().replace("sources.list", "system.list");
                let copy = state.join("sources").join(name);
                fs::copy(&source, &copy).map_err(Error::file(&source))?;
            }
        }
        let state = state.display();
        Ok([
            "APT::Architecture=arm64".into(),
            "APT::Architectures::=arm64".into(),
            "APT::Sandbox::User=root".into(),
            "Acquire::Languages=none".into(),
            "Dir::Etc::SourceList=/dev/null".into(),
            format!("Dir::Etc::SourceParts={state}/sources"),
            format!("Dir::State={state}/state"),
            format!("Dir::State::lists={state}/state/lists"),
            format!("Dir::State::status={state}/status"),
            format!("Dir::Cache={state}/cache"),
        ]
        .into())
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.args(self.options.iter().flat_map(|option| ["-o", option]));
        command
    }

    /// The package that has the files: one that is there only to name the newest kernel depends
    /// on it.
    fn resolve(&self, package: &str) -> Result<String> {
        if !package.starts_with("linux-image-") {
            return Ok(package.into());
        }
        let output = self.command("apt-cache").args(["depends", package]).output();
        let output = output.map_err(|_| Error::Missing {
            program: "apt-cache".into(),
            remedy: "fetching guests needs Debian's apt; docs/guests.md says where to put files \
                     that come from elsewhere",
        })?;
        let text = String::from_utf8_lossy(&output.stdout);
        let found = text.lines().find_map(|line| line.trim().strip_prefix("Depends: "));
        found.map(|name| name.trim().into()).ok_or_else(|| Error::Failed {
            what: format!("apt-cache depends {package}"),
            how: "names no package".into(),
        })
    }
}

fn list(directory: &Path) -> Result<Vec<PathBuf>> {
    let entries = fs::read_dir(directory).map_err(Error::file(directory))?;
    Ok(entries.flatten().map(|entry| entry.path()).collect())
}

/// The file of `path` below `tree`; a `*` at its end stands for the rest of the name.
fn find(tree: &Path, path: &str) -> Result<PathBuf> {
    let path = tree.join(path);
    let missing = || Error::File { path: path.clone(), why: "not in the package".into() };
    let name = path.file_name().and_then(|name| name.to_str()).ok_or_else(missing)?;
    let Some(start) = name.strip_suffix('*') else {
        return if path.is_file() { Ok(path) } else { Err(missing()) };
    };
    let beside = list(path.parent().ok_or_else(missing)?)?;
    let fits = |file: &PathBuf| {
        file.file_name().is_some_and(|name| name.to_string_lossy().starts_with(start))
    };
    beside.into_iter().find(fits).ok_or_else(missing)
}
