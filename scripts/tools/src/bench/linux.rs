//! Debian's Linux from its first instruction to the first one of /init, beside a VM that sleeps, and
//! on the bare board: the same kernel, file system, RAM, CPU, and the tree that the guest gets.

use super::{
    CPUS,
    counter::{Counter, Profile, Wanted},
    describe::{self, Vm},
    figures::Named,
};
use crate::{
    Error, Result,
    build::{self, Built},
    panics::code::Program,
    root,
    session::Session,
};
use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

/// Time to print a tree.
const LIMIT: Duration = Duration::from_secs(60);
/// MiB of RAM, and the command line: as in vms/bench-linux.dts.
const MEMORY: u64 = 512;
const BOOTARGS: &str = "console=ttyAMA0";
/// What /init says first.
const INIT: &str = "A shell of busybox";

/// Kinds of exits by the functions that handle them; those of a kind that is indented are counted
/// in the kind above them, too.
const KINDS: [(&str, &str); 14] = [
    ("all", "exit::handle::handle"),
    ("HVC", "exit::call::hvc"),
    ("SMC", "exit::call::smc"),
    ("trapped register", "exit::sysreg::access"),
    ("  SGI sent", "exit::sysreg::send_sgi"),
    ("data abort", "exit::abort::data"),
    ("  GIC read", "exit::abort::gic_read"),
    ("  GIC written", "exit::abort::gic_write"),
    ("  UART read", "exit::abort::uart_read"),
    ("  UART written", "exit::abort::uart_write"),
    ("instruction abort", "exit::abort::instruction"),
    ("WFI, WFE", "exit::wait::wfx"),
    ("first FP use, others", "exit::handle::other"),
    ("interrupt", "exit::handle::asynchronous"),
];

/// Instructions of both boots.
#[derive(Debug)]
pub struct Linux {
    /// Without Mezzanine.
    pub bare: u64,
    /// With it: all, and EL2's.
    pub ours: [u64; 2],
    /// How often each kind of exit came.
    kinds: Vec<(&'static str, u64)>,
    /// The functions of EL2 that took most.
    functions: Vec<(String, u64)>,
}

/// Boots both.
pub fn measure(built: &Built, counter: &Counter) -> Result<Linux> {
    let blob = build::description(&root().join("vms/bench-linux.dts"))?;
    let wanted = Wanted { profile: true, linux: true, ..Wanted::default() };
    let machine = super::machine(&built.image, &blob, CPUS[0].1);
    let ours = counter.run(machine, &wanted, INIT)?;

    let guests = root().join("target/guests");
    let files = guests.join("linux.cpio");
    let mut machine = super::machine(&guests.join("debian/Image"), &files, CPUS[0].1);
    machine.properties.retain(|property| !property.starts_with("virtualization"));
    machine.memory = format!("{MEMORY}M");
    machine.append = vec![BOOTARGS.into()];
    machine.extra.extend(["-dtb".into(), tree(built)?.display().to_string()]);
    let bare = counter.run(machine, &Wanted { linux: true, ..Wanted::default() }, INIT)?;
    for (counts, console) in [(ours.counts, &ours.console), (bare.counts, &bare.console)] {
        if counts[0] == 0 {
            return Err(Error::Failed {
                what: "counting Linux's instructions".into(),
                how: format!("saw no first instruction, or none of /init\n{console}"),
            });
        }
    }
    let program = Program::read(&built.elf)?;
    Ok(Linux {
        bare: bare.counts[0],
        ours: ours.counts,
        kinds: kinds(&program, &ours.profile)?,
        functions: functions(&program, &ours.profile),
    })
}

/// How often the first instruction of each handler was executed.
fn kinds(program: &Program, profile: &Profile) -> Result<Vec<(&'static str, u64)>> {
    let count = |symbol| {
        let offset = super::offset(program, symbol)?;
        Ok(profile.get(&offset).copied().unwrap_or(0))
    };
    KINDS.iter().map(|(kind, symbol)| Ok((*kind, count(symbol)?))).collect()
}

fn functions(program: &Program, profile: &Profile) -> Vec<(String, u64)> {
    let mut functions: Vec<(String, u64)> = Vec::new();
    // Offsets ascend, and so all of a function come in a row.
    for (offset, count) in profile {
        let name = program.name_at(super::IMAGE + offset).unwrap_or("(no function)");
        match functions.last_mut().filter(|(last, _)| last == name) {
            Some((_, sum)) => *sum += count,
            None => functions.push((name.into(), *count)),
        }
    }
    functions.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    functions
}

/// The tree that a VM like Linux's gets, as a file: a guest prints it.
fn tree(built: &Built) -> Result<PathBuf> {
    let vm = Vm { memory: MEMORY, ..Vm::small("tree", "tree", BOOTARGS) };
    let blob = describe::compile("bench-tree", &[vm])?;
    let mut session = Session::held(&mut super::machine(&built.image, &blob, CPUS[0].1).command())?;
    session.wait_for("TREE end", 0, Instant::now() + LIMIT);
    session.stop();
    let console = String::from_utf8_lossy(&session.raw);
    let tree = printed(&console).ok_or_else(|| Error::Failed {
        what: "asking a guest for its tree".into(),
        how: format!("found no whole tree, wanted lines `TREE <offset> <bytes>`\n{console}"),
    })?;
    let file = root().join("target/bench-linux.dtb");
    write(&file, &tree)?;
    Ok(file)
}

fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    fs::write(file, bytes).map_err(Error::file(file))
}

/// The bytes of the lines `TREE <offset> <bytes>`, if none is missing.
fn printed(console: &str) -> Option<Vec<u8>> {
    let (lines, _) = console.split_once("TREE end")?;
    let mut tree = Vec::new();
    for line in lines.lines().filter_map(|line| Some(line.split_once("TREE ")?.1.trim())) {
        let (offset, bytes) = line.split_once(' ')?;
        if u64::from_str_radix(offset, 16).ok()? != tree.len() as u64 || bytes.len() % 2 != 0 {
            return None;
        }
        for place in (0..bytes.len()).step_by(2) {
            tree.push(u8::from_str_radix(bytes.get(place..place + 2)?, 16).ok()?);
        }
    }
    (!tree.is_empty()).then_some(tree)
}

impl Linux {
    /// The figures by name.
    pub fn figures(&self) -> Named {
        let figures =
            [("bare", self.bare), ("ours", self.ours[0]), ("of ours EL2's", self.ours[1])];
        figures.map(|(name, count)| (name.into(), count)).into()
    }

    /// By how much ours is more, in percent.
    pub fn overhead(&self) -> f64 {
        100.0 * (self.ours[0] as f64 / self.bare as f64 - 1.0)
    }

    /// Prints it.
    pub fn print(&self) {
        let [all, el2] = self.ours;
        println!(
            "\nDebian's Linux from its first instruction to /init's, {MEMORY} MiB, on {}",
            CPUS[0].0
        );
        println!("{:>12}  on the bare board", self.bare);
        println!("{all:>12}  beside a VM that sleeps: {:+.2} %", self.overhead());
        println!("{el2:>12}  of these EL2's: {:.2} %", 100.0 * el2 as f64 / all as f64);
        println!("\nexits");
        for (kind, count) in self.kinds.iter().filter(|(_, count)| *count > 0) {
            println!("{count:>12}  {kind}");
        }
        println!("\nEL2's instructions by function");
        for (name, count) in self.functions.iter().take(12) {
            println!("{count:>12}  {name}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_printed_tree_is_read_back() {
        let console = "[t] TREE 0 d00d\r\n[t] TREE 2 feed\r\n[t] TREE end\r\n";
        assert_eq!(printed(console), Some(vec![0xd0, 0x0d, 0xfe, 0xed]));
        assert_eq!(printed("TREE 0 d00d\nTREE 4 feed\nTREE end"), None);
        assert_eq!(printed("TREE 0 d00d\n"), None);
    }

    #[test]
    fn overhead_is_what_comes_on_top() {
        let linux =
            Linux { bare: 1000, ours: [1015, 12], kinds: Vec::new(), functions: Vec::new() };
        assert!((linux.overhead() - 1.5).abs() < 1e-9);
    }
}
