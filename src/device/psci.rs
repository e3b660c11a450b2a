//! PSCI 1.1 (DEN 0022) and SMCCC 1.1 (DEN 0028), as a guest calls them by HVC or SMC: a function
//! from the arguments and the power states of the VM's vCPUs to what is to be done.

#[cfg(test)]
mod tests;

use super::vgic::MAX_VCPUS;
use core::ops::{DerefMut, Range};

/// The functions that are answered. Bit 30 of an identifier says that the arguments are 64-bit.
mod function {
    pub const SMCCC_VERSION: u32 = 0x8000_0000;
    pub const ARCH_FEATURES: u32 = 0x8000_0001;
    pub const ARCH_WORKAROUND_1: u32 = 0x8000_8000;
    pub const ARCH_WORKAROUND_2: u32 = 0x8000_7fff;
    pub const ARCH_WORKAROUND_3: u32 = 0x8000_3fff;
    pub const PSCI_VERSION: u32 = 0x8400_0000;
    pub const CPU_SUSPEND: u32 = 0x8400_0001;
    pub const CPU_OFF: u32 = 0x8400_0002;
    pub const CPU_ON: u32 = 0x8400_0003;
    pub const AFFINITY_INFO: u32 = 0x8400_0004;
    pub const MIGRATE_INFO_TYPE: u32 = 0x8400_0006;
    pub const SYSTEM_OFF: u32 = 0x8400_0008;
    pub const SYSTEM_RESET: u32 = 0x8400_0009;
    pub const PSCI_FEATURES: u32 = 0x8400_000a;
    pub const SYSTEM_RESET2: u32 = 0x8400_0012;
    /// Bit 30: SMC64.
    pub const SMC64: u32 = 1 << 30;
    pub const CPU_SUSPEND_64: u32 = CPU_SUSPEND | SMC64;
    pub const CPU_ON_64: u32 = CPU_ON | SMC64;
    pub const AFFINITY_INFO_64: u32 = AFFINITY_INFO | SMC64;
    pub const SYSTEM_RESET2_64: u32 = SYSTEM_RESET2 | SMC64;
}

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

/// PSCI 1.1.
const PSCI_VERSION: u64 = 0x1_0001;
/// SMCCC 1.1.
const SMCCC_VERSION: u64 = 0x1_0001;
/// MIGRATE_INFO_TYPE: no Trusted OS, or one that needs no migration.
const NO_MIGRATION: u64 = 2;
/// AFFINITY_INFO's answers.
const AFFINITY_ON: u64 = 0;
const AFFINITY_OFF: u64 = 1;
const AFFINITY_ON_PENDING: u64 = 2;

/// What SMCCC_ARCH_FEATURES says of the workarounds for speculation: the return value for
/// SMCCC_ARCH_WORKAROUND_1, 2 and 3. Where it is not negative, the call itself is answered too,
/// with nothing done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Mitigations(pub [i64; 3]);

impl Default for Mitigations {
    /// Nothing known: not supported.
    fn default() -> Self {
        Self([-1; 3])
    }
}

/// What the calls need to know of the VM and never changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Guest {
    /// Its vCPUs; vCPU `n` has MPIDR_EL1 affinity 0.0.0.`n`.
    pub vcpus: usize,
    /// The IPAs of its RAM.
    pub ram: Range<u64>,
    /// What it is told of the CPU's mitigations.
    pub mitigations: Mitigations,
}

/// One vCPU's power state.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum PowerState {
    /// Off.
    Off,
    /// Switched on, and not yet there.
    OnPending,
    /// On.
    On,
}

/// The power states of a VM's vCPUs; the caller keeps them behind a lock.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Power {
    states: [PowerState; MAX_VCPUS],
}

impl Default for Power {
    fn default() -> Self {
        Self::new()
    }
}

impl Power {
    /// A VM at reset: vCPU 0 is on, the others off.
    pub const fn new() -> Self {
        let mut states = [PowerState::Off; MAX_VCPUS];
        states[0] = PowerState::On;
        Self { states }
    }

    /// The state of `vcpu`; one that does not exist is off.
    pub fn state(&self, vcpu: usize) -> PowerState {
        self.states.get(vcpu).copied().unwrap_or(PowerState::Off)
    }

    /// `vcpu`, switched on by [`Outcome::CpuOn`], is about to run its first instruction.
    pub fn started(&mut self, vcpu: usize) {
        self.set(vcpu, PowerState::On);
    }

    /// `vcpu` has left its pCPU after [`Outcome::CpuOff`]; nothing of it is in use any more, and
    /// it may be switched on again.
    pub fn stopped(&mut self, vcpu: usize) {
        self.set(vcpu, PowerState::Off);
    }

    /// Whether all vCPUs are off: nothing can wake this VM any more.
    pub fn all_off(&self) -> bool {
        self.states.iter().all(|&state| state == PowerState::Off)
    }

    fn set(&mut self, vcpu: usize, state: PowerState) {
        if let Some(slot) = self.states.get_mut(vcpu) {
            *slot = state;
        }
    }

    /// Exactly one of several racing calls gets `SUCCESS`.
    fn turn_on(&mut self, vcpu: usize) -> u64 {
        match self.state(vcpu) {
            PowerState::On => code::ALREADY_ON,
            PowerState::OnPending => code::ON_PENDING,
            PowerState::Off => {
                self.set(vcpu, PowerState::OnPending);
                code::SUCCESS
            }
        }
    }

    /// AFFINITY_INFO of a set of vCPUs: on if one is on.
    fn affinity(&self, vcpus: Range<usize>) -> u64 {
        let states = self.states.get(vcpus).unwrap_or(&[]);
        if states.contains(&PowerState::On) {
            AFFINITY_ON
        } else if states.contains(&PowerState::OnPending) {
            AFFINITY_ON_PENDING
        } else {
            AFFINITY_OFF
        }
    }
}

/// What the caller is to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// Give the calling vCPU this in x0.
    Return(u64),
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
    let id = args[0] as u32;
    // SMC32: only the low halves count.
    let mask = if id & function::SMC64 != 0 { u64::MAX } else { 0xffff_ffff };
    let [x1, x2, x3] = [args[1] & mask, args[2] & mask, args[3] & mask];
    Outcome::Return(match id {
        function::PSCI_VERSION => PSCI_VERSION,
        function::SMCCC_VERSION => SMCCC_VERSION,
        function::CPU_ON | function::CPU_ON_64 => return cpu_on(guest, x1, x2, x3, power),
        function::AFFINITY_INFO | function::AFFINITY_INFO_64 => {
            match affinity_node(guest, x1, x2) {
                Some(vcpus) => power().affinity(vcpus),
                None => code::INVALID_PARAMETERS,
            }
        }
        function::CPU_OFF => return Outcome::CpuOff,
        function::CPU_SUSPEND | function::CPU_SUSPEND_64 => {
            // The original format: a StateID and a StateType, PowerLevel 0. A power-down state
            // may be carried out as standby, as it is here, so its entry point is not used.
            const VALID: u64 = 0x1_ffff;
            if x1 & 0xffff_ffff & !VALID == 0 {
                return Outcome::Suspend;
            }
            code::INVALID_PARAMETERS
        }
        function::SYSTEM_OFF => return Outcome::SystemOff,
        function::SYSTEM_RESET => return Outcome::SystemReset,
        function::SYSTEM_RESET2 | function::SYSTEM_RESET2_64 => match x1 as u32 {
            // SYSTEM_WARM_RESET; the rest of the architectural types is reserved, and those with
            // bit 31 set are a vendor's.
            0 => return Outcome::SystemReset,
            1..0x8000_0000 => code::INVALID_PARAMETERS,
            _ => code::NOT_SUPPORTED,
        },
        function::MIGRATE_INFO_TYPE => NO_MIGRATION,
        function::PSCI_FEATURES => psci_features(x1 as u32),
        function::ARCH_FEATURES => arch_features(guest, x1 as u32),
        function::ARCH_WORKAROUND_1 | function::ARCH_WORKAROUND_2 | function::ARCH_WORKAROUND_3
            if (arch_features(guest, id) as i64) >= 0 =>
        {
            code::SUCCESS
        }
        _ => code::NOT_SUPPORTED,
    })
}

fn cpu_on<P: DerefMut<Target = Power>>(
    guest: &Guest,
    target: u64,
    entry: u64,
    context: u64,
    power: impl FnOnce() -> P,
) -> Outcome {
    // An affinity has its other bits zero, so a target is a vCPU's number or invalid.
    if target >= guest.vcpus.min(MAX_VCPUS) as u64 {
        return Outcome::Return(code::INVALID_PARAMETERS);
    }
    if !guest.ram.contains(&entry) || entry & 3 != 0 {
        return Outcome::Return(code::INVALID_ADDRESS);
    }
    let target = target as usize;
    match power().turn_on(target) {
        code::SUCCESS => Outcome::CpuOn { target, entry, context },
        error => Outcome::Return(error),
    }
}

/// The vCPUs of the node that `target` names at affinity level `level`. All are in one node from
/// level 1 on, where the fields below the level do not count.
fn affinity_node(guest: &Guest, target: u64, level: u64) -> Option<Range<usize>> {
    /// Aff3, Aff2, Aff1, Aff0; the bits between are reserved.
    const FIELDS: [u64; 4] = [0xff, 0xff00, 0xff_0000, 0xff_0000_0000];
    let vcpus = guest.vcpus.min(MAX_VCPUS);
    let below = FIELDS.get(..level.min(4) as usize)?;
    if level > 3 {
        return None;
    }
    let node = target & !below.iter().fold(0, |mask, field| mask | field);
    match level {
        0 if node < vcpus as u64 => Some(node as usize..node as usize + 1),
        1.. if node == 0 => Some(0..vcpus),
        _ => None,
    }
}

/// PSCI_FEATURES: 0 for what is there (for CPU_SUSPEND: the original format of power_state, and
/// no OS-initiated mode).
fn psci_features(id: u32) -> u64 {
    match id {
        function::PSCI_VERSION
        | function::SMCCC_VERSION
        | function::CPU_SUSPEND
        | function::CPU_SUSPEND_64
        | function::CPU_OFF
        | function::CPU_ON
        | function::CPU_ON_64
        | function::AFFINITY_INFO
        | function::AFFINITY_INFO_64
        | function::MIGRATE_INFO_TYPE
        | function::SYSTEM_OFF
        | function::SYSTEM_RESET
        | function::PSCI_FEATURES
        | function::SYSTEM_RESET2
        | function::SYSTEM_RESET2_64 => code::SUCCESS,
        _ => code::NOT_SUPPORTED,
    }
}

/// SMCCC_ARCH_FEATURES.
fn arch_features(guest: &Guest, id: u32) -> u64 {
    let Mitigations([one, two, three]) = guest.mitigations;
    let answer = match id {
        function::SMCCC_VERSION | function::ARCH_FEATURES => 0,
        function::ARCH_WORKAROUND_1 => one,
        function::ARCH_WORKAROUND_2 => two,
        function::ARCH_WORKAROUND_3 => three,
        _ => return code::NOT_SUPPORTED,
    };
    answer as u64
}
