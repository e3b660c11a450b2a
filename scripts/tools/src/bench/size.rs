//! Bytes: of the image by sections, and of EL2's heap for each VM and vCPU.

use super::{
    describe::{self, Vm},
    figures::Named,
};
use crate::{Error, Result, build::Built, session::Session};
use object::{Object, ObjectSection, ObjectSymbol};
use std::{
    fs,
    path::Path,
    time::{Duration, Instant},
};

/// Time for one run.
const LIMIT: Duration = Duration::from_secs(60);
const SECTIONS: [&str; 4] = [".text", ".rodata", ".data", ".bss"];
/// EL2's heap (src/el2/layout.rs): addresses, where numbers are looked for.
const HEAP: u64 = 0xff81_0000_0000;
const HEAP_SYMBOL: &str = "memory::heap::HEAP";

/// Measures all of it.
pub fn measure(built: &Built) -> Result<Named> {
    let mut bytes = sections(&built.elf)?;
    let image = fs::metadata(&built.image).map_err(Error::file(&built.image))?;
    bytes.insert("image".into(), image.len());
    let used = |vms: usize, cpus: usize| heap(built, vms, cpus);
    let one = used(1, 1)?;
    bytes.insert("a vCPU".into(), used(1, 2)? - one);
    bytes.insert("a VM of 16 MiB with one vCPU".into(), used(2, 1)? - one);
    Ok(bytes)
}

/// Prints them in one line each.
pub fn print(bytes: &Named) {
    println!("\nbytes (others': Bao 66808 of .text, Xen an image of 983048)");
    for (what, count) in bytes {
        println!("{count:>12}  {what}");
    }
}

fn sections(elf: &Path) -> Result<Named> {
    let wrong = |why: String| Error::File { path: elf.into(), why };
    let bytes = fs::read(elf).map_err(Error::file(elf))?;
    let file = object::File::parse(&*bytes).map_err(|error| wrong(error.to_string()))?;
    let size = |name: &str| {
        let section = file.section_by_name(name);
        section.map(|section| section.size()).ok_or_else(|| wrong(format!("no section {name}")))
    };
    SECTIONS.iter().map(|name| Ok(((*name).into(), size(name)?))).collect()
}

/// Bytes of EL2's heap that are taken while so many VMs run: read from the allocator's books by
/// QEMU's monitor, as the hypervisor does not tell.
fn heap(built: &Built, vms: usize, cpus: usize) -> Result<u64> {
    let vms: Vec<Vm> = (0..vms)
        .map(|n| Vm { cpus, memory: 16, ..Vm::small(format!("spin{n}"), "spin", "") })
        .collect();
    let blob = describe::compile("bench-heap", &vms)?;
    let machine = super::machine(&built.image, &blob, "cortex-a72");
    let mut session = Session::held(&mut machine.command())?;
    let deadline = Instant::now() + LIMIT;
    let mut from = 0;
    for _ in &vms {
        from = session.wait_for("SPIN start", from, deadline).ok_or_else(|| failed(&session))?;
    }
    // Ctrl-A c is QEMU's own: the console becomes its monitor.
    session.send("\u{1}c")?;
    from = session.wait_for("(qemu)", from, deadline).ok_or_else(|| failed(&session))?;
    let (offset, words) = heap_symbol(&built.elf)?;
    let loaded =
        loaded_at(&String::from_utf8_lossy(&session.raw)).ok_or_else(|| failed(&session))?;
    session.send(&format!("xp /{words}gx {:#x}\n", loaded + offset))?;
    session.send("quit\n")?;
    session.finish(Some(deadline))?;
    let answer = String::from_utf8_lossy(&session.raw[from..]).into_owned();
    allocated(&answer).ok_or_else(|| Error::Failed {
        what: "reading the books of EL2's heap".into(),
        how: format!("found no three numbers that are no addresses in\n{answer}"),
    })
}

fn failed(session: &Session) -> Error {
    Error::Failed {
        what: "booting VMs to look at EL2's heap".into(),
        how: String::from_utf8_lossy(&session.raw).into_owned(),
    }
}

/// Where the allocator's books are in the image, and how many words they have.
fn heap_symbol(elf: &Path) -> Result<(u64, u64)> {
    let wrong = |why: String| Error::File { path: elf.into(), why };
    let bytes = fs::read(elf).map_err(Error::file(elf))?;
    let file = object::File::parse(&*bytes).map_err(|error| wrong(error.to_string()))?;
    let name = |symbol: &object::Symbol| {
        format!("{:#}", rustc_demangle::demangle(symbol.name().unwrap_or_default()))
    };
    let symbol = file.symbols().find(|symbol| name(symbol).ends_with(HEAP_SYMBOL));
    let symbol = symbol.ok_or_else(|| wrong(format!("no symbol {HEAP_SYMBOL}")))?;
    Ok((symbol.address() - super::IMAGE, symbol.size() / 8))
}

/// The address of `… loaded at 0x…`.
fn loaded_at(console: &str) -> Option<u64> {
    let (_, rest) = console.split_once("loaded at 0x")?;
    u64::from_str_radix(rest.split_whitespace().next()?, 16).ok()
}

/// buddy_system_allocator's heap consists of lists (addresses, or 0) and three numbers, in an order
/// that the compiler chooses: bytes asked for, bytes given for these, all bytes.
fn allocated(monitor: &str) -> Option<u64> {
    let words = monitor.split_whitespace().filter_map(|word| word.strip_prefix("0x"));
    let words = words.filter(|word| word.len() == 16);
    let numbers = words.filter_map(|word| u64::from_str_radix(word, 16).ok());
    // The lock is the remaining word: 0, or 1 while it is held.
    let mut numbers: Vec<u64> = numbers.filter(|word| (2..HEAP).contains(word)).collect();
    numbers.sort_unstable();
    match numbers[..] {
        [_, allocated, _] => Some(allocated),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_allocators_books_are_understood() {
        let monitor = "xp /6gx 0x402ce5c0\r\n\
            00000000402ce5c0: 0x0000000000000000 0x0000ff8100000020\r\n\
            00000000402ce5d0: 0x0000000000000500 0x0000000000800000\r\n\
            00000000402ce5e0: 0x0000000000000800 0x0000000000000001\r\n(qemu) ";
        assert_eq!(allocated(monitor), Some(0x800));
        assert_eq!(allocated("0x0000000000000500"), None);
        assert_eq!(loaded_at("x, loaded at 0x40200000\r\n"), Some(0x4020_0000));
    }
}
