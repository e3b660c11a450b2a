//! The decoder against an independent one (the crate disarm64, whose tables come from binutils'),
//! over every encoding class, and what it computes against the manual's pseudocode by hand.

mod independent;

use proptest::prelude::*;
use std::string::{String, ToString};
use std::vec::Vec;

use super::{LoadStore, accesses_memory, distance};
use crate::exit::esr::Access;
use crate::vm::Frame;
use independent::{SP, disassembled, frame, read, with_ones};

fn decode(word: u32) -> Option<LoadStore> {
    super::decode(word, &frame(), SP)
}

/// Compares the two decoders; returns what both say.
fn agreed(word: u32) -> Option<LoadStore> {
    let line = disassembled(word);
    let (ours, theirs) = (decode(word), read(&line));
    assert_eq!(ours, theirs, "{word:#010x} {line:?}");
    assert!(ours.is_none() || accesses_memory(word), "{word:#010x} {line:?}");
    ours
}

/// Every value of bits 31:21 and 15:10, which tell all classes apart, with a few values of the
/// registers and immediates for each.
#[test]
fn every_class_is_decoded_as_by_the_independent_decoder() {
    let fields: &[u32] = if cfg!(miri) { &[0x001f_03ff] } else { &[0, 0x001f_03ff, 0x0012_0167] };
    let stride = if cfg!(miri) { 2003 } else { 1 };
    let mut forms = std::collections::BTreeMap::<String, u32>::new();
    for class in (0..1u32 << 17).step_by(stride) {
        for field in fields {
            let word = class >> 6 << 21 | (class & 0x3f) << 10 | field;
            assert_eq!(decode(word), decode(with_ones(word)), "{word:#010x}");
            if agreed(with_ones(word)).is_some() {
                let line = disassembled(with_ones(word));
                let mnemonic = line.split_whitespace().next().unwrap_or_default();
                *forms.entry(mnemonic.to_string()).or_default() += 1;
            }
        }
    }
    // Each mnemonic of the list, with every suffix that it has.
    if !cfg!(miri) {
        let names: Vec<&str> = forms.keys().map(String::as_str).collect();
        let wanted = "ldapr ldaprb ldaprh ldapur ldapurb ldapurh ldapursb ldapursh ldapursw \
            ldar ldarb ldarh ldlar ldlarb ldlarh ldnp ldp ldpsw ldr ldrb ldrh ldrsb ldrsh ldrsw \
            ldtr ldtrb ldtrh ldtrsb ldtrsh ldtrsw ldur ldurb ldurh ldursb ldursh ldursw \
            stllr stllrb stllrh stlr stlrb stlrh stlur stlurb stlurh stnp stp str strb strh \
            sttr sttrb sttrh stur sturb sturh";
        assert_eq!(names, wanted.split_whitespace().collect::<Vec<_>>());
    }
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: if cfg!(miri) { 8 } else { 4096 },
        failure_persistence: None,
        ..ProptestConfig::default()
    })]

    /// Any word; and any word made a load or store.
    #[test]
    fn any_word_is_decoded_as_by_the_independent_decoder(word: u32) {
        agreed(with_ones(word));
        agreed(with_ones(word & !0x0600_0000 | 0x0800_0000));
    }
}

/// The word of each line, made by an assembler.
#[test]
fn lines_of_an_assembler() {
    let lines: &[(u32, &str)] = &[
        (0x2940_2d49, "ldp w9, w11, [x10]"),
        (0x28c1_2d49, "ldp w9, w11, [x10], #8"),
        (0xa9bf_7bfd, "stp x29, x30, [sp, #-16]!"),
        (0x69ff_ad49, "ldpsw x9, x11, [x10, #-4]!"),
        (0x2800_2d49, "stnp w9, w11, [x10]"),
        (0x3880_4549, "ldrsb x9, [x10], #4"),
        (0x38c0_4549, "ldrsb w9, [x10], #4"),
        (0x7940_0549, "ldrh w9, [x10, #2]"),
        (0xb86b_d949, "ldr w9, [x10, w11, sxtw #2]"),
        (0xf85f_8d5f, "ldr xzr, [x10, #-8]!"),
        (0x5800_0049, "ldr x9, 0x8"),
        (0x98ff_ffe9, "ldrsw x9, 0xfffffffffffffffc"),
        (0xf800_0949, "sttr x9, [x10]"),
        (0xc89f_fd49, "stlr x9, [x10]"),
    ];
    for (word, line) in lines {
        let insn = decode(*word);
        assert!(insn.is_some(), "{line}");
        assert_eq!(insn, read(line), "{line}");
    }
}

#[test]
fn what_is_not_emulated_is_not_decoded_but_known_to_access_memory() {
    let others: &[(u32, &str)] = &[
        (0x885f_7d49, "ldxr w9, [x10]"),
        (0x8809_7d4b, "stxr w9, w11, [x10]"),
        (0x887f_2d49, "ldxp w9, w11, [x10]"),
        (0x88a9_7d4b, "cas w9, w11, [x10]"),
        (0xb820_0149, "ldadd w0, w9, [x10]"),
        (0xb8a0_8149, "swpa w0, w9, [x10]"),
        (0xbd40_0140, "ldr s0, [x10]"),
        (0x3dc0_0140, "ldr q0, [x10]"),
        (0xad00_0540, "stp q0, q1, [x10]"),
        (0x1c00_0040, "ldr s0, 0x8"),
        (0x0c40_7140, "ld1 {v0.8b}, [x10]"),
        (0xf980_0140, "prfm pldl1keep, [x10]"),
        (0xf820_0549, "ldraa x9, [x10]"),
        (0xd920_0949, "stg x9, [x10]"),
        (0x6900_2d49, "stgp x9, x11, [x10]"),
        (0x1902_0440, "cpyfp [x0]!, [x2]!, x2!"),
        (0xf83f_d149, "ld64b x9, [x10]"),
        (0xd94b_1949, "ldiapp x9, x11, [x10]"),
        (0xd50b_742a, "dc zva, x10"),
    ];
    for (word, line) in others {
        assert_eq!(decode(*word), None, "{line}");
        assert!(accesses_memory(*word), "{line}");
    }
    // NOP, RET, ADD, MRS, SVC, UDF: nothing that can have caused a data abort.
    for word in [0xd503_201f, 0xd65f_03c0, 0x8b01_0000, 0xd538_0000, 0xd400_0001, 0] {
        assert_eq!(decode(word), None, "{word:#x}");
        assert!(!accesses_memory(word), "{word:#x}");
    }
}

#[test]
fn an_access_is_what_a_syndrome_would_have_said() {
    let access = |word| decode(word).map(|insn| insn.access);
    // ldrsb w9, [x10], #4: one byte, with the sign, into a W register.
    let Some(byte) = access(0x38c0_4549) else { panic!("not decoded") };
    assert_eq!(byte.loaded(0xf0), 0xffff_fff0);
    assert_eq!((byte.bytes(), byte.rt(), byte.write()), (1, 9, false));
    // stp w9, w11, [x10]: the second like the first.
    let Some(first) = access(0x2900_2d49) else { panic!("not decoded") };
    assert_eq!((first.bytes(), first.rt(), first.write(), first.all_bytes()), (4, 9, true, 8));
    assert_eq!(first.second(), Some(Access::new(2, false, 11, false, true)));
    assert_eq!(byte.second(), None);
    // In big-endian order, both of them.
    let Some(second) = first.in_order(true).second() else { panic!("no second") };
    assert_eq!(
        (first.stored(0x1_2345_6789), second.stored(0x1_2345_6789)),
        (0x2345_6789, 0x8967_4523)
    );
    assert_eq!(byte.in_order(true).loaded(0xf0), 0xffff_fff0);
    let long = Access::new(3, false, 0, true, false).in_order(true);
    assert_eq!(long.loaded(0x0102_0304_0506_0708), 0x0807_0605_0403_0201);
    let half = Access::new(1, true, 0, true, false).in_order(true);
    assert_eq!(half.loaded(0x01f0), 0xffff_ffff_ffff_f001);
}

#[test]
fn a_tag_is_no_part_of_an_address_where_tcr_says_so() {
    let (tbi0, tbi1) = (1 << 37, 1 << 38);
    let (low, high) = (0x0000_0000_0900_0000, 0xffff_ff80_0900_0000);
    assert_eq!(distance(low, low + 4, 0), 4);
    assert_eq!(distance(low + 4, low, 0), 4u64.wrapping_neg());
    assert_eq!(distance(low | 0x5a << 56, low + 4, tbi0), 4);
    assert_ne!(distance(low | 0x5a << 56, low + 4, tbi1), 4);
    assert_eq!(distance(high & !(0xff << 56), high + 4, tbi1), 4);
    assert_ne!(distance(high & !(0xff << 56), high + 4, tbi0), 4);
    // Bit 55 is no part of a tag.
    assert_ne!(distance(low | 1 << 55, low, tbi0 | tbi1), 0);
}
