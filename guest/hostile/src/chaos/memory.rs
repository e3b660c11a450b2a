//! Loads and stores of every form (Arm DDI 0487, C4.1.88), by their fields.

use super::{Stream, pool};

/// The register with the address, and the one with an index.
const BASE: u32 = 9;
const INDEX: u32 = 10;

/// Sets the base register; gives back the field Rn.
fn base(stream: &mut Stream) -> u32 {
    if stream.rng.one_in(24) {
        return 31 << 5; // SP, whatever it is
    }
    let address = pool::address(&mut stream.rng, stream.start, stream.wild);
    stream.set(BASE, address);
    BASE << 5
}

/// A register to load to or to store: not the one that says where to go on, mostly not the base.
fn data(stream: &mut Stream) -> u32 {
    match stream.rng.below(32) as u32 {
        29 => 31,
        BASE if !stream.rng.one_in(4) => 8,
        register => register,
    }
}

/// Loads and stores of general registers.
pub fn general(stream: &mut Stream) {
    let form = stream.rng.below(12);
    access(stream, form, 0);
}

/// Loads and stores of SIMD and FP registers.
pub fn simd(stream: &mut Stream) {
    let form = stream.rng.below(16);
    if form < 12 {
        return access(stream, form, 1 << 26);
    }
    let rn = base(stream);
    let rng = &mut stream.rng;
    let (q, load, post) = (rng.bits(1) << 30, rng.bits(1) << 22, rng.bits(1) << 23);
    let rm = if post != 0 { rng.of(&[INDEX, 31, 31]) << 16 } else { 0 };
    let fields = q | load | post | rm | rn | rng.bits(5);
    let word = if form < 14 {
        // LD1 to LD4, ST1 to ST4, of whole registers.
        let opcode = rng.of(&[0, 2, 4, 6, 7, 8, 10, 13]);
        0x0c00_0000 | fields | opcode << 12 | rng.bits(2) << 10
    } else {
        // Of one element, or of one to all.
        0x0d00_0000 | fields | rng.bits(1) << 21 | rng.bits(6) << 10
    };
    stream.push(word);
}

/// The forms that both files of registers have; `simd` is V, bit 26.
fn access(stream: &mut Stream, form: u64, simd: u32) {
    let rn = base(stream);
    let rt = if simd != 0 { stream.rng.bits(5) } else { data(stream) };
    let rng = &mut stream.rng;
    let (size, opc) = (rng.bits(2) << 30, rng.bits(2) << 22);
    let word = match form {
        // Unsigned offset; PRFM is among them.
        0..3 => 0x3900_0000 | size | opc | rng.of(&[0, 0, 1, 2, 0xfff]) << 10 | rn,
        // Unscaled, post-indexed, unprivileged, pre-indexed.
        3..6 => 0x3800_0000 | size | opc | rng.bits(9) << 12 | rng.bits(2) << 10 | rn,
        // Register offset.
        6..8 => {
            let index = rng.of(&[0, 1, 8, 0x1000, !0, !7, 0xffff_fff8, 1 << 63]);
            stream.set(INDEX, index);
            let rng = &mut stream.rng;
            let option = rng.of(&[2, 3, 6, 7]) << 13 | rng.bits(1) << 12;
            0x3820_0800 | size | opc | INDEX << 16 | option | rn
        }
        // Pairs: no-allocate, post-indexed, offset, pre-indexed.
        8..11 => {
            let (mode, load) = (rng.bits(2) << 23, rng.bits(1) << 22);
            let offset = rng.of(&[0, 0, 1, 0x7f, 0x40, 0x3f]) << 15;
            let second = rng.of(&[0, 3, 8, 11, 31]) << 10;
            0x2800_0000 | size | mode | load | offset | second | rn
        }
        // A literal of the stream's own.
        _ => 0x1800_0000 | size | rng.bits(6) << 5,
    };
    stream.push(word | simd | rt);
}

/// Exclusive, ordered and atomic accesses.
pub fn atomic(stream: &mut Stream) {
    let form = stream.rng.below(8);
    let rn = base(stream);
    let (rt, rs) = (data(stream), data(stream) << 16);
    let rng = &mut stream.rng;
    let size = rng.bits(2) << 30;
    let word = match form {
        // LDXR, STXR, LDXP, STXP, LDAR, STLR, CAS, CASP: o2, L, o1, o0.
        0..4 => {
            let rt2 = rng.of(&[31, 31, 11]) << 10;
            0x0800_0000 | size | rng.bits(3) << 21 | rng.bits(1) << 15 | rs | rt2 | rn
        }
        // LDADD to LDUMIN, SWP, LDAPR: A, R, o3, opc.
        4..7 => 0x3820_0000 | size | rng.bits(2) << 22 | rng.bits(4) << 12 | rs | rn,
        // LDAPUR, STLUR.
        _ => 0x1900_0000 | size | rng.bits(2) << 22 | rng.bits(9) << 12 | rn,
    };
    stream.push(word | rt);
}
