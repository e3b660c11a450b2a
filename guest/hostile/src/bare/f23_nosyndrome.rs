//! Family 23: accesses to a device for which the CPU gives no syndrome (ESR_EL2.ISV = 0). Those of
//! `probes::isv0`, from each place of execution, and what else accesses memory. It works as on the
//! board, or there is an external abort and no register has changed: never garbage.

use guest_rt::{mrs, uart};
use probes::isv0::{self, Code};
use probes::{check, code};

/// UARTPCellID0: 0d 00 00 00, f0 00 00 00, 05 00 00 00, b1 00 00 00.
const CELL: u64 = uart::BASE as u64 + 0xff0;
const X9: u64 = 0xffff_ffff_0000_0019;
const X11: u64 = 0xffff_ffff_0000_003b;

/// The attack.
pub fn attack() {
    isv0::checks();
    let isar0 = mrs!(ID_AA64ISAR0_EL1);
    let lse = isar0 >> 20 & 0xf != 0;
    let rcpc = mrs!(ID_AA64ISAR1_EL1) >> 20 & 0xf != 0;
    let same = [X9, CELL, X11];
    let read = [0x0d, CELL, X11];
    let pair = [0x0d, CELL, 0xf0];
    // A store exclusive without a monitor stores nothing, and says so.
    let failed = [1, CELL, X11];
    let forms: [(&str, Code, [u64; 3], bool); 31] = [
        ("dc-zva", code!("dc zva, x10"), same, true),
        ("dc-civac", code!("dc civac, x10"), same, true),
        ("dc-cvac", code!("dc cvac, x10"), same, true),
        ("dc-ivac", code!("dc ivac, x10"), same, true),
        ("dc-cvau", code!("dc cvau, x10"), same, true),
        ("ic-ivau", code!("ic ivau, x10"), same, true),
        ("prfm", code!("prfm pldl1keep, [x10]"), same, true),
        ("prfm-store", code!("prfm pstl1strm, [x10]"), same, true),
        ("ldxp", code!("ldxp w9, w11, [x10]", "clrex"), pair, true),
        ("ldaxp", code!("ldaxp w9, w11, [x10]", "clrex"), pair, true),
        ("ldxrb", code!("ldxrb w9, [x10]", "clrex"), read, true),
        ("stxr", code!("clrex", "stxr w9, w11, [x10]"), failed, true),
        ("stlxr", code!("clrex", "stlxr w9, w11, [x10]"), failed, true),
        ("stxp", code!("clrex", "stxp w9, w11, w11, [x10]"), failed, true),
        ("ld1", code!("ld1 {{v0.4s}}, [x10]"), same, true),
        ("ld1-post", code!("ld1 {{v0.4s}}, [x10], #16", "sub x10, x10, #16"), same, true),
        ("ld4", code!("ld4 {{v0.2s, v1.2s, v2.2s, v3.2s}}, [x10]"), same, true),
        ("ld1r", code!("ld1r {{v0.4s}}, [x10]"), same, true),
        ("ld1-lane", code!("ld1 {{v0.s}}[1], [x10]"), same, true),
        ("st1", code!("movi v0.4s, #0", "st1 {{v0.4s}}, [x10]"), same, true),
        ("ldp-q", code!("ldp q0, q1, [x10, #-16]"), same, true),
        ("ldp-d-pre", code!("ldp d0, d1, [x10, #-16]!", "add x10, x10, #16"), same, true),
        ("stp-q", code!("movi v0.4s, #0", "stp q0, q0, [x10, #-16]"), same, true),
        ("ldr-b", code!("ldr b0, [x10]"), same, true),
        ("stadd", code!("stadd wzr, [x10]"), same, lse),
        ("ldset", code!("ldset wzr, w9, [x10]"), read, lse),
        ("ldsmax", code!("ldsmax wzr, w9, [x10]"), read, lse),
        ("ldumin-b", code!("mov w9, #0xff", "lduminb w9, w9, [x10]"), read, lse),
        ("casal", code!("casal w9, w11, [x10]"), read, lse),
        ("swpb", code!("swpb wzr, w9, [x10]"), read, lse),
        ("ldapr", code!(".inst 0xb8bfc149"), read, rcpc),
    ];
    for (name, code, works, exists) in forms {
        if exists {
            one(name, code, works);
        }
    }
    for offset in (0..16).step_by(4) {
        let word = guest_rt::mmio::read32((CELL + offset) as usize);
        let want = [0x0d, 0xf0, 0x05, 0xb1][offset as usize / 4];
        check::equal(&crate::variant!("nosyndrome.device-{offset}"), word, want);
    }
}

fn one(name: &str, code: Code, works: [u64; 3]) {
    let name = crate::variant!("nosyndrome.{name}");
    let before = [X9, CELL, X11];
    let (fault, mut got) = isv0::execute_at(code as *const () as u64, before);
    let Some(fault) = fault else {
        return check::equal(&name, got, works);
    };
    // What the lines around the access do to x9 and x10 is done in any case, and the upper half of
    // x9 may be cleared by them.
    if got[0] == 0xff {
        got[0] = X9;
    }
    let undone = [CELL, CELL - 16, CELL + 16].contains(&got[1]) && got[2] == X11;
    let kept = got[0] == X9 && undone;
    // A maintenance instruction or an atomic says WnR as it likes.
    check::equal(
        &name,
        (fault.esr & !(1 << 6 | 1 << 8), kept, fault.count),
        (0x9600_0010, true, 1),
    );
}
