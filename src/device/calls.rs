//! The calls of a guest, by HVC or SMC alike (SMCCC 1.1, Arm DEN0028): which there are, and where
//! they are answered. PSCI is [`psci`]'s; TRNG (Arm DEN0098) and PV time (Arm DEN0057) are here, as
//! is what the Arm Architecture range says of the CPU. The immediate of the instruction is not
//! looked at. There are no calls of a vendor's hypervisor: their UID is NOT_SUPPORTED.

#[cfg(test)]
mod tests;

use alloc::vec::Vec;
use core::ops::DerefMut;

use smccc::arch::*;

use super::psci::{self, Power};
use super::trng;

/// Bit 30 of a function identifier: the arguments are 64-bit.
const SMC64: u32 = 1 << 30;
// The functions that the crate has no names for.
const TRNG_VERSION: u32 = 0x8400_0050;
const TRNG_GET_UUID: u32 = 0x8400_0052;
const TRNG_RND: u32 = 0x8400_0053;
const TRNG_RND_64: u32 = TRNG_RND | SMC64;
const PV_TIME_FEATURES: u32 = 0xc500_0020;
const PV_TIME_ST: u32 = 0xc500_0021;

/// Return values, as x0 takes them: sign-extended, so that a caller finds them in w0 and in x0.
pub mod code {
    /// Done.
    pub const SUCCESS: u64 = 0;
    /// No such function, or not here.
    pub const NOT_SUPPORTED: u64 = -1i64 as u64;
    /// An argument is out of range.
    pub const INVALID_PARAMETERS: u64 = -2i64 as u64;
    /// CPU_ON of a CPU that is on.
    pub const ALREADY_ON: u64 = -4i64 as u64;
    /// CPU_ON of a CPU that another CPU_ON is starting.
    pub const ON_PENDING: u64 = -5i64 as u64;
    /// CPU_ON at an address where no code can be.
    pub const INVALID_ADDRESS: u64 = -9i64 as u64;
}

/// SMCCC 1.1.
const VERSION: u64 = 0x1_0001;

/// What SMCCC_ARCH_FEATURES says of the workarounds for speculation: the return value for
/// SMCCC_ARCH_WORKAROUND_1, 2 and 3.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mitigations {
    /// The three answers: 0 for "call it", 1 for "no need", negative for "not here".
    pub answers: [i64; 3],
    /// Whether calls of workaround 1 and 3 go to the firmware: the CPU needs them.
    pub by_firmware: [bool; 2],
    /// The one of them that the hypervisor itself calls before another VM runs.
    pub at_switch: Option<u32>,
}

impl Mitigations {
    /// For CPUs with this ID_AA64PFR0_EL1.CSV2, and ID_AA64PFR1_EL1.SSBS if `has_ssbs`, under a
    /// firmware whose own ARCH_FEATURES answers `firmware`.
    pub fn new(csv2: u64, has_ssbs: bool, firmware: [i64; 3]) -> Self {
        let [one, two, three] = firmware;
        // Workaround 2 is the firmware's default, and EL2 never turns it off: there is nothing to
        // call. Who has SSBS uses that.
        let two = if has_ssbs || two == -1 { -1 } else { -2 };
        let known = |safe: bool, firmware: i64| if safe { 1 } else { firmware };
        let by_firmware = [csv2 < 1 && one >= 0, csv2 < 3 && three >= 0];
        Self {
            answers: [known(csv2 >= 1, one), two, known(csv2 >= 3, three)],
            by_firmware,
            // The third does what the first does, too.
            at_switch: match by_firmware {
                [_, true] => Some(SMCCC_ARCH_WORKAROUND_3),
                [true, false] => Some(SMCCC_ARCH_WORKAROUND_1),
                [false, false] => None,
            },
        }
    }
}

/// What the calls need to know of the VM and never changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guest {
    /// Its vCPUs' affinities, Aff2 to Aff0 of MPIDR_EL1.
    pub affinities: Vec<u32>,
    /// Its memory: where each part of it is, and how many bytes.
    pub memory: Vec<(u64, u64)>,
    /// What it is told of the CPU's mitigations.
    pub mitigations: Mitigations,
    /// It has a generator of random numbers: TRNG.
    pub random: bool,
    /// It has a page of stolen time: PV time.
    pub stolen_time: bool,
}

impl Guest {
    /// Whether a vCPU can start at IPA `entry`.
    pub(super) fn can_run(&self, entry: u64) -> bool {
        let in_memory = |&(ipa, bytes): &(u64, u64)| entry.wrapping_sub(ipa) < bytes;
        entry & 3 == 0 && self.memory.iter().any(in_memory)
    }
}

/// What the caller is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Give the calling vCPU this in x0.
    Return(u64),
    /// Give the calling vCPU these in x0 to x3.
    Four([u64; 4]),
    /// Give the calling vCPU so many random bits, and so many in each register:
    /// [`trng::Trng::answer`].
    Random(u64, u64),
    /// Give the calling vCPU the IPA of its structure of stolen time.
    StolenTime,
    /// Call the firmware's function of this number, which has no arguments and no result.
    Firmware(u32),
    /// Give the calling vCPU `SUCCESS`, and start `target`: reset, at EL1h with its MMU off, PC
    /// at `entry` and x0 = `context`. [`Power::started`] when it runs.
    CpuOn {
        /// The vCPU to start.
        target: usize,
        /// IPA of its first instruction; in RAM, aligned.
        entry: u64,
        /// Its x0.
        context: u64,
    },
    /// Stop the calling vCPU; [`Power::stopped`] when it has left its pCPU.
    CpuOff,
    /// Let the calling vCPU wait as by WFI, then give it `SUCCESS`.
    Suspend,
    /// Stop the VM.
    SystemOff,
    /// Reset the VM.
    SystemReset,
}

/// Answers the call with x0 to x3 in `args`. `power` locks the power states; only what looks at
/// them calls it.
#[inline]
pub fn call<P: DerefMut<Target = Power>>(
    guest: &Guest,
    args: [u64; 4],
    power: impl FnOnce() -> P,
) -> Outcome {
    /// Fast calls of standard services, 0x00 to 0x1f, in either width.
    const PSCI: u32 = 0x8400_0000;
    let id = args[0] as u32;
    // SMC32: only the low halves count.
    let mask = if id & SMC64 != 0 { u64::MAX } else { 0xffff_ffff };
    let [x1, x2, x3] = [args[1] & mask, args[2] & mask, args[3] & mask];
    if id & !(SMC64 | 0x1f) == PSCI {
        return psci::call(guest, id, [x1, x2, x3], power);
    }
    match id {
        SMCCC_VERSION => Outcome::Return(VERSION),
        SMCCC_ARCH_FEATURES => Outcome::Return(arch_features(guest, x1 as u32)),
        SMCCC_ARCH_WORKAROUND_1 => workaround(guest, id, 0, 0),
        SMCCC_ARCH_WORKAROUND_3 => workaround(guest, id, 2, 1),
        TRNG_VERSION..=TRNG_RND | TRNG_RND_64 if guest.random => random(id, x1),
        PV_TIME_FEATURES if guest.stolen_time => {
            let known = matches!(x1 as u32, PV_TIME_FEATURES | PV_TIME_ST);
            Outcome::Return(if known { code::SUCCESS } else { code::NOT_SUPPORTED })
        }
        PV_TIME_ST if guest.stolen_time => Outcome::StolenTime,
        _ => Outcome::Return(code::NOT_SUPPORTED),
    }
}

/// SMCCC_ARCH_FEATURES.
fn arch_features(guest: &Guest, id: u32) -> u64 {
    let [one, two, three] = guest.mitigations.answers;
    let answer = match id {
        SMCCC_VERSION | SMCCC_ARCH_FEATURES => 0,
        SMCCC_ARCH_WORKAROUND_1 => one,
        SMCCC_ARCH_WORKAROUND_2 => two,
        SMCCC_ARCH_WORKAROUND_3 => three,
        PV_TIME_FEATURES if guest.stolen_time => 0,
        _ => -1,
    };
    answer as u64
}

/// A workaround's own call: the firmware's, or nothing to be done where the CPU is safe.
fn workaround(guest: &Guest, id: u32, answer: usize, firmware: usize) -> Outcome {
    if guest.mitigations.by_firmware[firmware] {
        Outcome::Firmware(id)
    } else if guest.mitigations.answers[answer] >= 0 {
        Outcome::Return(code::SUCCESS)
    } else {
        Outcome::Return(code::NOT_SUPPORTED)
    }
}

/// TRNG.
#[cold]
fn random(id: u32, x1: u64) -> Outcome {
    match id {
        TRNG_RND => Outcome::Random(x1, 32),
        TRNG_RND_64 => Outcome::Random(x1, 64),
        TRNG_VERSION => Outcome::Return(trng::VERSION),
        TRNG_GET_UUID => Outcome::Four(trng::UUID),
        // TRNG_FEATURES.
        _ => Outcome::Return(match x1 as u32 {
            TRNG_VERSION..=TRNG_RND | TRNG_RND_64 => code::SUCCESS,
            _ => code::NOT_SUPPORTED,
        }),
    }
}
