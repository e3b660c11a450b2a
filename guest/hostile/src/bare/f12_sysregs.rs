//! Patterns in system registers over a thousand switches between VMs: each keeps what was written
//! to it, and shows nothing of the neighbour's. All at once, the virtual timer's included; it is
//! the physical timer that ends each sleep.

use crate::variant;
use guest_rt::{arch, gic, mrs, msr, psci, timer};
use probes::scan::{self, Encoding, Name, encoding};
use probes::state::mix;
use probes::{check, patterns};

/// Registers, the bits that may have any value, and those that are set besides.
const REGISTERS: [(Encoding, u64, u64); 16] = [
    (encoding(3, 3, 14, 3, 2), !0, 0), // CNTV_CVAL_EL0
    (encoding(3, 3, 14, 3, 1), timer::ENABLE, timer::IMASK), // CNTV_CTL_EL0
    (encoding(3, 0, 14, 1, 0), 0x303, 0), // CNTKCTL_EL1
    (encoding(3, 2, 0, 0, 0), 3, 0),   // CSSELR_EL1
    (encoding(3, 0, 7, 4, 0), 0xffff_ffff_f001, 0), // PAR_EL1
    (encoding(3, 0, 1, 0, 2), 3 << 20 | 1 << 28, 0), // CPACR_EL1
    (encoding(3, 3, 13, 0, 2), !0, 0), // TPIDR_EL0
    (encoding(3, 3, 13, 0, 3), !0, 0), // TPIDRRO_EL0
    (encoding(3, 0, 13, 0, 4), !0, 0), // TPIDR_EL1
    (encoding(3, 0, 13, 0, 1), 0xffff_ffff, 0), // CONTEXTIDR_EL1
    (encoding(3, 0, 5, 1, 0), 0xffff_ffff, 0), // AFSR0_EL1
    (encoding(3, 0, 5, 1, 1), 0xffff_ffff, 0), // AFSR1_EL1
    (encoding(3, 0, 10, 3, 0), !0, 0), // AMAIR_EL1
    (encoding(3, 0, 6, 0, 0), !0, 0),  // FAR_EL1
    (encoding(3, 0, 5, 2, 0), 0xffff_ffff, 0), // ESR_EL1
    (encoding(3, 0, 2, 0, 1), 0xffff_ffff_f000, 0), // TTBR1_EL1
];

/// Switches between VMs, at the least.
const ROUNDS: u64 = 1000;

fn sleep() {
    msr!(CNTP_CVAL_EL0, mrs!(CNTPCT_EL0) + timer::frequency() / 5000);
    msr!(CNTP_CTL_EL0, timer::ENABLE);
    arch::isb();
    arch::wfi();
    msr!(CNTP_CTL_EL0, 0);
    arch::isb();
}

/// The attack.
pub fn attack() {
    patterns::checks();
    arch::irq_disable();
    gic::enable(timer::PHYSICAL_INTID);
    let mut lost = [0_u64; 16];
    let mut written = [0; 16];
    for round in 0..ROUNDS {
        for ((register, bits, set), written) in REGISTERS.iter().zip(&mut written) {
            let value = mix(round ^ *register as u64) & bits | set;
            let _ = scan::try_write(*register, value);
            arch::isb();
            *written = scan::try_read(*register).unwrap_or(0) & (bits | set);
        }
        if round % 10 == 9 {
            psci::version();
        } else {
            sleep();
        }
        for (n, (register, bits, set)) in REGISTERS.iter().enumerate() {
            let found = scan::try_read(*register).unwrap_or(0) & (bits | set);
            lost[n] += u64::from(found != written[n]);
        }
    }
    timer::disarm();
    gic::disable(timer::PHYSICAL_INTID);
    for ((register, _, _), lost) in REGISTERS.iter().zip(lost) {
        check::equal(&variant!("sysregs.holds-{}", Name(*register)), lost, 0);
    }
}
