//! PSCI 1.1 (Arm DEN0022): a function from the arguments and the power states of the VM's vCPUs to
//! what is to be done. What is optional and not here is NOT_SUPPORTED: CPU_FREEZE,
//! CPU_DEFAULT_SUSPEND, NODE_HW_STATE, SYSTEM_SUSPEND, the statistics, MEM_PROTECT; and MIGRATE,
//! since there is no Trusted OS.

#[cfg(test)]
mod tests;

use core::ops::DerefMut;

use smccc::arch::SMCCC_VERSION;
use smccc::psci::*;

use super::calls::{Guest, Outcome, code};
use super::vgic::MAX_VCPUS;

/// PSCI 1.1.
const VERSION: u64 = 0x1_0001;
/// MIGRATE_INFO_TYPE: no Trusted OS, or one that needs no migration.
const NO_MIGRATION: u64 = 2;
/// AFFINITY_INFO's answers.
const AFFINITY_ON: u64 = 0;
const AFFINITY_OFF: u64 = 1;
const AFFINITY_ON_PENDING: u64 = 2;

/// One vCPU's power state; what is more on is greater.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Hash)]
pub enum PowerState {
    /// Off.
    Off,
    /// Switched on, and not yet there.
    OnPending,
    /// On.
    On,
}

/// The power states of a VM's vCPUs; the caller keeps them behind a lock.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Power {
    states: [PowerState; MAX_VCPUS],
}

impl Power {
    /// A VM at reset: vCPU 0 is on, the others off.
    #[expect(clippy::new_without_default, reason = "a state at reset is no default")]
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

    /// Whether a CPU_ON has won and its vCPU is not started yet.
    pub fn is_pending(&self) -> bool {
        self.states.contains(&PowerState::OnPending)
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

    /// AFFINITY_INFO of a set of vCPUs, if there are any in it: on if one is on.
    fn affinity(&self, vcpus: impl Iterator<Item = usize>) -> Option<u64> {
        Some(match vcpus.map(|vcpu| self.state(vcpu)).max()? {
            PowerState::On => AFFINITY_ON,
            PowerState::OnPending => AFFINITY_ON_PENDING,
            PowerState::Off => AFFINITY_OFF,
        })
    }
}

/// Answers function `id` with the arguments x1 to x3. `power` locks the power states; only what
/// looks at them calls it.
#[inline]
pub(super) fn call<P: DerefMut<Target = Power>>(
    guest: &Guest,
    id: u32,
    [x1, x2, x3]: [u64; 3],
    power: impl FnOnce() -> P,
) -> Outcome {
    Outcome::Return(match id {
        PSCI_VERSION => VERSION,
        PSCI_CPU_ON_32 | PSCI_CPU_ON_64 => return cpu_on(guest, x1, x2, x3, power),
        PSCI_AFFINITY_INFO_32 | PSCI_AFFINITY_INFO_64 => affinity_info(guest, x1, x2, power),
        PSCI_CPU_OFF => return Outcome::CpuOff,
        PSCI_CPU_SUSPEND_32 | PSCI_CPU_SUSPEND_64 => {
            // The original format: a StateID and a StateType, PowerLevel 0. A power-down state
            // may be carried out as standby, as it is here; its entry point is only checked.
            const VALID: u64 = 0x1_ffff;
            const POWER_DOWN: u64 = 1 << 16;
            if x1 & 0xffff_ffff & !VALID != 0 {
                code::INVALID_PARAMETERS
            } else if x1 & POWER_DOWN != 0 && !guest.can_run(x2) {
                code::INVALID_ADDRESS
            } else {
                return Outcome::Suspend;
            }
        }
        PSCI_SYSTEM_OFF => return Outcome::SystemOff,
        PSCI_SYSTEM_RESET => return Outcome::SystemReset,
        PSCI_SYSTEM_RESET2_32 | PSCI_SYSTEM_RESET2_64 => match x1 as u32 {
            // SYSTEM_WARM_RESET; the rest of the architectural types is reserved, and those with
            // bit 31 set are a vendor's.
            0 => return Outcome::SystemReset,
            1..0x8000_0000 => code::INVALID_PARAMETERS,
            _ => code::NOT_SUPPORTED,
        },
        PSCI_MIGRATE_INFO_TYPE => NO_MIGRATION,
        PSCI_FEATURES => features(x1 as u32),
        _ => code::NOT_SUPPORTED,
    })
}

/// AFFINITY_INFO.
#[inline(never)]
fn affinity_info<P: DerefMut<Target = Power>>(
    guest: &Guest,
    target: u64,
    level: u64,
    power: impl FnOnce() -> P,
) -> u64 {
    let state = node(guest, target, level).and_then(|vcpus| power().affinity(vcpus));
    state.unwrap_or(code::INVALID_PARAMETERS)
}

/// CPU_ON. Arguments are checked first, in their order; of several callers with good ones exactly
/// one finds the target off.
#[inline(never)]
fn cpu_on<P: DerefMut<Target = Power>>(
    guest: &Guest,
    target: u64,
    entry: u64,
    context: u64,
    power: impl FnOnce() -> P,
) -> Outcome {
    let Some(target) = node(guest, target, 0).and_then(|mut vcpus| vcpus.next()) else {
        return Outcome::Return(code::INVALID_PARAMETERS);
    };
    if !guest.can_run(entry) {
        return Outcome::Return(code::INVALID_ADDRESS);
    }
    match power().turn_on(target) {
        code::SUCCESS => Outcome::CpuOn { target, entry, context },
        error => Outcome::Return(error),
    }
}

/// The vCPUs of the node that `target` names at affinity level `level`, where the fields below the
/// level do not count. Reserved bits are zero in every affinity.
fn node(guest: &Guest, target: u64, level: u64) -> Option<impl Iterator<Item = usize>> {
    let below = [0u64, 0xff, 0xffff, 0xff_ffff].get(usize::try_from(level).ok()?)?;
    let affinities = guest.affinities.iter().enumerate();
    let within = affinities.filter(move |(_, own)| (u64::from(**own) ^ target) & !below == 0);
    Some(within.map(|(vcpu, _)| vcpu))
}

/// PSCI_FEATURES: 0 for what is there (for CPU_SUSPEND: the original format of power_state, and
/// no OS-initiated mode).
fn features(id: u32) -> u64 {
    match id {
        // Between them are MIGRATE and MIGRATE_INFO_UP_CPU.
        PSCI_VERSION..=PSCI_AFFINITY_INFO_32 | PSCI_MIGRATE_INFO_TYPE => code::SUCCESS,
        PSCI_SYSTEM_OFF..=PSCI_FEATURES | PSCI_SYSTEM_RESET2_32 => code::SUCCESS,
        PSCI_CPU_SUSPEND_64 | PSCI_CPU_ON_64 | PSCI_AFFINITY_INFO_64 => code::SUCCESS,
        PSCI_SYSTEM_RESET2_64 | SMCCC_VERSION => code::SUCCESS,
        _ => code::NOT_SUPPORTED,
    }
}
