//! Every ID register there is or will be: read, written, read from EL0, read without end.

use crate::tools::{Seen, saw, saw_read};
use crate::variant;
use probes::scan::{self, Name, encoding};
use probes::{check, program, user};

program!(read_at_el0: "mrs x1, ID_AA64PFR0_EL1", "mov x1, #1");

/// The attack.
pub fn attack() {
    for n in 0..64 {
        let register = encoding(3, 0, 0, n >> 3, n & 7);
        let first = saw_read("id", register);
        let again = (0..50).filter(|_| scan::try_read(register).ok() != first).count();
        check::equal(&variant!("id.stays-{}", Name(register)), again, 0);
        let wrote = scan::try_write(register, !0).err().map(|fault| fault.esr);
        // EC 0, IL: UNDEFINED.
        check::equal(&variant!("id.write-{}", Name(register)), wrote, Some(1 << 25));
    }
    // Beside the feature registers: caches, and what is not allocated.
    for op1 in 1..8 {
        for op2 in 0..8 {
            saw_read("id", encoding(3, op1, 0, 0, op2));
        }
    }
    let frame = user::run(read_at_el0, 0);
    saw("id.read-at-el0", format_args!("{:#x} {}", frame.esr, frame.x[1]));
    saw("id.write-at-all", Seen(scan::try_write(encoding(3, 0, 0, 4, 0), 0).map(|()| 0)));
}
