//! Family 27: loads from devices at each width, with and without sign extension, into X, W and the
//! zero register, by each way to form an address; and stores from the zero register. They have a
//! syndrome, and it says all of this.

use crate::variant;
use guest_rt::{gic, head, mmio, mrs, uart};
use probes::isv0::{self, Code};
use probes::{check, code};

/// GICD_IPRIORITYR of four SPIs that nothing uses: bytes whose sign is set.
const PRIORITIES: u64 = (gic::GICD + gic::IPRIORITYR) as u64 + 40;
const VALUE: u64 = 0xf0d0_b090;
const CELL: u64 = uart::BASE as u64 + 0xff0;
const IBRD: u64 = uart::BASE as u64 + 0x24;
/// What UARTIBRD holds: a distributor has no halfwords, a UART has.
const HALF: u64 = 0xb090;
const X9: u64 = 0x1122_3344_5566_7788;
const X11: u64 = 0x99aa_bbcc_ddee_ff00;

/// A load of x9 from x10, and what it gives.
type Load = (&'static str, Code, u64, u64);

/// The attack.
pub fn attack() {
    head::init();
    mmio::write32(PRIORITIES as usize, VALUE as u32);
    check::equal("width.value", mmio::read32(PRIORITIES as usize).into(), VALUE);
    mmio::write32(IBRD as usize, HALF as u32);
    for (name, code, at, want) in loads() {
        run(name, code, at, [want, at, X11]);
    }
    let typer = (gic::GICR + gic::GICR_TYPER) as u64;
    let value = mmio::read64(typer as usize);
    run("ldr-x-64", code!("ldr x9, [x10]"), typer, [value, typer, X11]);
    run("ldr-w-64", code!("ldr w9, [x10, #4]"), typer, [value >> 32, typer, X11]);
    // RCpc loads, where there are (FEAT_LRCPC and FEAT_LRCPC2).
    let rcpc = mrs!(ID_AA64ISAR1_EL1) >> 20 & 0xf;
    if rcpc >= 1 {
        let code = code!(".inst 0xb8bfc149"); // ldapr w9, [x10]
        run("ldapr", code, PRIORITIES, [VALUE, PRIORITIES, X11]);
    }
    if rcpc >= 2 {
        let code = code!(".inst 0x99800149"); // ldapursw x9, [x10]
        run("ldapursw", code, PRIORITIES, [0xffff_ffff_0000_0000 | VALUE, PRIORITIES, X11]);
    }
    stores();
}

fn loads() -> [Load; 32] {
    const W: u64 = 0xffff_ffff;
    let sign = |value: u64, bits: u32| ((value << (64 - bits)) as i64 >> (64 - bits)) as u64;
    let p = PRIORITIES;
    [
        ("ldrb", code!("ldrb w9, [x10]"), p, 0x90),
        ("ldrb-3", code!("ldrb w9, [x10, #3]"), p, 0xf0),
        ("ldrsb-w", code!("ldrsb w9, [x10]"), p, sign(0x90, 8) & W),
        ("ldrsb-x", code!("ldrsb x9, [x10]"), p, sign(0x90, 8)),
        ("ldrsb-x-1", code!("ldrsb x9, [x10, #1]"), p, sign(0xb0, 8)),
        ("ldrh", code!("ldrh w9, [x10]"), IBRD, HALF),
        ("ldrsh-w", code!("ldrsh w9, [x10]"), IBRD, sign(HALF, 16) & W),
        ("ldrsh-x", code!("ldrsh x9, [x10]"), IBRD, sign(HALF, 16)),
        ("ldr-w", code!("ldr w9, [x10]"), p, VALUE),
        ("ldrsw", code!("ldrsw x9, [x10]"), p, sign(VALUE, 32)),
        ("ldurb", code!("ldurb w9, [x10, #-1]"), p + 1, 0x90),
        ("ldursb", code!("ldursb x9, [x10, #-1]"), p + 1, sign(0x90, 8)),
        ("ldursw", code!("ldursw x9, [x10, #-4]"), p + 4, sign(VALUE, 32)),
        ("ldr-register", code!("mov x12, #4", "ldr w9, [x10, x12]"), p - 4, VALUE),
        ("ldr-shifted", code!("mov x12, #1", "ldr w9, [x10, x12, lsl #2]"), p - 4, VALUE),
        ("ldr-uxtw", code!("mov x12, #-4", "ldr w9, [x10, w12, sxtw]"), p + 4, VALUE),
        ("ldrsb-register", code!("mov x12, #3", "ldrsb x9, [x10, x12]"), p, sign(0xf0, 8)),
        ("ldarb", code!("ldarb w9, [x10]"), p, 0x90),
        ("ldarh", code!("ldarh w9, [x10]"), IBRD, HALF),
        ("ldar", code!("ldar w9, [x10]"), p, VALUE),
        ("ldrb-zr", code!("ldrb wzr, [x10]"), p, X9),
        ("ldrsb-zr", code!("ldrsb xzr, [x10]"), p, X9),
        ("ldrsw-zr", code!("ldrsw xzr, [x10]"), p, X9),
        ("ldr-wzr", code!("ldr wzr, [x10]"), p, X9),
        ("ldr-xzr", code!("ldr xzr, [x10]"), gic::GICR as u64 + 8, X9),
        ("ldar-zr", code!("ldar wzr, [x10]"), p, X9),
        ("uart-ldrb", code!("ldrb w9, [x10, #4]"), CELL, 0xf0),
        ("uart-ldrsb", code!("ldrsb x9, [x10, #4]"), CELL, sign(0xf0, 8)),
        ("uart-ldrsb-w", code!("ldrsb w9, [x10, #12]"), CELL, sign(0xb1, 8) & W),
        ("uart-ldrsh", code!("ldrsh x9, [x10, #12]"), CELL, 0xb1),
        ("uart-ldrsw", code!("ldrsw x9, [x10, #12]"), CELL, 0xb1),
        (
            "into-base",
            code!(
                "mov x11, x10",
                "ldr w10, [x10]",
                "mov x9, x10",
                "mov x10, x11",
                "mov x11, #0xff00",
                "movk x11, #0xddee, lsl #16",
                "movk x11, #0xbbcc, lsl #32",
                "movk x11, #0x99aa, lsl #48"
            ),
            p,
            VALUE,
        ),
    ]
}

fn run(name: &str, code: Code, at: u64, want: [u64; 3]) {
    let (fault, got) = isv0::execute_at(code as *const () as u64, [X9, at, X11]);
    check::equal(&variant!("width.{name}"), (fault.map(|f| f.esr), got), (None, want));
}

/// Each stores into a register that held ones.
fn stores() {
    let zero: [(&str, Code, u64, u32); 6] = [
        ("str-wzr", code!("str wzr, [x10]"), IBRD, 0),
        ("strh-wzr", code!("strh wzr, [x10]"), IBRD, 0),
        ("stlr-wzr", code!("stlr wzr, [x10]"), IBRD, 0),
        ("strb-wzr", code!("strb wzr, [x10]"), PRIORITIES, 0xf0f0_f000),
        ("strb-wzr-3", code!("strb wzr, [x10, #3]"), PRIORITIES, 0x00f0_f0f0),
        ("strb-2", code!("strb w9, [x10, #2]"), PRIORITIES, 0xf088_f0f0),
    ];
    for (name, code, at, want) in zero {
        let ones = if at == IBRD { 0xffff } else { 0xf0f0_f0f0 };
        mmio::write32(at as usize, ones);
        run(name, code, at, [X9, at, X11]);
        let name = variant!("width.{name}-stored");
        check::equal(&name, mmio::read32(at as usize), want);
    }
    // GICD_IROUTER of an SPI that nothing uses: 64 bits.
    let router = gic::GICD as u64 + 0x6000 + 8 * 40;
    mmio::write64(router as usize, 0xff);
    run("str-xzr", code!("str xzr, [x10]"), router, [X9, router, X11]);
    check::equal("width.str-xzr-stored", mmio::read64(router as usize), 0);
}
