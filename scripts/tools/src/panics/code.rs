//! The call graph of an AArch64 program, read from its machine code.

use crate::{Error, Result};
use object::{Object, ObjectSection, ObjectSymbol, SectionKind, SymbolKind};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// A function of the program.
#[derive(Debug)]
pub struct Function {
    /// Its demangled name, without the hash.
    pub name: String,
    start: u64,
    end: u64,
    /// Functions that it branches to, one entry for each branch.
    pub calls: Vec<usize>,
    /// Functions whose address it takes.
    pub takes: BTreeSet<usize>,
    /// Addresses in data that it takes: tables of functions, or what leads to them.
    tables: BTreeSet<u64>,
}

impl Function {
    /// The address of its first instruction.
    pub fn start(&self) -> u64 {
        self.start
    }
}

/// A linked program.
#[derive(Debug)]
pub struct Program {
    /// By address.
    pub functions: Vec<Function>,
    /// The words of the data, by address.
    data: BTreeMap<u64, u64>,
    /// Where an object of the data begins, as far as code or data know its address.
    objects: BTreeSet<u64>,
}

/// What one instruction says about the call graph.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Instruction {
    /// B, BL, B.cond, CBZ, CBNZ, TBZ, TBNZ to an address.
    Branch(u64),
    /// ADR: this register gets this address.
    Address(u32, u64),
    /// ADD (immediate): register, source, number.
    Add(u32, u32, u64),
    /// LDR (literal) reads a word at this address.
    Literal(u64),
    Other,
}

impl Program {
    /// Reads an ELF with symbols.
    pub fn read(elf: &Path) -> Result<Self> {
        let bytes = fs::read(elf).map_err(Error::file(elf))?;
        let file = object::File::parse(&*bytes)
            .map_err(|error| Error::File { path: elf.into(), why: error.to_string() })?;
        let mut program = Program {
            functions: functions(&file),
            data: BTreeMap::new(),
            objects: BTreeSet::new(),
        };
        let sections = |kinds: &[SectionKind]| {
            let kinds = kinds.to_vec();
            file.sections().filter(move |section| kinds.contains(&section.kind()))
        };
        for section in sections(&[SectionKind::Data, SectionKind::ReadOnlyData]) {
            program.read_data(section.address(), section.data().unwrap_or_default());
        }
        for section in sections(&[SectionKind::Text]) {
            program.read_code(section.address(), section.data().unwrap_or_default());
        }
        let taken = program.functions.iter().flat_map(|function| &function.tables);
        let pointed = program.data.values().filter(|word| program.data.contains_key(word));
        program.objects = taken.chain(pointed).copied().collect();
        Ok(program)
    }

    /// Functions of this name, or whose path ends in it.
    pub fn named(&self, name: &str) -> Vec<usize> {
        let inner = format!("::{name}");
        let is = |function: &Function| function.name == name || function.name.ends_with(&inner);
        let found = self.functions.iter().enumerate();
        found.filter(|(_, function)| is(function)).map(|(index, _)| index).collect()
    }

    /// The functions that `function` can get hold of by data: those in the objects whose address it
    /// takes (a table of a trait's functions, arguments to be formatted), and in the objects that
    /// these lead to. An object ends where the next one begins that anyone knows the address of.
    pub fn in_tables(&self, function: &Function) -> BTreeSet<usize> {
        let mut found = BTreeSet::new();
        let mut seen = BTreeSet::new();
        let mut left: Vec<u64> = function.tables.iter().copied().collect();
        while let Some(object) = left.pop() {
            if !seen.insert(object) {
                continue;
            }
            let end = self.objects.range(object + 1..).next().copied().unwrap_or(u64::MAX);
            for (_, word) in self.data.range(object..end) {
                found.extend(self.starting(*word));
                left.extend(self.data.contains_key(word).then_some(*word));
            }
        }
        found
    }

    /// The name of the function that an address lies in, or of the label before it: assembly has no
    /// functions.
    pub fn name_at(&self, address: u64) -> Option<&str> {
        self.at(address).map(|index| self.functions[index].name.as_str())
    }

    /// The function that an address lies in.
    fn at(&self, address: u64) -> Option<usize> {
        let after = self.functions.partition_point(|f| f.start <= address);
        let index = after.checked_sub(1)?;
        (address < self.functions.get(index)?.end).then_some(index)
    }

    /// The function that starts at an address.
    fn starting(&self, address: u64) -> Option<usize> {
        self.at(address).filter(|&index| self.functions[index].start == address)
    }

    fn read_data(&mut self, base: u64, data: &[u8]) {
        for (word, address) in data.chunks_exact(8).zip((base..).step_by(8)) {
            let word = u64::from_le_bytes(word.try_into().unwrap_or_default());
            self.data.insert(address, word);
        }
    }

    fn read_code(&mut self, base: u64, code: &[u8]) {
        // Addresses that registers hold, as far as one pass in the order of addresses knows.
        let mut held = [None; 32];
        let mut inside = None;
        for (word, address) in code.chunks_exact(4).zip((base..).step_by(4)) {
            let Some(index) = self.at(address) else {
                continue;
            };
            if inside.replace(index) != Some(index) {
                held = [None; 32];
            }
            let word = u32::from_le_bytes(word.try_into().unwrap_or_default());
            let instruction = decode(word, address);
            match instruction {
                Instruction::Branch(target) => {
                    if let Some(callee) = self.at(target).filter(|&callee| callee != index) {
                        self.functions[index].calls.push(callee);
                    }
                }
                Instruction::Address(register, target) => {
                    held[register as usize] = Some(target);
                    self.take(index, target);
                }
                Instruction::Add(register, source, number) => {
                    let sum = held[source as usize].map(|page: u64| page.wrapping_add(number));
                    // The page stays in the source: one ADRP may serve several additions.
                    held[register as usize] = sum;
                    if let Some(target) = sum {
                        self.take(index, target);
                    }
                }
                Instruction::Literal(place) => {
                    let at = place.wrapping_sub(base) as usize;
                    if let Some(bytes) = code.get(at..at.saturating_add(8)) {
                        let target = u64::from_le_bytes(bytes.try_into().unwrap_or_default());
                        self.take(index, target);
                    }
                }
                Instruction::Other => {}
            }
        }
    }

    fn take(&mut self, index: usize, target: u64) {
        if self.data.contains_key(&target) {
            self.functions[index].tables.insert(target);
        }
        if let Some(taken) = self.starting(target).filter(|&taken| taken != index) {
            self.functions[index].takes.insert(taken);
        }
    }
}

/// All functions by address. Assembly may leave the size of its symbols out: such a one ends where
/// the next begins.
fn functions(file: &object::File) -> Vec<Function> {
    let text: Vec<_> = file
        .sections()
        .filter(|section| section.kind() == SectionKind::Text)
        .map(|section| (section.index(), section.address() + section.size()))
        .collect();
    let mut functions = Vec::new();
    for symbol in file.symbols() {
        let section = text.iter().find(|(index, _)| symbol.section_index() == Some(*index));
        let name = symbol.name().unwrap_or_default();
        let is_code = symbol.kind() == SymbolKind::Text
            || symbol.kind() == SymbolKind::Label
            || symbol.kind() == SymbolKind::Unknown;
        // `$x` and `$d` mark code and data within a section.
        if let Some((_, end)) = section.filter(|_| is_code && !name.starts_with('$')) {
            let end = match symbol.size() {
                0 => *end,
                size => symbol.address() + size,
            };
            functions.push(Function {
                name: format!("{:#}", rustc_demangle::demangle(name)),
                start: symbol.address(),
                end,
                calls: Vec::new(),
                takes: BTreeSet::new(),
                tables: BTreeSet::new(),
            });
        }
    }
    // Of several names for one address the one with a size is the better one, and stays.
    functions.sort_by_key(|function| (function.start, function.end));
    functions.dedup_by_key(|function| function.start);
    let starts: Vec<u64> = functions.iter().skip(1).map(|f| f.start).collect();
    for (function, next) in functions.iter_mut().zip(starts) {
        function.end = function.end.min(next);
    }
    functions
}

/// Decodes what matters here (Arm DDI 0487, C4.1: branches and PC-relative addressing).
fn decode(word: u32, address: u64) -> Instruction {
    let offset = |low: u32, bits: u32, scale: u32| {
        let field = i64::from(word >> low) << (64 - bits) >> (64 - bits);
        address.wrapping_add_signed(field << scale)
    };
    let register = word & 31;
    if word & 0x7c00_0000 == 0x1400_0000 {
        Instruction::Branch(offset(0, 26, 2)) // B, BL
    } else if word & 0xff00_0010 == 0x5400_0000 || word & 0x7e00_0000 == 0x3400_0000 {
        Instruction::Branch(offset(5, 19, 2)) // B.cond; CBZ, CBNZ
    } else if word & 0x7e00_0000 == 0x3600_0000 {
        Instruction::Branch(offset(5, 14, 2)) // TBZ, TBNZ
    } else if word & 0x1f00_0000 == 0x1000_0000 {
        let high = i64::from(word >> 5) << 45 >> 45;
        let number = high << 2 | i64::from(word >> 29 & 3);
        let target = if word >> 31 == 0 {
            address.wrapping_add_signed(number) // ADR
        } else {
            (address & !0xfff).wrapping_add_signed(number << 12) // ADRP
        };
        Instruction::Address(register, target)
    } else if word & 0xff80_0000 == 0x9100_0000 {
        let shift = if word >> 22 & 1 == 1 { 12 } else { 0 };
        let number = u64::from(word >> 10 & 0xfff) << shift;
        Instruction::Add(register, word >> 5 & 31, number)
    } else if word & 0xff00_0000 == 0x5800_0000 {
        Instruction::Literal(offset(5, 19, 2))
    } else {
        Instruction::Other
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn branches_and_addresses_are_decoded() {
        let at = 0x4000;
        assert_eq!(decode(0x9400_0002, at), Instruction::Branch(0x4008)); // bl .+8
        assert_eq!(decode(0x17ff_ffff, at), Instruction::Branch(0x3ffc)); // b .-4
        assert_eq!(decode(0x5400_0040, at), Instruction::Branch(0x4008)); // b.eq .+8
        assert_eq!(decode(0xb4ff_ffe0, at), Instruction::Branch(0x3ffc)); // cbz x0, .-4
        assert_eq!(decode(0x3607_ffe0, at), Instruction::Branch(0x3ffc)); // tbz w0, #0, .-4
        assert_eq!(decode(0xd63f_0100, at), Instruction::Other); // blr x8
        assert_eq!(decode(0xd65f_03c0, at), Instruction::Other); // ret
        assert_eq!(decode(0x1000_0041, at), Instruction::Address(1, 0x4008)); // adr x1, .+8
        assert_eq!(decode(0xb000_0001, 0x4ffc), Instruction::Address(1, 0x5000)); // adrp x1, 1
        assert_eq!(decode(0x9100_4020, at), Instruction::Add(0, 1, 16)); // add x0, x1, #16
        assert_eq!(decode(0x5800_0040, at), Instruction::Literal(0x4008)); // ldr x0, .+8
    }
}
