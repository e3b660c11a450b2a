//! What `make debug` and `make gdb` promise: symbols, a first breakpoint where an exit is handled,
//! and words that show why the guest left.

use crate::harness::{Case, Config, Cpu, Failure, Profile, Test, Verdict};
use mezzanine_tools::{BARE, root};
use std::process::Command;

/// The tests of this area.
pub fn tests() -> Vec<Test> {
    vec![Test::new("gdb/first-exit", first_exit).smp(&[2]).cpu(Cpu::A72).profile(Profile::Release)]
}

fn first_exit(config: Config) -> Verdict {
    let socket = root().join(format!("target/system/gdb-{}", std::process::id()));
    let socket = socket.display().to_string();
    let stub = format!("unix:{socket},server=on,wait=off");
    let mut talk = Case::new(config).qemu(&["-S", "-gdb", &stub]).start()?;
    talk.wait_for_file(&socket)?;
    let elf = root().join("target").join(BARE).join(config.profile.directory()).join("mezzanine");
    let output = Command::new("timeout")
        .args(["60", "gdb-multiarch", "-q", "-batch", "-nx"])
        .arg(elf)
        .args(["-ex", "set architecture aarch64"])
        .args(["-ex", &format!("target remote {socket}")])
        .args(["-x", "scripts/gdbinit"])
        .args(["-ex", "continue", "-ex", "why", "-ex", "world", "-ex", "el"])
        .args(["-ex", "delete", "-ex", "kill"])
        .current_dir(root())
        .output()
        .map_err(|error| Failure::new(format!("gdb-multiarch: {error}")))?;
    drop(talk);
    let _ = std::fs::remove_file(&socket);
    let said = String::from_utf8_lossy(&output.stdout);
    for wanted in
        ["hit Breakpoint 1, mezzanine::exit::handle", "ESR_EL2", "IPA page", "VMID", "EL2, SPSel 1"]
    {
        if !said.contains(wanted) {
            let complaints = String::from_utf8_lossy(&output.stderr);
            return Err(Failure::new(format!("gdb did not say `{wanted}`:\n{said}\n{complaints}")));
        }
    }
    Ok(())
}
