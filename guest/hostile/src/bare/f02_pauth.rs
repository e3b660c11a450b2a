//! The keys of pointer authentication: each VM's own, or UNDEFINED.

use crate::tools::{self, execute, pause, saw};
use guest_rt::mrs;
use probes::check;
use probes::scan::{self, Encoding, encoding};

/// APIAKeyLo_EL1 and the nine others.
pub const KEYS: [Encoding; 10] = {
    let mut keys = [0; 10];
    let mut n = 0;
    while n < 10 {
        keys[n] = encoding(3, 0, 2, 1 + n / 4, n % 4);
        n += 1;
    }
    keys
};

/// `pacga x0, x1, x2`.
const PACGA: u32 = 0x9ac2_3020;
/// `pacia x0, x1`, `autia x0, x1`, `xpaci x0`.
const PACIA: u32 = 0xdac1_0020;
const AUTIA: u32 = 0xdac1_1020;
const XPACI: u32 = 0xdac1_43e0;
/// SCTLR_EL1.EnIA.
const EN_IA: u64 = 1 << 31;

/// The attack.
pub fn attack() {
    let [isar1, isar2] = [1, 2].map(|op2| scan::try_read(encoding(3, 0, 0, 6, op2)).unwrap_or(0));
    let present = isar1 & 0xff00_0ff0 | isar2 & 0xff00 != 0;
    for key in KEYS {
        tools::saw_write("pauth", key, 0x1234_5678);
        tools::saw_read("pauth", key);
    }
    if !present {
        for (name, instruction) in [("pacga", PACGA), ("pacia", PACIA), ("xpaci", XPACI)] {
            let fault = execute(&[instruction], [1, 2, 3, 4]).1;
            let name = crate::variant!("pauth.{name}-undefined");
            check::equal(&name, fault.map(|fault| fault.esr), Some(1 << 25));
        }
        return;
    }
    tools::hold("pauth", &KEYS, 20);
    // The same keys give the same codes, on the board too, whoever has had the CPU meanwhile.
    for (n, key) in KEYS.into_iter().enumerate() {
        let _ = scan::try_write(key, 0x1111_2222_3333_4444 + n as u64);
    }
    guest_rt::msr!(SCTLR_EL1, mrs!(SCTLR_EL1) | EN_IA);
    guest_rt::arch::isb();
    let code = || {
        let generic = execute(&[PACGA], [0, 0x4000, 7, 0]).0[0];
        (generic, execute(&[PACIA], [0x4020_0000, 9, 0, 0]).0[0])
    };
    let (first, mut others) = (code(), 0);
    for round in 0..60 {
        pause(round);
        others += u64::from(code() != first);
    }
    saw("pauth.codes", format_args!("{:#x} {:#x}", first.0, first.1));
    check::equal("pauth.codes-stay", others, 0);
    let back = execute(&[PACIA, AUTIA], [0x4020_0000, 9, 0, 0]);
    check::equal("pauth.authenticates", (back.0[0], back.1.is_none()), (0x4020_0000, true));
    guest_rt::msr!(SCTLR_EL1, mrs!(SCTLR_EL1) & !EN_IA);
    guest_rt::arch::isb();
}
