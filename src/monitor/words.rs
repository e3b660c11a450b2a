//! Registers and descriptors in words: the same that gdb's commands say (`scripts/gdb/mz`).

use alloc::string::String;
use core::fmt::{self, Display, Write};

use crate::exit::esr::{Esr, Report};
use crate::memory::walk::{Regime, Step};

/// Names of the bits that are set in `value`, each after `before`.
fn flags(
    f: &mut fmt::Formatter<'_>,
    before: &str,
    value: u64,
    names: &[(u32, &str)],
) -> fmt::Result {
    let set = names.iter().filter(|(bit, _)| value >> bit & 1 != 0);
    set.into_iter().try_for_each(|(_, name)| write!(f, "{before}{name}"))
}

/// One of several words, by the bits of `value` from `low` on.
fn choice<const N: usize>(value: u64, low: u32, words: [&'static str; N]) -> &'static str {
    words.get((value >> low) as usize & (N - 1)).copied().unwrap_or_default()
}

/// PSTATE.M: `EL1h`.
pub fn level(pstate: u64) -> impl Display {
    fmt::from_fn(move |f| match (pstate >> 4 & 1, pstate >> 2 & 3) {
        (1, 0) if pstate & 0xf == 0 => f.write_str("EL0 (AArch32)"),
        (1, _) => write!(f, "AArch32 mode {:#x}", pstate & 0x1f),
        (_, 0) => f.write_str("EL0"),
        (_, level) => write!(f, "EL{level}{}", choice(pstate, 0, ["t", "h"])),
    })
}

/// PSTATE as SPSR_ELx has it: level, flags (capital where set), masks, and what is rare.
pub fn pstate(pstate: u64) -> impl Display {
    fmt::from_fn(move |f| {
        let (n, z) = (choice(pstate, 31, ["n", "N"]), choice(pstate, 30, ["z", "Z"]));
        let (c, v) = (choice(pstate, 29, ["c", "C"]), choice(pstate, 28, ["v", "V"]));
        let aarch32 = pstate >> 4 & 1 != 0;
        // In AArch32 bit 9 is E.
        let masked = pstate & if aarch32 { 0x1c0 } else { 0x3c0 };
        let words = if masked == 0 { "nothing masked" } else { "masked " };
        write!(f, "{}, {n}{z}{c}{v}, {words}", level(pstate))?;
        flags(f, "", masked, &[(9, "D"), (8, "A"), (7, "I"), (6, "F")])?;
        flags(f, ", ", pstate, &[(21, "SS"), (20, "IL")])?;
        let rare = if aarch32 { 0 } else { pstate };
        flags(f, ", ", rare, &[(23, "UAO"), (22, "PAN"), (12, "SSBS")])
    })
}

/// SCTLR_EL1: what matters to an access.
pub fn sctlr(value: u64) -> impl Display {
    fmt::from_fn(move |f| {
        let on = |bit| choice(value, bit, ["off", "on"]);
        write!(f, "MMU {}, data cache {}, instruction cache {}", on(0), on(2), on(12))?;
        let names = [(1, "A"), (3, "SA"), (4, "SA0"), (19, "WXN"), (24, "E0E"), (25, "EE")];
        flags(f, ", ", value, &names)
    })
}

/// CNTV_CTL_EL0: ENABLE, IMASK, ISTATUS.
pub fn timer(ctl: u64) -> &'static str {
    let on = ["on, not due yet", "on, masked, not due yet", "on, due", "on, masked, due"];
    if ctl & 1 == 0 { "off" } else { choice(ctl, 1, on) }
}

/// A syndrome that stands alone: without the address that FAR_ELx would have.
pub fn syndrome(esr: u64) -> impl Display {
    fmt::from_fn(move |f| write!(f, "{:#}", Report { esr: Esr::new(esr), far: 0, hpfar: 0 }))
}

/// 2^`bits` bytes.
pub fn size(bits: u8) -> impl Display {
    fmt::from_fn(move |f| match bits {
        30.. => write!(f, "{} GiB", 1u64 << (bits - 30).min(63)),
        20.. => write!(f, "{} MiB", 1 << (bits - 20)),
        10.. => write!(f, "{} KiB", 1 << (bits - 10)),
        _ => write!(f, "{} bytes", 1 << bits),
    })
}

/// Which translation a descriptor is of.
#[derive(Clone, Copy)]
pub enum Stage {
    /// The guest's, with MAIR_EL1.
    One(u64),
    /// EL2's.
    Two,
}

const DEVICE: [&str; 4] = ["nGnRnE", "nGnRE", "nGRE", "GRE"];
/// Of stage 2.
const NORMAL: [&str; 4] = ["reserved", "non-cacheable", "write-through", "write-back"];
const SH: [&str; 4] =
    ["non-shareable", "reserved shareability", "outer shareable", "inner shareable"];

/// A line for a step of a walk. Where memory has it elsewhere than the tables say, `pa` is where.
pub fn step(out: &mut String, regime: &Regime, stage: Stage, step: &Step, pa: Option<u64>) {
    let Step { level, at, descriptor } = *step;
    let _ = write!(out, "level {level}  {at:#x}");
    if let Some(pa) = pa {
        let _ = write!(out, " (PA {pa:#x})");
    }
    let words = fmt::from_fn(|f| describe(f, regime, stage, level, descriptor));
    let _ = writeln!(out, ": {descriptor:#018x}  {words}");
}

/// A descriptor in words (D8.3).
fn describe(
    f: &mut fmt::Formatter<'_>,
    regime: &Regime,
    stage: Stage,
    level: u8,
    descriptor: u64,
) -> fmt::Result {
    if let Some(table) = regime.table(level, descriptor) {
        write!(f, "table at {table:#x}")?;
        let attributes = if matches!(stage, Stage::One(_)) { descriptor } else { 0 };
        let names = [
            (63, "NSTable"),
            (62, "APTable: read-only"),
            (61, "APTable: not for EL0"),
            (60, "UXNTable"),
            (59, "PXNTable"),
        ];
        return flags(f, ", ", attributes, &names);
    }
    let Some(output) = regime.leaf(level, descriptor) else {
        let why = if descriptor & 1 == 0 { "invalid" } else { "reserved encoding" };
        return write!(f, "{why}: translation fault level {level}");
    };
    let kind = if level == 3 { "page" } else { "block" };
    write!(f, "{kind} of {} to {output:#x}, ", size(regime.shift(level)))?;
    match stage {
        Stage::One(mair) => stage1(f, descriptor, mair)?,
        Stage::Two => stage2(f, descriptor)?,
    }
    write!(f, ", {}", choice(descriptor, 8, SH))?;
    match descriptor >> 10 & 1 {
        0 => write!(f, ", AF 0: access flag fault level {level}")?,
        _ => f.write_str(", AF")?,
    }
    flags(f, ", ", descriptor, &[(52, "contiguous")])
}

/// AttrIndx by MAIR_EL1, AP, nG, DBM, PXN and UXN.
fn stage1(f: &mut fmt::Formatter<'_>, descriptor: u64, mair: u64) -> fmt::Result {
    let index = descriptor >> 2 & 7;
    let attribute = mair >> (8 * index);
    write!(f, "AttrIndx {index} ")?;
    // Outer and inner alike (D24.2, "MAIR_EL1"): 0b0100 is non-cacheable; bit 3 is for good, without
    // it for a while, and bit 2 is write-back.
    let normal = |field| match field {
        4 => "non-cacheable",
        _ => choice(
            field,
            2,
            ["write-through transient", "write-back transient", "write-through", "write-back"],
        ),
    };
    match (attribute >> 4 & 0xf, attribute & 0xf) {
        (0, inner) if inner & 3 != 0 => f.write_str("reserved")?,
        (0, _) => write!(f, "Device-{}", choice(attribute, 2, DEVICE))?,
        (outer, inner) => both(f, normal(outer), normal(inner))?,
    }
    let access = [
        "EL1 read/write, EL0 none",
        "EL1 and EL0 read/write",
        "EL1 read-only, EL0 none",
        "EL1 and EL0 read-only",
    ];
    write!(f, ", {}", choice(descriptor, 6, access))?;
    flags(f, ", ", descriptor, &[(11, "nG"), (51, "DBM"), (53, "PXN"), (54, "UXN")])
}

/// MemAttr, S2AP and XN.
fn stage2(f: &mut fmt::Formatter<'_>, descriptor: u64) -> fmt::Result {
    match (descriptor >> 4 & 3, descriptor >> 2 & 3) {
        (0, _) => write!(f, "Device-{}", choice(descriptor, 2, DEVICE))?,
        (outer, inner) => both(f, choice(outer, 0, NORMAL), choice(inner, 0, NORMAL))?,
    }
    let access = choice(descriptor, 6, ["no access", "read-only", "write-only", "read/write"]);
    write!(f, ", S2AP {access}")?;
    // XN, bits 54:53; bit 53 with FEAT_XNX only.
    f.write_str(choice(descriptor, 53, ["", ", PXN", ", XN", ", UXN"]))
}

fn both(f: &mut fmt::Formatter<'_>, outer: &str, inner: &str) -> fmt::Result {
    if outer == inner {
        return write!(f, "Normal {outer}");
    }
    write!(f, "Normal inner {inner}, outer {outer}")
}

/// The fields of a register that has this value, each by its lowest bit, what it was made to be
/// (`u64::MAX`: the CPU decides), its name, and why. One ends where the next begins; what is between
/// them is RES0.
pub fn fields(out: &mut String, value: u64, fields: &[(u32, u64, &str, &str)]) {
    let ends = fields.iter().skip(1).map(|(low, ..)| *low).chain([64]);
    for (&(low, stated, name, why), end) in fields.iter().zip(ends) {
        let found = value >> low & u64::MAX >> (64 - end.saturating_sub(low)).min(63);
        let _ = write!(out, "  bit {low:<2}  {name:<8} {found:#x}");
        if stated != found && stated != u64::MAX {
            let _ = write!(out, " (stated {stated:#x})");
        }
        let _ = writeln!(out, "  {why}");
    }
}

#[cfg(test)]
mod tests;
