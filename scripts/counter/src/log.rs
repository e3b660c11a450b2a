//! What was marked, and when, a line each, in the order in which it came. Counts are those of the
//! instructions ahead of it.
//!
//! | line | what it says |
//! |---|---|
//! | `mark N cpu=C all=A el2=E` | a guest executed `hint #N`, N from 64 on: a NOP of the architecture |
//! | `visit VECTOR el2=E` | a CPU came to EL2 by the vector at this offset of the table, and left it by an ERET after E instructions |
//! | `first OFFSET all=A el2=E` | the instruction at this offset of the image was executed for the first time |
//! | `guest all=A el2=E` | the first instruction elsewhere, since all the `first` ones were |
//!
//! Visits are counted right with one CPU only: what EL2 does on another is not told apart.

use crate::{Wanted, counts, qemu::Instruction};
use std::{
    ffi::{c_uint, c_void},
    fmt::Write,
    sync::{
        Mutex,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
};

static TEXT: Mutex<String> = Mutex::new(String::new());

/// All that was logged.
pub fn text() -> String {
    TEXT.lock().map(|text| text.clone()).unwrap_or_default()
}

fn line(arguments: std::fmt::Arguments) {
    if let Ok(mut text) = TEXT.lock() {
        let _ = writeln!(text, "{arguments}");
    }
}

/// Vectors that exceptions from a lower level take: from this offset of the table on.
const FROM_BELOW: u64 = 0x400;
/// One vector.
const VECTOR: u64 = 0x80;
/// The whole table.
const TABLE: u64 = 0x800;
const ERET: u32 = 0xd69f_03e0;
/// HINT with an operand of 0 (Arm DDI 0487, C6.2); the operand is in bits 11:5.
const HINT: u32 = 0xd503_201f;
/// Hints that no version of the architecture has given a meaning to yet.
const MARKS: std::ops::RangeInclusive<u32> = 64..=127;

/// Looks at an instruction of EL2, at an offset of its image.
pub fn in_el2(wanted: &Wanted, instruction: &Instruction, offset: u64) {
    if wanted.first.contains(&offset) {
        instruction.call(first, offset);
    }
    let Some(vectors) = wanted.vectors else { return };
    let in_table = offset.wrapping_sub(vectors);
    if (FROM_BELOW..TABLE).contains(&in_table) && in_table.is_multiple_of(VECTOR) {
        instruction.call(entered, in_table);
    }
    if instruction.word() == ERET {
        instruction.call(left, 0);
    }
}

/// Looks at an instruction that is not EL2's.
pub fn elsewhere(wanted: &Wanted, instruction: &Instruction) {
    if wanted.log.is_none() {
        return;
    }
    let word = instruction.word();
    let number = word >> 5 & 127;
    if word & !(127 << 5) == HINT && MARKS.contains(&number) {
        instruction.call(mark, number.into());
    }
    if !wanted.first.is_empty() && !GUEST.load(Ordering::Relaxed) {
        instruction.call(guest, 0);
    }
}

extern "C" fn mark(cpu: c_uint, number: *mut c_void) {
    let [all, el2] = counts();
    line(format_args!("mark {} cpu={cpu} all={all} el2={el2}", number.addr()));
}

/// How many of the instructions that `first=` names were executed.
static FOUND: Mutex<Vec<u64>> = Mutex::new(Vec::new());

extern "C" fn first(_: c_uint, offset: *mut c_void) {
    let Ok(mut found) = FOUND.lock() else { return };
    let offset = offset.addr() as u64;
    if !found.contains(&offset) {
        found.push(offset);
        let [all, el2] = counts();
        line(format_args!("first {offset} all={all} el2={el2}"));
    }
}

static GUEST: AtomicBool = AtomicBool::new(false);

extern "C" fn guest(_: c_uint, _: *mut c_void) {
    let all_found = FOUND.lock().is_ok_and(|found| found.len() == crate::wanted().first.len());
    if all_found && !GUEST.swap(true, Ordering::Relaxed) {
        let [all, el2] = counts();
        line(format_args!("guest all={all} el2={el2}"));
    }
}

/// The vector of the visit that is going on, and EL2's instructions before it.
static VISIT: [AtomicU64; 2] = [const { AtomicU64::new(0) }; 2];

extern "C" fn entered(_: c_uint, vector: *mut c_void) {
    let [_, el2] = counts();
    VISIT[0].store(vector.addr() as u64, Ordering::Relaxed);
    VISIT[1].store(el2, Ordering::Relaxed);
}

extern "C" fn left(_: c_uint, _: *mut c_void) {
    let [vector, before] = [&VISIT[0], &VISIT[1]].map(|one| one.load(Ordering::Relaxed));
    // The first time a CPU leaves EL2 it had not come there.
    if vector != 0 {
        let [_, el2] = counts();
        line(format_args!("visit {vector} el2={}", el2 + 1 - before));
    }
}
