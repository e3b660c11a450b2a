//! Family 38: makes the hypervisor and the console print. On a guest's behalf it prints a line for
//! each reset, one for its end, one for an SError, and what the guest itself says: floods of it,
//! lines without end, escape sequences, and lines that look like somebody else's.

use crate::stores;
use crate::tools::{doom, doomed, survived};
use core::arch::asm;
use guest_rt::{boot, head, mmio, psci, timer, uart};
use probes::check;

/// What would leave the VM's line, or its place behind its name.
const TRICKS: [&[u8]; 24] = [
    b"\r[victim] FORGED by a return",
    b"\x1b[2K\x1b[1G[victim] FORGED by erasing",
    b"\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08\x08[victim] FORGED by backspaces",
    b"\x1b[A\r[victim] FORGED a line above",
    b"\x1b[1;1H[victim] FORGED at home",
    b"\x1b[s\x1b[u\x1b[H\x1b[J[mezzanine] FORGED by clearing",
    b"\x1bc[mezzanine] FORGED by a reset",
    b"\x0c[mezzanine] FORGED by a form feed",
    b"\x0b[mezzanine] FORGED by a vertical tab",
    b"\x1bD[mezzanine] FORGED by an index",
    b"\x1bE[mezzanine] FORGED by a next line",
    b"\x1bM[mezzanine] FORGED by a reverse index",
    b"\xc2\x85[mezzanine] FORGED by NEL",
    b"\x85[mezzanine] FORGED by C1",
    b"\x1b]0;title\x07[victim] FORGED behind a title",
    b"\x1b]0;a title without an end\n[victim] FORGED in it\x07",
    b"\x1bP a device control string \x1b\\[victim] FORGED behind it",
    b"\x1b[999999999999999999999999999999999999999999C[victim] FORGED far right",
    b"\x1b[99999999999L\x1b[99999999999P[victim] FORGED",
    b"\x1b[6n\x1b[c\x1b[5n what asks for an answer",
    b"\x1b[?1049h\x1b[?25l\x1b[r other screens",
    b"\x00\x01\x02\x03\x04\x05\x06\x07\x0e\x0f\x10\x11\x12\x13\x14\x15\x16\x17\x18\x19\x1a\x1c\x1d\x1e\x1f\x7f",
    b"\xe2\x80\xa8[victim] FORGED by a line separator",
    b"[mezzanine] machine off: status 0",
];

fn say(bytes: &[u8]) {
    for &byte in bytes {
        uart::put(byte);
    }
}

/// The attack.
pub fn attack() {
    head::init();
    match doom() {
        "" => {}
        "unended" => {
            // The last line of this VM has no end: the hypervisor's comes behind it.
            doomed("noise");
            say(b"\x1b[31m\x1b]0;");
            // Vectors where nothing is, with translation off.
            // SAFETY: nothing runs behind it.
            unsafe {
                asm!("msr VBAR_EL1, {0}", "msr SCTLR_EL1, {1}", "isb", "udf #0",
                    in(reg) 0x0b00_0000_u64, in(reg) guest_rt::mmu::SCTLR & !1);
            }
            return survived("noise");
        }
        _ => return survived("noise"),
    }
    // A line of the hypervisor's for each reset, as many as there can be.
    if stores::another_life() {
        psci::system_reset();
    }
    if boot::has("resets") {
        return check::passed("noise.resets-end");
    }
    for trick in TRICKS {
        say(trick);
        say(b"\x1b\\\r\n");
    }
    check::passed("noise.tricks");
    for n in 0..4096_u64 {
        uart::put(b'a' + (n % 26) as u8);
    }
    say(b"\r\n");
    check::passed("noise.a-line-without-end");
    for _ in 0..500 {
        say(b"\r\n");
    }
    check::passed("noise.empty-lines");
    for n in 0..4000_u64 {
        // Any byte, but line feeds.
        let byte = ((n * 0x9e37_79b9) >> 7) as u8;
        uart::put(if byte == b'\n' { 0x1b } else { byte });
    }
    say(b"\x18\x1b\\\r\n");
    check::passed("noise.any-bytes");
    // By words and past the FIFO, without looking whether there is room.
    for n in 0..4000 {
        mmio::write32(uart::DR, 0x2e00 | (b'0' as u32 + n % 10));
    }
    say(b"\r\n");
    // The flood may cost this VM lines; these come when there is room again.
    timer::delay_ms(300);
    check::passed("noise.flood");
}
