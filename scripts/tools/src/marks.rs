//! `make marks`: real guests up to a line that they print, and the instructions it takes them, with
//! Mezzanine and without it. The table of docs/guests.md is made of it.
//!
//! One pCPU and one vCPU, virtual time by the instruction, and a plugin (scripts/counter) that counts
//! what is executed. QEMU is stopped when the line is seen, so the last digits mean nothing.

use crate::{
    Error, Result,
    build::{self, Profile},
    fetch,
    qemu::Machine,
    root,
    session::Session,
};
use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

/// Time for one run.
const LIMIT: Duration = Duration::from_secs(900);

/// A guest of `vms/`, what QEMU boots for it without Mezzanine, and the line that is waited for.
struct Guest {
    description: &'static str,
    kernel: &'static str,
    initrd: Option<&'static str>,
    bootargs: &'static str,
    mark: &'static str,
}

const GUESTS: [Guest; 6] = [
    Guest {
        description: "two-benos",
        kernel: "benos.img",
        initrd: None,
        bootargs: "batch",
        mark: "BenOS: switching off",
    },
    Guest {
        description: "uboot",
        kernel: "u-boot/u-boot.bin",
        initrd: None,
        bootargs: "",
        mark: "Hit any key to stop autoboot",
    },
    Guest {
        description: "linux",
        kernel: "debian/Image",
        initrd: Some("linux.cpio"),
        bootargs: "console=ttyAMA0",
        mark: "Run /init as init process",
    },
    Guest {
        description: "linux-generic",
        kernel: "debian-generic/Image",
        initrd: Some("linux.cpio"),
        bootargs: "console=ttyAMA0",
        mark: "Run /init as init process",
    },
    Guest {
        description: "linux-rt",
        kernel: "debian-rt/Image",
        initrd: Some("linux.cpio"),
        bootargs: "console=ttyAMA0",
        mark: "Run /init as init process",
    },
    Guest {
        description: "installer",
        kernel: "installer/Image",
        initrd: Some("installer/initrd.gz"),
        bootargs: "console=ttyAMA0",
        mark: "Select a language",
    },
];

/// All instructions, and those of EL2.
struct Count {
    all: u64,
    el2: u64,
}

/// Measures, and prints a row of a table for each guest.
pub fn print(names: &[&str]) -> Result<()> {
    build::guests()?;
    let built = build::publish(&build::hypervisor(Profile::Release)?)?;
    let plugin = build::counter()?;
    println!("| guest | up to | alone | under Mezzanine | of these, EL2's |");
    println!("|---|---|---|---|---|");
    for guest in GUESTS.iter().filter(|one| names.is_empty() || names.contains(&one.description)) {
        let source = root().join(format!("vms/{}.dts", guest.description));
        fetch::needed(&source)?;
        let mut ours = Machine::new(&built.image);
        ours.initrd = Some(build::description(&one_vcpu(&source, guest.description)?)?);
        // The demo's guests wait for a person, unless they are told so.
        ours.append.extend((guest.bootargs == "batch").then(|| "batch".into()));
        let ours = count(ours, &plugin, guest.mark)?;
        let directory = root().join("target/guests");
        let mut bare = Machine::new(directory.join(guest.kernel));
        bare.properties.clear();
        bare.memory = "512M".into();
        bare.initrd = guest.initrd.map(|name| directory.join(name));
        if guest.kernel.ends_with("u-boot.bin") {
            // Not an Image: QEMU starts it as it starts firmware.
            bare.extra = vec!["-bios".into(), bare.kernel.display().to_string()];
            bare.kernel = PathBuf::new();
        } else {
            bare.append = vec![guest.bootargs.into()];
        }
        let bare = count(bare, &plugin, guest.mark)?;
        let millions = |number: u64| format!("{:.1} × 10⁶", number as f64 / 1e6);
        println!(
            "| {} | `{}` | {} | {} | {} |",
            guest.description,
            guest.mark,
            millions(bare.all),
            millions(ours.all),
            millions(ours.el2)
        );
    }
    Ok(())
}

/// The description with one vCPU for each VM, and only the first of several equal VMs.
fn one_vcpu(source: &PathBuf, name: &str) -> Result<PathBuf> {
    let text = fs::read_to_string(source).map_err(Error::file(source))?;
    let text = text
        .replace("cpus = <2>", "cpus = <1>")
        .replace("cpus = <4>", "cpus = <1>")
        .replace("\tbeta {", "\tbeta {\n\t\tstatus = \"disabled\";");
    // Beside the others, since its files are named from there.
    let file = root().join(format!("vms/.marks-{name}.dts"));
    fs::write(&file, text).map_err(Error::file(&file))?;
    Ok(file)
}

/// Boots until `mark`; returns what the plugin says then.
fn count(mut machine: Machine, plugin: &std::path::Path, mark: &str) -> Result<Count> {
    machine.smp = 1;
    machine.properties.push("dtb-randomness=off".into());
    machine.extra.extend(
        ["-icount", "shift=0,sleep=off", "-rtc", "clock=vm", "-seed", "1"].map(String::from),
    );
    machine.extra.extend(["-plugin".into(), plugin.display().to_string()]);
    let mut session = Session::held(&mut machine.command())?;
    let seen = session.wait_for(mark, 0, Instant::now() + LIMIT);
    session.stop();
    let _ = session.finish(Some(Instant::now() + LIMIT));
    let complaints = String::from_utf8_lossy(&session.complaints);
    let numbers = complaints.lines().find_map(|line| line.strip_prefix("instructions: "));
    let numbers = numbers.and_then(|line| line.split_once(", of EL2: "));
    let parsed = numbers.and_then(|(all, el2)| Some((all.parse().ok()?, el2.parse().ok()?)));
    match (seen, parsed) {
        (Some(_), Some((all, el2))) => Ok(Count { all, el2 }),
        _ => Err(Error::Failed {
            what: format!("booting {} up to `{mark}`", machine.kernel.display()),
            how: format!("{}\n{complaints}", String::from_utf8_lossy(&session.raw)),
        }),
    }
}
