//! The state of 32 interrupts as words, one bit an interrupt, the way the registers show it.

use super::lr;

/// "No vCPU": an SPI that is routed to an affinity which does not exist.
pub(super) const NOBODY: u8 = u8::MAX;

/// Thirty-two interrupts.
///
/// What is in a list register has *left* the bank: its bit in `in_lr` is set, and `latch` and
/// `active` are zero for it until the list register is folded back, except for what happened
/// since: a new edge sets `latch`, a remote write of ISACTIVER sets `active`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Bank {
    /// ISENABLER.
    pub enabled: u32,
    /// IGROUPR: 1 = Group 1.
    pub group: u32,
    /// What is enabled, by itself and by its group: [`Bank::allow`] keeps it up to date.
    pub allowed: u32,
    /// ICFGR: 1 = edge-triggered.
    pub edge: u32,
    /// Pending by an edge, an SGI, ISPENDR or a physical interrupt.
    pub latch: u32,
    /// The input line of the interrupt.
    pub level: u32,
    /// Acknowledged and not yet deactivated.
    pub active: u32,
    /// Lies in a list register of the vCPU that holds it.
    pub in_lr: u32,
    /// IPRIORITYR.
    pub priority: [u8; 32],
    /// The priority with which an interrupt became active. The CPU interface compares it when
    /// the guest ends the interrupt, so a later write of IPRIORITYR must not reach it.
    pub running: [u8; 32],
}

impl Bank {
    /// The state at reset; `edge` holds the interrupts that are edge-triggered for good.
    pub fn new(edge: u32) -> Self {
        Self {
            enabled: 0,
            group: 0,
            allowed: 0,
            edge,
            latch: 0,
            level: 0,
            active: 0,
            in_lr: 0,
            priority: [0; 32],
            running: [0; 32],
        }
    }

    /// What is pending by the model: latched, or level-triggered with the line high.
    #[inline]
    pub fn pending(&self) -> u32 {
        self.latch | (self.level & !self.edge)
    }

    /// To be called when ISENABLER, IGROUPR or the group enables of GICD_CTLR (`groups`, bits 0
    /// and 1) have changed.
    pub fn allow(&mut self, groups: u32) {
        let zero = if groups & 1 != 0 { !self.group } else { 0 };
        let one = if groups & 2 != 0 { self.group } else { 0 };
        self.allowed = self.enabled & (zero | one);
    }

    /// What waits for a list register.
    #[inline]
    pub fn deliverable(&self) -> u32 {
        self.pending() & self.allowed & !(self.active | self.in_lr)
    }

    /// What became pending once more while it lay in a list register.
    #[inline]
    pub fn renewed(&self) -> u32 {
        self.latch & self.in_lr & self.allowed
    }

    /// A list register's value for interrupt `intid` without state and source.
    #[inline]
    pub fn compose(&self, intid: u32, priority: u8) -> u64 {
        let group = u64::from(self.group >> (intid & 31) & 1) * lr::LR_GROUP1;
        lr::compose(intid, priority) | group
    }

    /// Moves interrupt `intid` into a list register and returns its value, and whether the
    /// latch moved with it. `hw` is the physical interrupt behind it. An active interrupt takes
    /// its latch along only with `renew`.
    #[inline(always)]
    pub fn move_out(&mut self, intid: u32, hw: Option<u16>, renew: bool) -> (u64, bool) {
        let index = intid as usize & 31;
        let bit = 1u32 << index;
        let latched = self.latch & bit != 0;
        self.in_lr |= bit;
        // A level is sampled again when the guest has ended the interrupt: EOI asks for the
        // maintenance interrupt. With HW=1 the physical GIC samples, and the bit is not there.
        let resample = if self.edge & bit == 0 { lr::LR_EOI } else { 0 };
        if self.active & bit == 0 {
            self.latch &= !bit;
            let source = hw.map_or(resample, lr::hw);
            let value = self.compose(intid, self.priority[index]) | source;
            return (value | lr::LR_PENDING, latched);
        }
        self.active &= !bit;
        let renew = renew && resample == 0 && self.running[index] == self.priority[index];
        let value = self.compose(intid, self.running[index]) | lr::LR_ACTIVE;
        match hw {
            Some(pintid) if !latched => (value | lr::hw(pintid), false),
            None if latched && renew => {
                self.latch &= !bit;
                (value | lr::LR_PENDING, true)
            }
            // Active and pending in one, which HW=1 does not allow: have the end reported.
            _ if latched => (value | lr::LR_EOI, false),
            _ => (value | resample, false),
        }
    }

    /// Takes interrupt `index` back from a list register that holds `value` now.
    #[inline]
    pub fn move_in(&mut self, index: usize, value: u64, moved: bool, deactivate: bool) {
        let bit = 1u32 << (index & 31);
        self.in_lr &= !bit;
        if moved && value & lr::LR_PENDING != 0 {
            self.latch |= bit;
        }
        if value & lr::LR_ACTIVE != 0 && !deactivate {
            self.active |= bit;
            self.running[index & 31] = lr::priority(value);
        }
    }
}

/// Thirty-two SPIs, with where each one goes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct SpiBank {
    /// Their state.
    pub bank: Bank,
    /// IROUTER as written.
    pub irouter: [u64; 32],
    /// The vCPU that `irouter` selects, or [`NOBODY`].
    pub target: [u8; 32],
    /// The vCPU that has it in a list register or active: only that one deactivates it.
    pub holder: [u8; 32],
}

impl SpiBank {
    /// The state at reset: everything routed to affinity 0.0.0.0.
    pub fn new() -> Self {
        Self { bank: Bank::new(0), irouter: [0; 32], target: [0; 32], holder: [NOBODY; 32] }
    }
}

/// The set bits of a word, lowest first.
#[derive(Clone, Copy)]
pub(super) struct Bits(pub u32);

impl Iterator for Bits {
    type Item = usize;

    #[inline]
    fn next(&mut self) -> Option<usize> {
        if self.0 == 0 {
            return None;
        }
        let index = self.0.trailing_zeros() as usize;
        self.0 &= self.0 - 1;
        Some(index)
    }
}
