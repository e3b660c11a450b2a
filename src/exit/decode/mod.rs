//! Loads and stores of general registers, read from the instruction: for aborts that come without
//! a syndrome (ESR_ELx.ISV = 0).
//!
//! The encodings are those of Arm DDI 0487 C4.1, "Loads and Stores": bits 27 and 25 are 1 and 0,
//! bit 26 (V) chooses the SIMD and FP registers, and bits 29:28 and 24 what is here the group:
//!
//! ```text
//!  31 30 29 28 27 26 25 24 23 22 21 20    16 15      10 9   5 4   0
//! |size |group|1 |0 |0 |  |opc  |                       | Rn  | Rt  |
//! ```
//!
//! All of them are here, with and without acquire and release, except for what no device on the
//! board would answer sensibly either or no driver uses: exclusives and atomics (a device has no
//! monitor), SIMD and FP registers, PRFM (which never faults), pointer authentication (LDRAA),
//! FEAT_LRCPC3's and FEAT_LS64's. [`decode`] gives `None` for these.
//!
//! Where the manual lets the CPU choose (CONSTRAINED UNPREDICTABLE, K1.2), the base is written back
//! first: a load with writeback into its own base leaves the loaded value there, and a store with
//! writeback of its own base stores the new one. A load of a pair into one register leaves the
//! second value there. Fields that should be ones or zeros are not looked at.

use super::esr::Access;
use crate::vm::Frame;

/// A load or store of one general register or two, with its operands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LoadStore {
    /// What is accessed, from the address on.
    pub access: Access,
    /// The virtual address, with its tag if there is one.
    pub address: u64,
    /// The base register, where 31 is SP, and what it becomes.
    pub writeback: Option<(u8, u64)>,
}

/// The instruction adds the offset to the base register afterwards: bits 11:10, or bits 24:23 of a
/// pair.
const POST_INDEX: u32 = 0b01;
/// It does so before.
const PRE_INDEX: u32 = 0b11;
/// It doesn't: the base register stays.
const NO_INDEX: u32 = 0b00;

/// Decodes the A64 instruction `word` of a vCPU with these registers, `sp` being the stack pointer
/// that it uses. `None` for everything that is not one of the module's loads and stores.
pub fn decode(word: u32, frame: &Frame, sp: u64) -> Option<LoadStore> {
    if bits(word, 27, 25) != 0b100 {
        return None;
    }
    let n = bits(word, 9, 5) as u8;
    let mut base = if n == 31 { sp } else { frame.gpr(n) };
    let (opc, size, index) = (bits(word, 23, 22), bits(word, 31, 30), bits(word, 11, 10));
    let unscaled = signed(word, 20, 12);
    let single = |opc| access(word, size, opc);
    let (access, offset, index) = match (bits(word, 29, 28), bits(word, 24, 24)) {
        // LDAR, STLR, LDLAR, STLLR. Bits 23 and 21 are otherwise in exclusives and in CAS.
        (0b00, 0) if bits(word, 23, 21) & 0b101 == 0b100 => (single(opc & 1)?, 0, NO_INDEX),
        // LDR and LDRSW from near the PC.
        (0b01, 0) => {
            base = frame.pc;
            (literal(word)?, signed(word, 23, 5) << 2, NO_INDEX)
        }
        // LDAPUR, STLUR. The other values are FEAT_MOPS's, FEAT_MTE's and FEAT_LRCPC3's.
        (0b01, 1) if bits(word, 21, 21) | index == 0 => (single(opc)?, unscaled, NO_INDEX),
        (0b10, _) => {
            let access = pair(word)?;
            (access, signed(word, 21, 15) << access.bytes().trailing_zeros(), bits(word, 24, 23))
        }
        // LDUR, STUR; LDTR, STTR; post- and pre-index.
        (0b11, 0) if bits(word, 21, 21) == 0 => (single(opc)?, unscaled, index),
        (0b11, 0) if index == 0b10 => (single(opc)?, extended(word, frame)?, NO_INDEX),
        // LDAPR, among the atomics.
        (0b11, 0) if index == 0 && opc == 0b10 && bits(word, 15, 12) == 0b1100 => {
            (single(0b01)?, 0, NO_INDEX)
        }
        (0b11, 1) => (single(opc)?, u64::from(bits(word, 21, 10)) << size, NO_INDEX),
        _ => return None,
    };
    let sum = base.wrapping_add(offset);
    let (address, writeback) = match index {
        POST_INDEX => (base, Some((n, sum))),
        PRE_INDEX => (sum, Some((n, sum))),
        _ => (sum, None),
    };
    Some(LoadStore { access, address, writeback })
}

/// Whether the instruction is one that may abort for data at all: a load, a store, or SYS (DC).
pub const fn accesses_memory(word: u32) -> bool {
    word & 0x0a00_0000 == 0x0800_0000 || word & 0xfff8_0000 == 0xd508_0000
}

/// How many bytes `address` lies behind `from`, modulo 2^64; modulo 2^56 where `tcr`, TCR_EL1,
/// says by TBI0 or TBI1 that bits 63:56 are no part of the address but a tag.
pub const fn distance(from: u64, address: u64, tcr: u64) -> u64 {
    let upper_half = address >> 55 & 1;
    let ignored = 8 * (tcr >> (37 + upper_half) & 1);
    address.wrapping_sub(from) << ignored >> ignored
}

/// Bits `high:low` of an instruction.
const fn bits(word: u32, high: u32, low: u32) -> u32 {
    word << (31 - high) >> (31 - high + low)
}

/// The same as a signed number.
const fn signed(word: u32, high: u32, low: u32) -> u64 {
    ((word << (31 - high)) as i32 >> (31 - high + low)) as u64
}

/// One register, with the binary logarithm of its size, and its direction and extension in `opc`.
fn access(word: u32, size: u32, opc: u32) -> Option<Access> {
    let (sign, sixty_four) = match (opc, size) {
        (0b00 | 0b01, _) => (false, size == 3),
        (0b10, 0..=2) => (true, true),
        (0b11, 0..=1) => (true, false),
        // PRFM, or unallocated.
        _ => return None,
    };
    Some(Access::new(size, sign, bits(word, 4, 0), sixty_four, opc == 0))
}

/// LDR of a word or doubleword, LDRSW.
fn literal(word: u32) -> Option<Access> {
    match bits(word, 31, 30) {
        0b00 => access(word, 2, 0b01),
        0b01 => access(word, 3, 0b01),
        0b10 => access(word, 2, 0b10),
        // PRFM.
        _ => None,
    }
}

/// LDP, STP, LDPSW, and without allocation LDNP and STNP.
fn pair(word: u32) -> Option<Access> {
    let load = bits(word, 22, 22);
    let first = match bits(word, 31, 30) {
        0b00 => access(word, 2, load),
        // As a store it is FEAT_MTE's STGP, and without allocation nothing.
        0b01 if load == 1 && bits(word, 24, 23) != 0b00 => access(word, 2, 0b10),
        0b10 => access(word, 3, load),
        _ => None,
    };
    Some(first?.pair(bits(word, 14, 10)))
}

/// The offset in Xm or Wm, extended as bits 15:13 say and shifted by the size if bit 12 says so.
fn extended(word: u32, frame: &Frame) -> Option<u64> {
    let value = frame.gpr(bits(word, 20, 16) as u8);
    let shift = bits(word, 12, 12) * bits(word, 31, 30);
    let value = match bits(word, 15, 13) {
        0b010 => u64::from(value as u32),
        0b110 => value as i32 as u64,
        0b011 | 0b111 => value,
        // Bytes and halfwords are no addresses: unallocated.
        _ => return None,
    };
    Some(value << shift)
}

#[cfg(test)]
mod tests;
