//! System registers and instructions, calls, exceptions and their returns.

use super::{END, PARK, Stream, pool};

/// The register with the value.
const VALUE: u32 = 8;
/// The one that says where the stream goes on when it has gone astray.
const RESUME: u32 = 29;

const MRS: u32 = 0xd530_0000;
const MSR: u32 = 0xd510_0000;

/// The fields of an encoding: op0 is 2 or 3.
const fn encoding(op0: u32, op1: u32, crn: u32, crm: u32, op2: u32) -> u32 {
    (op0 & 1) << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5
}

/// Registers that are there, or trapped, or were trouble in other hypervisors.
const KNOWN: [u32; 66] = [
    encoding(3, 0, 1, 0, 1),   // ACTLR_EL1
    encoding(3, 0, 1, 0, 2),   // CPACR_EL1
    encoding(3, 0, 4, 0, 0),   // SPSR_EL1
    encoding(3, 0, 4, 0, 1),   // ELR_EL1
    encoding(3, 0, 4, 1, 0),   // SP_EL0
    encoding(3, 0, 4, 6, 0),   // ICC_PMR_EL1
    encoding(3, 0, 5, 2, 0),   // ESR_EL1
    encoding(3, 0, 5, 3, 0),   // ERRIDR_EL1
    encoding(3, 0, 5, 4, 1),   // ERXCTLR_EL1
    encoding(3, 0, 6, 0, 0),   // FAR_EL1
    encoding(3, 0, 7, 4, 0),   // PAR_EL1
    encoding(3, 0, 10, 4, 3),  // LORC_EL1
    encoding(3, 0, 12, 1, 0),  // ISR_EL1
    encoding(3, 0, 12, 1, 1),  // DISR_EL1
    encoding(3, 0, 12, 8, 0),  // ICC_IAR0_EL1
    encoding(3, 0, 12, 8, 1),  // ICC_EOIR0_EL1
    encoding(3, 0, 12, 8, 2),  // ICC_HPPIR0_EL1
    encoding(3, 0, 12, 8, 3),  // ICC_BPR0_EL1
    encoding(3, 0, 12, 8, 4),  // ICC_AP0R0_EL1
    encoding(3, 0, 12, 9, 0),  // ICC_AP1R0_EL1
    encoding(3, 0, 12, 11, 1), // ICC_DIR_EL1
    encoding(3, 0, 12, 11, 3), // ICC_RPR_EL1
    encoding(3, 0, 12, 11, 5), // ICC_SGI1R_EL1
    encoding(3, 0, 12, 11, 6), // ICC_ASGI1R_EL1
    encoding(3, 0, 12, 11, 7), // ICC_SGI0R_EL1
    encoding(3, 0, 12, 12, 0), // ICC_IAR1_EL1
    encoding(3, 0, 12, 12, 1), // ICC_EOIR1_EL1
    encoding(3, 0, 12, 12, 2), // ICC_HPPIR1_EL1
    encoding(3, 0, 12, 12, 3), // ICC_BPR1_EL1
    encoding(3, 0, 12, 12, 4), // ICC_CTLR_EL1
    encoding(3, 0, 12, 12, 5), // ICC_SRE_EL1
    encoding(3, 0, 12, 12, 6), // ICC_IGRPEN0_EL1
    encoding(3, 0, 12, 12, 7), // ICC_IGRPEN1_EL1
    encoding(3, 0, 13, 0, 1),  // CONTEXTIDR_EL1
    encoding(3, 0, 14, 1, 0),  // CNTKCTL_EL1
    encoding(3, 2, 0, 0, 0),   // CSSELR_EL1
    encoding(3, 1, 0, 0, 0),   // CCSIDR_EL1
    encoding(3, 3, 4, 2, 1),   // DAIF
    encoding(3, 3, 4, 4, 0),   // FPCR
    encoding(3, 3, 4, 4, 1),   // FPSR
    encoding(3, 3, 9, 12, 0),  // PMCR_EL0
    encoding(3, 3, 9, 13, 0),  // PMCCNTR_EL0
    encoding(3, 3, 13, 0, 5),  // TPIDR2_EL0
    encoding(3, 3, 14, 0, 1),  // CNTPCT_EL0
    encoding(3, 3, 14, 2, 0),  // CNTP_TVAL_EL0
    encoding(3, 3, 14, 2, 1),  // CNTP_CTL_EL0
    encoding(3, 3, 14, 2, 2),  // CNTP_CVAL_EL0
    encoding(3, 3, 14, 3, 0),  // CNTV_TVAL_EL0
    encoding(3, 3, 14, 3, 1),  // CNTV_CTL_EL0
    encoding(3, 3, 14, 3, 2),  // CNTV_CVAL_EL0
    encoding(2, 0, 0, 2, 2),   // MDSCR_EL1
    encoding(2, 0, 0, 0, 4),   // DBGBVR0_EL1
    encoding(2, 0, 0, 0, 5),   // DBGBCR0_EL1
    encoding(2, 0, 0, 0, 6),   // DBGWVR0_EL1
    encoding(2, 0, 0, 0, 7),   // DBGWCR0_EL1
    encoding(2, 0, 0, 5, 5),   // DBGBCR5_EL1
    encoding(2, 0, 0, 15, 7),  // DBGWCR15_EL1
    encoding(2, 0, 1, 0, 4),   // OSLAR_EL1
    encoding(2, 0, 1, 3, 4),   // OSDLR_EL1
    encoding(2, 0, 7, 8, 6),   // DBGCLAIMSET_EL1
    encoding(2, 3, 0, 4, 0),   // DBGDTR_EL0
    encoding(3, 4, 1, 1, 0),   // HCR_EL2
    encoding(3, 4, 2, 1, 0),   // VTTBR_EL2
    encoding(3, 4, 12, 0, 0),  // VBAR_EL2
    encoding(3, 5, 1, 0, 0),   // SCTLR_EL12
    encoding(3, 6, 1, 1, 0),   // SCR_EL3
];

const BPR1: u32 = encoding(3, 0, 12, 12, 3);
const SCTLR: u32 = encoding(3, 0, 1, 0, 0);
const TTBR0: u32 = encoding(3, 0, 2, 0, 0);
const TTBR1: u32 = encoding(3, 0, 2, 0, 1);
const TCR: u32 = encoding(3, 0, 2, 0, 2);
const MAIR: u32 = encoding(3, 0, 10, 2, 0);
const VBAR: u32 = encoding(3, 0, 12, 0, 0);

/// After a write of one of these perhaps no handler runs any more.
const LOSING: [u32; 6] = [SCTLR, TTBR0, TTBR1, TCR, MAIR, VBAR];

/// MSR, MRS, SYS and SYSL.
pub fn register(stream: &mut Stream) {
    let rng = &mut stream.rng;
    let writes = rng.one_in(2);
    if rng.one_in(5) {
        // op0 = 0 and 1: SYS and SYSL, and what is MSR (immediate), hints and barriers. Set/way
        // maintenance has a place, and a price, of its own.
        let word = 0xd500_0000 | rng.bits(1) << 21 | rng.bits(20);
        let set_way = matches!(word & 0x1f_f0e0, 0x08_7040);
        let value = pool::value(rng);
        stream.set(VALUE, value);
        return stream.push(if set_way { word ^ 1 << 5 } else { word & !0x1f | VALUE });
    }
    let known = rng.one_in(2);
    let number = if known { rng.of(&KNOWN) } else { rng.bits(15) << 5 };
    if !writes {
        let rt = rng.below(29) as u32;
        return stream.push(MRS | number | rt);
    }
    if LOSING.contains(&number) && !stream.wild {
        return flip(stream, encoding(3, 3, 13, 0, 2));
    }
    if stream.rng.one_in(3) {
        return flip(stream, number);
    }
    let value = pool::value(&mut stream.rng);
    stream.set(VALUE, value);
    write(stream, number);
}

/// Writes the value to a register.
fn write(stream: &mut Stream, number: u32) {
    // QEMU 7.2 takes what is above the field for a part of the number, finds the field 0, and ends by
    // an assertion of its own (icv_gprio_mask) at the next acknowledge. Nothing of EL2's can stand
    // between, but a trap of all of Group 1's registers (ICH_HCR_EL2.TALL1).
    if number == BPR1 {
        stream.push(0x9240_0800 | VALUE << 5 | VALUE); // AND x8, x8, #7
    }
    stream.push(MSR | number | VALUE);
}

/// Changes one bit of a register.
fn flip(stream: &mut Stream, number: u32) {
    let bit = stream.rng.below(64) as u32;
    stream.push(MRS | number | VALUE);
    // EOR (immediate) with 1 << bit: N = 1, immr = -bit, imms = 0.
    stream.push(0xd240_0000 | ((64 - bit) & 63) << 16 | VALUE << 5 | VALUE);
    write(stream, number);
}

/// EL1's control registers.
pub fn control(stream: &mut Stream) {
    const CPACR: u32 = encoding(3, 0, 1, 0, 2);
    const CNTKCTL: u32 = encoding(3, 0, 14, 1, 0);
    const MDSCR: u32 = encoding(2, 0, 0, 2, 2);
    const OSLAR: u32 = encoding(2, 0, 1, 0, 4);
    let rng = &mut stream.rng;
    if stream.wild && rng.one_in(2) {
        let number = rng.of(&LOSING);
        if number != VBAR || rng.one_in(6) {
            return flip(stream, number);
        }
    }
    match stream.rng.below(5) {
        0 => flip(stream, CPACR),
        1 => flip(stream, CNTKCTL),
        2 => {
            // Breakpoints and watchpoints, on for EL0 and EL1, and perhaps a software step.
            stream.set(VALUE, 0);
            stream.push(MSR | OSLAR | VALUE);
            let rng = &mut stream.rng;
            let (pair, kind, bits) = (rng.below(6) as u32, rng.below(2) as u32 * 2, rng.bits(24));
            let at = pool::address(rng, stream.start, stream.wild);
            stream.set(VALUE, at);
            stream.push(MSR | encoding(2, 0, 0, pair, 4 + kind) | VALUE);
            stream.set(VALUE, u64::from(bits | 0x1e7));
            stream.push(MSR | encoding(2, 0, 0, pair, 5 + kind) | VALUE);
            let step = u64::from(stream.rng.one_in(4));
            stream.set(VALUE, 1 << 15 | 1 << 13 | step);
            stream.push(MSR | MDSCR | VALUE);
        }
        3 => flip(stream, MDSCR),
        _ => {
            let flips = pool::sctlr_flips(&mut stream.rng, stream.start.mmu);
            stream.push(MRS | SCTLR | VALUE);
            stream.set(VALUE + 2, flips);
            // EOR x8, x8, x10.
            stream.push(0xca00_0000 | (VALUE + 2) << 16 | VALUE << 5 | VALUE);
            stream.push(MSR | SCTLR | VALUE);
        }
    }
    if stream.rng.one_in(2) {
        stream.push(0xd503_3fdf); // ISB
    }
}

/// IC, DC, AT and TLBI.
pub fn maintenance(stream: &mut Stream) {
    const SYS: u32 = 0xd500_0000;
    /// SYS's op0 is 1.
    const fn sys(op1: u32, crn: u32, crm: u32, op2: u32) -> u32 {
        SYS | 1 << 19 | op1 << 16 | crn << 12 | crm << 8 | op2 << 5
    }
    const BY_ADDRESS: [u32; 18] = [
        sys(3, 7, 5, 1),  // IC IVAU
        sys(0, 7, 6, 1),  // DC IVAC
        sys(3, 7, 10, 1), // DC CVAC
        sys(3, 7, 11, 1), // DC CVAU
        sys(3, 7, 12, 1), // DC CVAP
        sys(3, 7, 13, 1), // DC CVADP
        sys(3, 7, 14, 1), // DC CIVAC
        sys(3, 7, 4, 1),  // DC ZVA
        sys(3, 7, 4, 3),  // DC GVA
        sys(0, 7, 8, 0),  // AT S1E1R
        sys(0, 7, 8, 1),  // AT S1E1W
        sys(0, 7, 8, 2),  // AT S1E0R
        sys(0, 7, 8, 3),  // AT S1E0W
        sys(0, 7, 9, 0),  // AT S1E1RP
        sys(4, 7, 8, 0),  // AT S1E2R
        sys(4, 7, 8, 4),  // AT S12E1R
        sys(6, 7, 8, 1),  // AT S1E3W
        sys(0, 7, 1, 0),  // IC IALLUIS
    ];
    const SET_WAY: [u32; 3] = [sys(0, 7, 6, 2), sys(0, 7, 10, 2), sys(0, 7, 14, 2)];
    match stream.rng.below(16) {
        0..9 => {
            let address = pool::address(&mut stream.rng, stream.start, stream.wild);
            stream.set(VALUE, address);
            let instruction = stream.rng.of(&BY_ADDRESS);
            stream.push(instruction | VALUE);
        }
        9 => {
            let (instruction, value) = (stream.rng.of(&SET_WAY), stream.rng.bits(16));
            stream.set(VALUE, value.into());
            stream.push(instruction | VALUE);
        }
        10 => stream.push(sys(0, 7, 5, 0) | 31), // IC IALLU
        _ => {
            // TLBI by address or ASID or of all, of any level and scope.
            let value = match stream.rng.below(3) {
                0 => pool::address(&mut stream.rng, stream.start, stream.wild) >> 12,
                1 => stream.rng.next(),
                _ => u64::from(stream.rng.bits(16)) << 48,
            };
            stream.set(VALUE, value);
            let rng = &mut stream.rng;
            let op1 = rng.of(&[0, 0, 0, 4, 6]);
            let instruction = sys(op1, 8 + rng.bits(1), rng.bits(3), rng.bits(3));
            stream.push(instruction | VALUE);
        }
    }
}

/// DMB, DSB, ISB of every domain, CLREX, SB.
pub fn barrier(stream: &mut Stream) {
    let kind = stream.rng.of(&[2, 4, 4, 5, 5, 6, 7]);
    let word = 0xd503_301f | stream.rng.bits(4) << 8 | kind << 5;
    stream.push(word);
}

/// Function identifiers that there are (Arm DEN0022, DEN0028, DEN0098, DEN0057), and neighbours.
fn function(stream: &mut Stream) -> u64 {
    let rng = &mut stream.rng;
    let id = match rng.below(8) {
        0..4 => 0x8400_0000 + rng.below(0x18),
        4 => rng.of(&[0x8000_0000, 0x8000_0001, 0x8000_8000, 0x8000_7fff, 0x8000_3fff]),
        5 => 0x8400_0050 + rng.below(5),
        6 => rng.of(&[0xc500_0020, 0xc500_0021, 0x8500_0020, 0x8600_ff01, 0x8700_0000]),
        _ => return pool::value(rng),
    };
    let id = if rng.one_in(2) { id | 1 << 30 } else { id };
    if rng.one_in(12) { id | rng.next() << 32 } else { id }
}

/// HVC and SMC, with any immediate.
pub fn call(stream: &mut Stream) {
    let mut id = function(stream);
    let conduit = stream.rng.of(&[0xd400_0002, 0xd400_0002, 0xd400_0003]);
    // What ends the life of the VM, or of the CPU, is rare: SYSTEM_OFF, SYSTEM_RESET,
    // SYSTEM_RESET2; CPU_OFF.
    let rare = match id as u32 & !(1 << 30) {
        0x8400_0008 | 0x8400_0009 | 0x8400_0012 => 100,
        0x8400_0002 => 4,
        _ => 1,
    };
    if !stream.rng.one_in(rare) {
        id = 0x8400_0000;
    }
    // Arguments, of which the first two may be a CPU and where it starts, or a state.
    let first = match stream.rng.below(3) {
        0 => stream.rng.below(17),
        1 => 0x8400_0000 | u64::from(stream.rng.bits(5)),
        _ => pool::value(&mut stream.rng),
    };
    let anywhere = stream.wild && stream.rng.one_in(12);
    let second = match stream.rng.below(4) {
        0 if anywhere => pool::address(&mut stream.rng, stream.start, true),
        0 => stream.rng.of(&[0, 1, PARK + 2, super::RAM_END, 1 << 40, !0]),
        _ => PARK,
    };
    let third = pool::value(&mut stream.rng);
    for (register, value) in [id, first, second, third].into_iter().enumerate() {
        stream.set(register as u32, value);
    }
    let immediate = if stream.rng.one_in(2) { 0 } else { stream.rng.bits(16) };
    stream.push(conduit | immediate << 5);
}

/// SVC, BRK, HLT, UDF, DCPS.
pub fn exception(stream: &mut Stream) {
    let rng = &mut stream.rng;
    let immediate = rng.bits(16) << 5;
    let word = match rng.below(6) {
        // One with an odd immediate takes a stream at EL0 to EL1: the handler's doing.
        0 | 1 => 0xd400_0001 | (immediate & 0x1fe0),
        2 => 0xd420_0000 | immediate,
        3 => 0xd440_0000 | if rng.one_in(4) { 0xf000 << 5 } else { immediate },
        4 => immediate >> 5,
        _ => 0xd4a0_0000 | immediate | rng.bits(2),
    };
    stream.push(if word == END { word ^ 1 << 5 } else { word });
}

/// WFI, WFE, SEV, SEVL, YIELD and every other hint; WFIT and WFET.
pub fn hint(stream: &mut Stream) {
    let rng = &mut stream.rng;
    let word = match rng.below(8) {
        0..2 => 0xd503_207f,
        2..4 => 0xd503_205f,
        4 => 0xd503_1000 | rng.bits(1) << 5 | VALUE,
        _ => 0xd503_201f | rng.bits(7) << 5,
    };
    stream.push(word);
}

/// ERET to what is allowed and to what is not.
pub fn exception_return(stream: &mut Stream) {
    const SPSR: u32 = encoding(3, 0, 4, 0, 0);
    const ELR: u32 = encoding(3, 0, 4, 0, 1);
    let rng = &mut stream.rng;
    let mode = rng.of(&[0, 0, 4, 5, 5, 5, 1, 2, 8, 9, 12, 13, 0x10, 0x10, 0x30, 0x13, 0x1f, 0x1a]);
    let masked = if rng.one_in(2) { u64::from(rng.bits(4)) << 6 } else { 0 };
    let more = match rng.below(6) {
        0 => 1 << 20,
        1 => 1 << 21,
        2 => rng.next() & !0x3ff,
        _ => 0,
    };
    let astray = rng.one_in(4);
    let to = pool::address(rng, stream.start, stream.wild);
    let misaligned = rng.one_in(16);
    stream.set(VALUE, mode | masked | more);
    stream.push(MSR | SPSR | VALUE);
    let adr = stream.length;
    stream.push(END);
    if astray {
        stream.set(VALUE, to);
        stream.push(MSR | ELR | VALUE);
    } else if misaligned {
        stream.push(0x9100_0800 | RESUME << 5 | VALUE); // ADD x8, x29, #2
        stream.push(MSR | ELR | VALUE);
    } else {
        stream.push(MSR | ELR | RESUME);
    }
    stream.push(0xd69f_03e0);
    // ADR x29, to behind the ERET.
    let words = (stream.length - adr) as u32;
    if let Some(word) = stream.words.get_mut(adr) {
        *word = 0x1000_0000 | words << 5 | RESUME;
    }
}

/// MSR (immediate): DAIFSet, DAIFClr, SPSel, PAN, UAO, DIT, SSBS, TCO and unallocated ones.
pub fn pstate(stream: &mut Stream) {
    let rng = &mut stream.rng;
    let (op1, op2) =
        rng.of(&[(3, 6), (3, 7), (3, 7), (0, 5), (0, 4), (0, 3), (3, 2), (3, 1), (3, 4)]);
    let (op1, op2) = if rng.one_in(8) { (rng.bits(3), rng.bits(3)) } else { (op1, op2) };
    let word = 0xd500_401f | op1 << 16 | rng.bits(4) << 8 | op2 << 5;
    stream.push(word);
}
