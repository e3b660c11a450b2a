//! Answers that take more than a line, from plain data: walks, registers, frames, memory.

use alloc::format;
use alloc::string::String;
use core::fmt::Write;

use super::words::{self, Stage};
use crate::memory::walk::{End, Regime, Stage1, Walk};
use crate::vm::Frame;

/// Frames of a guest that are shown.
const DEPTH: usize = 32;

/// Time in ticks of a counter with this frequency.
pub fn milliseconds(ticks: u64, hertz: u64) -> String {
    let us = u128::from(ticks) * 1_000_000 / u128::from(hertz.max(1));
    format!("{}.{:03} ms", us / 1000, us % 1000)
}

/// The same for short ones.
pub fn microseconds(ticks: u64, hertz: u64) -> String {
    let ns = u128::from(ticks) * 1_000_000_000 / u128::from(hertz.max(1));
    format!("{}.{:03} us", ns / 1000, ns % 1000)
}

/// A walk of stage 2 for `ipa`. `is_memory`: the VM has memory there.
pub fn stage2(out: &mut String, regime: &Regime, walk: &Walk, ipa: u64, is_memory: bool) {
    for step in &walk.steps {
        words::step(out, regime, Stage::Two, step, None);
    }
    let words = match walk.end {
        End::Leaf(pa, _) => &format!("is at PA {pa:#x}"),
        End::NotCovered => "has too many bits: address size or translation fault",
        _ if is_memory => {
            "is nothing yet: this is in the VM's memory, and becomes visible at its first touch"
        }
        _ => {
            "is a hole: no memory of the VM. An access comes to EL2, where a device answers, or the \
             guest is given an external abort"
        }
    };
    let _ = writeln!(out, "IPA {ipa:#x} {words}");
}

/// A walk of a guest's stage 1 for `va`; `pa` says where an IPA is in memory. Returns the IPA to
/// which it leads.
pub fn stage1(
    out: &mut String,
    (registers, mair): (&Stage1, u64),
    va: u64,
    walk: &Walk,
    pa: impl Fn(u64) -> Option<u64>,
) -> Option<u64> {
    let half = va >> 55 & 1;
    if let Some(regime) = registers.regime(va).filter(|_| walk.end != End::Flat) {
        let Regime { root, granule, bits, start, .. } = regime;
        let (ttbr, size) = (registers.ttbr[half as usize & 1], words::size(granule));
        let _ = write!(out, "TTBR{half}_EL1 {ttbr:#x} (ASID {}, root {root:#x}), ", ttbr >> 48);
        let _ = writeln!(out, "{bits} bits, {size} granule, from level {start}");
        for step in &walk.steps {
            words::step(out, &regime, Stage::One(mair), step, pa(step.at));
        }
    }
    let (ipa, words) = match walk.end {
        End::Leaf(ipa, _) => (Some(ipa), &*format!("is IPA {ipa:#x}")),
        End::Flat => (Some(va), "is the IPA: SCTLR_EL1.M is 0, the guest's translation is off"),
        End::NotCovered => {
            (None, "is in neither half, or walks are off (EPDn): translation fault level 0")
        }
        End::NoTable(_) => (None, "has its table where the VM has no memory: external abort"),
        End::Fault(_) => {
            (None, "isn't mapped by the guest: a translation fault, which the guest itself takes")
        }
    };
    let _ = writeln!(out, "VA {va:#x} {words}");
    ipa
}

/// A vCPU's registers: its frame, and EL1's by their names.
pub fn registers(out: &mut String, frame: &Frame, el1: impl Iterator<Item = (&'static str, u64)>) {
    for (n, x) in frame.x.iter().enumerate() {
        let pad = if n < 10 { "  " } else { " " };
        let after = if n % 4 == 3 || n == 30 { "\n" } else { "" };
        let _ = write!(out, "  x{n}{pad}{x:016x}{after}");
    }
    let pstate = words::pstate(frame.pstate);
    let _ = writeln!(out, "  PC  {:016x}\n  PSTATE {:#x}: {pstate}", frame.pc, frame.pstate);
    for (name, value) in el1 {
        let _ = write!(out, "  {name:<14} {value:016x}");
        let _ = match name {
            "SPSR_EL1" => writeln!(out, "  {}", words::pstate(value)),
            "ESR_EL1" => writeln!(out, "  {}", words::syndrome(value)),
            "SCTLR_EL1" => writeln!(out, "  {}", words::sctlr(value)),
            _ => writeln!(out),
        };
    }
}

/// A guest's own frames, by x29: each frame record is the caller's x29 and a return address
/// (AAPCS64, 6.4.6).
pub struct Backtrace {
    stage1: Stage1,
    frame: u64,
    x30: u64,
    depth: usize,
}

impl Backtrace {
    /// Begins, with where the vCPU itself is.
    pub fn new(out: &mut String, frame: &Frame, stage1: Stage1) -> Self {
        let _ = writeln!(out, "#0  {:#018x}", frame.pc);
        Self { stage1, frame: frame.gpr(29), x30: frame.gpr(30), depth: 0 }
    }

    /// One more; false at the end. `read` reads a doubleword at an IPA.
    pub fn step(&mut self, out: &mut String, mut read: impl FnMut(u64) -> Option<u64>) -> bool {
        let frame = self.frame;
        self.depth += 1;
        if frame == 0 {
            return false;
        }
        if frame & 7 != 0 || self.depth > DEPTH {
            let _ = match frame & 7 {
                0 => writeln!(out, "(more frames follow)"),
                _ => writeln!(out, "(x29 {frame:#x} is no frame record)"),
            };
            return false;
        }
        let stage1 = self.stage1;
        let mut word = |va: u64| {
            let ipa = stage1.translate(va, &mut read)?;
            read(ipa)
        };
        let (Some(link), Some(back)) = (word(frame.wrapping_add(8)), word(frame)) else {
            let _ = writeln!(out, "(x29 {frame:#x}: nothing is mapped there)");
            return false;
        };
        if self.depth == 1 && self.x30 != 0 && self.x30 != link {
            let x30 = self.plain(self.x30);
            let _ = writeln!(
                out,
                "    (x30 {x30:#018x}: its caller, if it has no frame record, or none yet)"
            );
        }
        if link == 0 {
            return false;
        }
        let _ = writeln!(out, "#{:<2} {:#018x}", self.depth, self.plain(link));
        self.frame = back;
        true
    }

    /// A code address without what FEAT_PAuth signs it with: bit 55 says which half it is in.
    fn plain(&self, address: u64) -> u64 {
        let regime = self.stage1.regime(address).filter(|_| self.stage1.sctlr & 1 != 0);
        let Some(regime) = regime else { return address };
        let above = u64::MAX << regime.bits.min(63);
        if address >> 55 & 1 == 0 { address & !above } else { address | above }
    }
}

/// A line of memory at `ipa`: sixteen bytes at most, as numbers and as characters.
pub fn memory(out: &mut String, ipa: u64, bytes: &[u8]) {
    let _ = write!(out, "{ipa:#012x} ");
    for at in 0..16 {
        let _ = match bytes.get(at) {
            Some(byte) => write!(out, " {byte:02x}"),
            None => write!(out, "   "),
        };
    }
    out.push_str("  |");
    let character = |byte: &u8| if (b' '..=b'~').contains(byte) { char::from(*byte) } else { '.' };
    out.extend(bytes.iter().map(character));
    out.push_str("|\n");
}

#[cfg(test)]
mod tests;
