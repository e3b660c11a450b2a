//! Counts the calls of panics that an exit of a guest can reach, in the linked program.
//!
//! The source can't answer this: an index that is provably in bounds leaves no panic, one that is
//! not does, and only the optimiser knows. So the call graph is read from the machine code:
//! branches, and functions whose address is taken.
//!
//! What a reached function can get hold of counts as called: the functions that it branches to, those
//! whose address it takes, and those in tables (of a trait's functions, of what is to be formatted)
//! whose address it takes, or that these lead to. One pointer is not found so, since boot stores it
//! and an exit fetches it: the logger's. Its functions are roots of their own.

pub mod code;

use crate::{Error, Result, root};
use code::{Function, Program};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, fs,
    path::{Path, PathBuf},
};

/// Where exits come in: the vectors, and the loop that runs vCPUs and handles what they return with;
/// and what is called by a pointer that boot has stored.
pub const ROOTS: [&str; 3] = [
    "vectors",
    "mezzanine::exit::run::pcpu_main",
    "<mezzanine::platform::console::Logger as log::Log>::log",
];

/// What the names of functions that end the hypervisor have in them.
const PANICS: [&str; 11] = [
    "core::panicking::",
    "core::slice::index::slice_",
    "core::slice::copy_from_slice_impl::len_mismatch_fail",
    "core::option::unwrap_failed",
    "core::option::expect_failed",
    "core::result::unwrap_failed",
    "core::str::slice_error_fail",
    "core::cell::panic_already",
    "alloc::raw_vec::handle_error",
    "alloc::alloc::handle_alloc_error",
    "rust_begin_unwind",
];

/// What the committed figures begin with.
const HEADER: &str =
    "# Calls of panics that an exit can reach in the release build (make panics-accept).\n";

/// A call of a panic: from which function, to which one, how often.
type Sites = BTreeMap<(String, String), usize>;

/// What was counted.
#[derive(Debug)]
pub struct Count {
    /// Calls of panics.
    pub panics: usize,
    /// Functions that were reached.
    pub functions: usize,
    sites: Sites,
}

fn committed() -> PathBuf {
    root().join("docs/panics.txt")
}

/// Counts in this ELF, from these roots on; each root has to be there.
pub fn count(elf: &Path, roots: &[&str]) -> Result<Count> {
    let program = Program::read(elf)?;
    let mut start = BTreeSet::new();
    for root in roots {
        let found = program.named(root);
        if found.is_empty() {
            return Err(Error::File {
                path: elf.into(),
                why: format!("has no function `{root}` to start from"),
            });
        }
        start.extend(found);
    }
    let reached = reach(&program, start);
    let sites = sites(&program, &reached);
    Ok(Count { panics: sites.values().sum(), functions: reached.len(), sites })
}

/// Functions that are reached.
fn reach(program: &Program, start: BTreeSet<usize>) -> BTreeSet<usize> {
    let mut reached = BTreeSet::new();
    let mut left: Vec<usize> = start.into_iter().collect();
    while let Some(index) = left.pop() {
        let Some(function) = program.functions.get(index) else {
            continue;
        };
        if is_panic(function) || !reached.insert(index) {
            continue;
        }
        left.extend(function.calls.iter().chain(&function.takes));
        left.extend(program.in_tables(function));
    }
    reached
}

fn sites(program: &Program, reached: &BTreeSet<usize>) -> Sites {
    let mut sites = Sites::new();
    for function in reached.iter().filter_map(|&index| program.functions.get(index)) {
        for callee in &function.calls {
            if let Some(callee) = program.functions.get(*callee).filter(|f| is_panic(f)) {
                let site = (function.name.clone(), callee.name.clone());
                *sites.entry(site).or_default() += 1;
            }
        }
    }
    sites
}

fn is_panic(function: &Function) -> bool {
    PANICS.iter().any(|part| function.name.contains(part))
}

impl fmt::Display for Count {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "panics {}", self.panics)?;
        for ((caller, panic), times) in &self.sites {
            writeln!(f, "{times} {caller} -> {panic}")?;
        }
        Ok(())
    }
}

/// Writes the figures of now over the committed ones.
pub fn accept(elf: &Path) -> Result<()> {
    let count = count(elf, &ROOTS)?;
    let file = committed();
    fs::write(&file, format!("{HEADER}{count}")).map_err(Error::file(&file))?;
    println!("panics {}, in {} functions", count.panics, count.functions);
    Ok(())
}

/// Compares with the committed figures: neither may have grown. Prints what there is.
pub fn compare(elf: &Path) -> Result<bool> {
    let now = count(elf, &ROOTS)?;
    // Boot may panic, by formatting and by allocating: a count that doesn't see it sees nothing.
    if count(elf, &["kernel_main"])?.panics == 0 {
        println!("no panic is found from kernel_main on, where there are some");
        return Ok(false);
    }
    let file = committed();
    let text = fs::read_to_string(&file).map_err(Error::file(&file))?;
    let line = text.lines().find_map(|line| line.strip_prefix("panics "));
    let before: usize = line.and_then(|number| number.trim().parse().ok()).ok_or_else(|| {
        Error::File { path: file.clone(), why: "`panics NUMBER` is missing".into() }
    })?;
    println!("panics {} (committed {before}), in {} functions", now.panics, now.functions);
    let good = now.panics <= before;
    if !good {
        println!("{now}");
        println!("More than before. If they can't be avoided: make panics-accept");
    } else if now.panics < before {
        println!("Fewer than before: make panics-accept keeps it so.");
    }
    Ok(good)
}
