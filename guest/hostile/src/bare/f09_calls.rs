//! HVC and SMC: reserved functions of every owner, both widths, any immediate, and many. None is
//! passed on to the firmware.

use crate::tools::{execute, saw};
use crate::variant;
use probes::{call, check, hvc, program, smc, user};

/// SMCCC's NOT_SUPPORTED.
const NOT_SUPPORTED: u64 = u64::MAX;
/// `hvc #0` and `smc #0`.
const HVC: u32 = 0xd400_0002;
const SMC: u32 = 0xd400_0003;

program!(hvc_at_el0: "hvc #0");
program!(smc_at_el0: "smc #0");

/// The attack.
pub fn attack() {
    hvc::checks();
    smc::checks();
    // Yielding and fast calls, 32 and 64 bits, every owner; functions that nobody defined.
    for owner in 0..64_u64 {
        let mut odd = 0;
        for kind in [0, 1 << 30, 1 << 31, 3 << 30] {
            for function in [0x00, 0x0e, 0x15, 0x1f, 0x40, 0x55, 0xff, 0x1234, 0xfeff, 0xffff] {
                let id = kind | owner << 24 | function;
                // PSCI and SMCCC themselves have some of them.
                let defined = kind >> 31 == 1 && matches!(owner, 0 | 4 | 5);
                for instruction in [HVC, SMC] {
                    let (x, fault) = execute(&[instruction], [id, !0, !0, !0]);
                    let refused = x[0] == NOT_SUPPORTED || defined && (x[0] as i64) < 0;
                    let answered = defined && x[0] < 0x1_0000_0000;
                    odd += u32::from(!(refused || answered) || fault.is_some());
                }
            }
        }
        check::equal(&variant!("calls.owner-{owner}"), odd, 0);
    }
    // The upper half of w0 is not a part of the number (DEN0028, 2.7).
    let (x, _) = execute(&[HVC], [0xdead_beef_8400_0000, 0, 0, 0]);
    check::equal("calls.upper-half", x[0] >> 16, 1);
    for (name, instruction) in [("hvc", HVC), ("smc", SMC)] {
        let mut odd = 0;
        for immediate in (0..0x1_0000).step_by(0x101).chain([1, 0xf000, 0xffff]) {
            let (x, fault) = execute(&[instruction | immediate << 5], [0x8600_ff00, 1, 2, 3]);
            odd += u32::from(x != [NOT_SUPPORTED, 1, 2, 3] || fault.is_some());
        }
        check::equal(&variant!("calls.{name}-immediates"), odd, 0);
    }
    let answered = (0..5000).filter(|n| {
        let x = if n % 2 == 0 {
            call!("hvc #0", 0x8600_ff00_u32)
        } else {
            call!("smc #0", 0xc300_ff00_u32)
        };
        x[0] == NOT_SUPPORTED
    });
    check::equal("calls.flood", answered.count(), 5000);
    // UNDEFINED at EL0.
    for (name, program) in [("hvc", hvc_at_el0 as guest_rt::el0::User), ("smc", smc_at_el0)] {
        let esr = user::run(program, 0x8400_0008).esr;
        check::equal(&variant!("calls.{name}-at-el0"), esr, 1 << 25);
    }
    saw("calls.version", execute(&[HVC], [0x8400_0000, 0, 0, 0]).0[0]);
}
