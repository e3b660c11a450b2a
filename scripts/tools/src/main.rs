//! The program behind the make verbs: `mezzanine-tools VERB [OPTION…]`.
//!
//! Everything else is told by the variables that the Makefile lists (SMP, MEM, CPU, …).

use mezzanine_tools::{
    Error, Result, bench, build,
    build::Profile,
    check, fuzz, marks, panics, profile,
    qemu::Machine,
    root,
    run::{self, Ending},
    trace, var,
};
use std::{
    path::{Path, PathBuf},
    process::exit,
};

const USAGE: &str = "\
usage: mezzanine-tools VERB
  build             target/mezzanine.img and target/mezzanine.elf
  guests            target/guests/<name>.img and <name>.elf
  vms               the description that VM= names, to target/vms/<name>.dtb
  run [--elf FILE]  boot the hypervisor in QEMU, built first, or this one
  debug             the same, stopped until gdb attaches
  run-bare          boot the guest benos in QEMU without the hypervisor
  test [--all]      every check that CI makes
  hostile           the hostile guests alone, with a table of what came of each family
  chaos             random guests: N of them from FROM on, by SEED
  lint              rustfmt and clippy alone
  trace             what the VMs and EL2 do, as files to look at: SECONDS of a run, or LOG's
  fuzz              each fuzzer under libFuzzer for SECONDS, or TARGET's alone
  bench [--accept]  count the instructions of each operation; keep the figures
  marks [GUEST…]    count what real guests take up to a line that they print
  panics [--accept] count the panics that an exit can reach; keep the figures
  panics FILE ROOT… print the count for an ELF, from these functions on";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match dispatch(&arguments) {
        Ok(status) => exit(status),
        Err(error) => {
            eprintln!("mezzanine-tools: {error}");
            exit(1);
        }
    }
}

fn dispatch(arguments: &[&str]) -> Result<i32> {
    match arguments {
        ["build"] => {
            let built = build::publish(&build::hypervisor(Profile::from_env()?)?)?;
            println!("{}\n{}", relative(&built.image), relative(&built.elf));
            Ok(0)
        }
        ["guests"] => {
            for name in build::guests()? {
                println!("target/guests/{name}.img");
            }
            Ok(0)
        }
        ["vms"] => {
            let blob = description()?
                .ok_or_else(|| Error::Usage("name a description: VM=vms/two-benos.dts".into()))?;
            println!("{}", relative(&blob));
            Ok(0)
        }
        ["run"] => {
            let built = build::publish(&build::hypervisor(Profile::from_env()?)?)?;
            boot(built.image, &[])
        }
        ["run", "--elf", elf] => {
            let image = Path::new(elf).with_extension("img");
            build::objcopy(Path::new(elf), &image)?;
            boot(image, &[])
        }
        ["debug"] => {
            let built = build::publish(&build::hypervisor(Profile::from_env()?)?)?;
            let port = port();
            println!("Waiting for gdb on port {port}. In another terminal: make gdb");
            boot(built.image, &["-S", "-gdb", &format!("tcp:localhost:{port}")])
        }
        ["run-bare"] => run_bare(),
        ["test"] => check::all(false),
        ["test", "--all"] => check::all(true),
        ["hostile"] => check::hostile(),
        ["chaos"] => check::chaos(),
        ["lint"] => check::lint(),
        ["fuzz"] => fuzz::run(),
        ["trace"] => trace().map(|()| 0),
        ["bench"] => match var("OP") {
            Some(operation) => profile::print(&operation).map(|()| 0),
            None => bench::compare().map(|good| i32::from(!good)),
        },
        ["bench", "--accept"] => bench::accept().map(|()| 0),
        ["marks", guests @ ..] => marks::print(guests).map(|()| 0),
        ["panics"] => {
            let built = build::publish(&build::hypervisor(Profile::Release)?)?;
            panics::compare(&built.elf).map(|good| i32::from(!good))
        }
        ["panics", "--accept"] => {
            let built = build::publish(&build::hypervisor(Profile::Release)?)?;
            panics::accept(&built.elf).map(|()| 0)
        }
        ["panics", elf, roots @ ..] => {
            print!("{}", panics::count(Path::new(elf), roots)?);
            Ok(0)
        }
        _ => Err(Error::Usage(USAGE.into())),
    }
}

/// Where gdb finds its stub.
fn port() -> String {
    var("GDB_PORT").unwrap_or_else(|| "1234".into())
}

/// Boots the hypervisor with the VMs that `VM` names, or with the demo that is built in.
fn boot(image: PathBuf, extra: &[&str]) -> Result<i32> {
    let mut machine = Machine::from_env(image)?;
    machine.initrd = description()?;
    machine.extra.extend(extra.iter().map(|&word| word.into()));
    if var("GDB").is_some() {
        let port = port();
        machine.debugged_by(&format!("socket,host=127.0.0.1,port={port}"));
        println!("A guest is debugged by: gdb-multiarch -ex 'target remote localhost:{port}'");
    }
    run::run(machine, Ending::LastLine)
}

/// The timeline of a console's log, or of a run with the VMs that `VM` names.
fn trace() -> Result<()> {
    let settings = trace::Settings::from_env()?;
    if let Some(log) = &settings.log {
        return trace::of_log(log, &settings);
    }
    let built = build::publish(&build::hypervisor(Profile::from_env()?)?)?;
    let mut machine = Machine::from_env(built.image)?;
    machine.initrd = description()?;
    trace::of_run(machine, &settings)
}

/// The compiled form of the description that `VM` names; its images are built before it.
fn description() -> Result<Option<PathBuf>> {
    let Some(source) = var("VM") else {
        return Ok(None);
    };
    build::guests()?;
    build::description(Path::new(&source)).map(Some)
}

/// Boots the guest as it stands on a machine without the hypervisor, at EL1 or at EL2.
fn run_bare() -> Result<i32> {
    build::guests()?;
    let mut machine = Machine::from_env(root().join("target/guests/benos.img"))?;
    match var("EL").as_deref() {
        None | Some("1") => machine.properties.clear(),
        Some("2") => {}
        Some(other) => return Err(Error::Usage(format!("EL={other}: 1 or 2 wanted"))),
    }
    run::run(machine, Ending::Exit)
}

/// A path as one would type it at the root of the checkout.
fn relative(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).display().to_string()
}
