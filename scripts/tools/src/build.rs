//! Builds the hypervisor, the guests and the VM descriptions, each to its place below `target/`.

use crate::{BARE, Error, Result, fetch, root, var};
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
};

/// How the hypervisor is compiled. Guests are always optimised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Profile {
    /// Cargo's `release`: what ships.
    Release,
    /// Cargo's `dev`: assertions and overflow checks on, nothing inlined.
    Debug,
}

impl Profile {
    /// The profile that `PROFILE` asks for; `release` unless it says `dev`.
    pub fn from_env() -> Result<Self> {
        match var("PROFILE").as_deref() {
            None | Some("release") => Ok(Profile::Release),
            Some("dev" | "debug") => Ok(Profile::Debug),
            Some(other) => Err(Error::Usage(format!("PROFILE={other}: `release` or `dev` wanted"))),
        }
    }

    /// The directory below `target/<triple>` that cargo uses for it.
    pub fn directory(self) -> &'static str {
        match self {
            Profile::Release => "release",
            Profile::Debug => "debug",
        }
    }

    fn cargo_name(self) -> &'static str {
        match self {
            Profile::Release => "release",
            Profile::Debug => "dev",
        }
    }
}

/// An ELF with its symbols, and the flat binary that a boot loader takes.
#[derive(Clone, Debug)]
pub struct Built {
    /// The linked file.
    pub elf: PathBuf,
    /// Its loadable bytes alone: an arm64 `Image`.
    pub image: PathBuf,
}

/// The cargo that started us, with the output where the Makefile's users look for it.
pub fn cargo() -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).env("CARGO_TARGET_DIR", root().join("target"));
    cargo
}

/// Runs a command to its end; anything but success is an error that names `what`.
pub fn check(what: &str, command: &mut Command) -> Result<()> {
    let status = command
        .status()
        .map_err(|error| Error::Failed { what: what.into(), how: error.to_string() })?;
    if status.success() {
        Ok(())
    } else {
        Err(Error::Failed { what: what.into(), how: status.to_string() })
    }
}

/// Builds the hypervisor: ELF and Image in cargo's own directory of the profile.
pub fn hypervisor(profile: Profile) -> Result<Built> {
    check(
        "building the hypervisor",
        cargo()
            .args(["build", "--quiet", "--package", "mezzanine"])
            .args(["--bin", "mezzanine", "--target", BARE])
            .args(["--profile", profile.cargo_name()]),
    )?;
    let elf = root().join("target").join(BARE).join(profile.directory()).join("mezzanine");
    let image = elf.with_extension("img");
    objcopy(&elf, &image)?;
    Ok(Built { elf, image })
}

/// What `make build` promises: `target/mezzanine.img` and `target/mezzanine.elf`.
pub fn publish(built: &Built) -> Result<Built> {
    let public = Built {
        elf: root().join("target/mezzanine.elf"),
        image: root().join("target/mezzanine.img"),
    };
    for (from, to) in [(&built.elf, &public.elf), (&built.image, &public.image)] {
        fs::copy(from, to).map_err(Error::file(to))?;
    }
    Ok(public)
}

/// Builds every guest; leaves `target/guests/<name>.elf` and `<name>.img`. Returns their names.
pub fn guests() -> Result<Vec<String>> {
    let mut cargo = cargo();
    cargo.args(["build", "--release", "--target", BARE, "--bins"]);
    for package in ["benos", "hostile", "probes"] {
        if root().join("guest").join(package).is_dir() {
            cargo.args(["--package", package]);
        }
    }
    // Cargo itself says which programs it made, so that no list of them is kept here.
    let output = cargo
        .args(["--quiet", "--message-format", "json-render-diagnostics"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| Error::Failed {
            what: "building the guests".into(),
            how: error.to_string(),
        })?;
    if !output.status.success() {
        return Err(Error::Failed {
            what: "building the guests".into(),
            how: output.status.to_string(),
        });
    }
    let directory = root().join("target/guests");
    fs::create_dir_all(&directory).map_err(Error::file(&directory))?;
    let mut names = Vec::new();
    for elf in executables(&output.stdout) {
        let Some(name) = elf.file_name().and_then(OsStr::to_str) else {
            continue;
        };
        let published = directory.join(format!("{name}.elf"));
        made_of(&elf, &published, |fresh| {
            fs::copy(&elf, fresh).map(drop).map_err(Error::file(&published))
        })?;
        objcopy(&elf, &directory.join(format!("{name}.img")))?;
        names.push(name.to_owned());
    }
    names.sort();
    Ok(names)
}

/// Builds the Linux guests' program (guest/linux): an ELF for Linux, not for the bare machine, made
/// by the bare machine's target because that is here.
pub fn linux_program() -> Result<PathBuf> {
    check(
        "building the Linux guests' program",
        cargo().args(["build", "--quiet", "--release", "--target", BARE, "--package", "strain"]),
    )?;
    Ok(root().join("target").join(BARE).join("release/strain"))
}

/// Builds the plugin for QEMU that counts instructions, for this machine.
pub fn counter() -> Result<PathBuf> {
    check(
        "building the plugin for QEMU",
        cargo().args(["build", "--quiet", "--release", "--package", "counter"]),
    )?;
    Ok(root().join("target/release/libcounter.so"))
}

/// The programs that cargo's JSON messages say were made, or were there already.
fn executables(messages: &[u8]) -> Vec<PathBuf> {
    String::from_utf8_lossy(messages)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter_map(|message| message["executable"].as_str().map(PathBuf::from))
        .collect()
}

/// Compiles a VM description to `target/vms/<name>.dtb`, after fetching the guests that it names;
/// a `.dtb` is taken as it is.
pub fn description(source: &Path) -> Result<PathBuf> {
    let missing = |why: &str| Error::File { path: source.into(), why: why.into() };
    if !source.is_file() {
        return Err(missing("no such VM description"));
    }
    if source.extension().is_some_and(|ext| ext == "dtb") {
        return Ok(source.into());
    }
    fetch::needed(source)?;
    let name = source.file_stem().ok_or_else(|| missing("a file name was wanted"))?;
    let directory = root().join("target/vms");
    fs::create_dir_all(&directory).map_err(Error::file(&directory))?;
    let blob = directory.join(name).with_extension("dtb");
    let fresh = unfinished(&blob);
    let mut dtc = Command::new("dtc");
    dtc.args(["-q", "-I", "dts", "-O", "dtb", "-o"]).arg(&fresh);
    match dtc.arg(source).status() {
        Ok(status) if status.success() => {
            fs::rename(&fresh, &blob).map_err(Error::file(&blob))?;
            Ok(blob)
        }
        Ok(status) => Err(Error::Failed {
            what: format!("compiling {}", source.display()),
            how: status.to_string(),
        }),
        Err(_) => Err(Error::Missing {
            program: "dtc".into(),
            remedy: "apt-get install device-tree-compiler",
        }),
    }
}

/// Where `file` is made before it takes its name: tests that run at the same time make the same one,
/// and none may read it half made.
pub fn unfinished(file: &Path) -> PathBuf {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    file.with_extension(format!("{}-{number}", std::process::id()))
}

/// Extracts the loadable bytes of an ELF, unless they are there already.
pub fn objcopy(elf: &Path, image: &Path) -> Result<()> {
    made_of(elf, image, |fresh| {
        let what = format!("converting {}", elf.display());
        let program = toolchain_binary("rust-objcopy")?;
        check(&what, Command::new(program).args(["-O", "binary"]).arg(elf).arg(fresh))
    })
}

/// A program of the `llvm-tools` component, which lies beside the toolchain's libraries.
pub fn toolchain_binary(name: &str) -> Result<PathBuf> {
    let remedy = "rustup toolchain install, in this directory";
    let missing = || Error::Missing { program: name.into(), remedy };
    let output = Command::new("rustc")
        .args(["--print", "target-libdir"])
        .current_dir(root())
        .output()
        .map_err(|_| missing())?;
    let libraries = PathBuf::from(String::from_utf8_lossy(&output.stdout).trim());
    let program = libraries.with_file_name("bin").join(name);
    if program.is_file() { Ok(program) } else { Err(missing()) }
}

/// Has `make` make `made` of `source`, unless it was made of this very `source`: then it has its time.
/// (Cargo brings back an older file where it has one that fits: newer or older tells nothing.)
fn made_of(source: &Path, made: &Path, make: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
    let time = |path: &Path| fs::metadata(path).and_then(|meta| meta.modified());
    let wanted = time(source).map_err(Error::file(source))?;
    if time(made).is_ok_and(|found| found == wanted) {
        return Ok(());
    }
    let fresh = unfinished(made);
    make(&fresh)?;
    let file = fs::File::options().write(true).open(&fresh);
    file.and_then(|file| file.set_modified(wanted)).map_err(Error::file(&fresh))?;
    fs::rename(&fresh, made).map_err(Error::file(made))
}
