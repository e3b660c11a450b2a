//! The state of 32 interrupts as words, one bit an interrupt, the way the registers show it.

use super::lr;

/// Thirty-two interrupts: the SGIs and PPIs of one vCPU, or SPIs.
///
/// What is in a list register has *left* the bank: its bit in `in_lr` is set, and `latch` and
/// `active` are zero for it until the list register is folded back, except for what happened
/// since: a new edge sets `latch`, a remote write of ISACTIVER sets `active`.
#[derive(Clone, PartialEq, Eq, Debug, Hash, Default)]
pub(super) struct Bank {
    /// ISENABLER.
    pub enabled: u32,
    /// IGROUPR: 1 = Group 1.
    pub group: u32,
    /// What is enabled, by itself and by its group: [`Bank::allow`] keeps it up to date.
    pub allowed: u32,
    /// ICFGR: 1 = edge-triggered.
    pub edge: u32,
    /// Pending by an edge, an SGI or ISPENDR.
    pub latch: u32,
    /// The input line of the interrupt.
    pub level: u32,
    /// Acknowledged, or made active by ISACTIVER, and not yet deactivated.
    pub active: u32,
    /// Of `active` and of what was active as it went into a list register: made so by ISACTIVER,
    /// and never acknowledged.
    pub unacknowledged: u32,
    /// Lies in a list register, `slot`, of the vCPU that holds it, `holder`.
    pub in_lr: u32,
    /// Of `in_lr`: took the latch along.
    pub moved: u32,
    /// Of `in_lr`: was active when all list registers were last written.
    pub was_active: u32,
    /// Of `in_lr`: another vCPU has deactivated it.
    pub deactivated: u32,
    /// IROUTER.Interrupt_Routing_Mode: any vCPU will do.
    pub any: u32,
    /// IROUTER's affinity, Aff3 to Aff0.
    pub route: [u32; 32],
    /// The vCPU of this affinity, or a number that none has.
    pub routed: [u8; 32],
    /// IPRIORITYR.
    pub priority: [u8; 32],
    /// The priority with which an interrupt became active. The CPU interface compares it when
    /// the guest ends the interrupt, so a later write of IPRIORITYR must not reach it.
    pub running: [u8; 32],
    /// The vCPU that has it in a list register or active: only that one's guest can end it.
    pub holder: [u8; 32],
    /// The list register in which it lies.
    pub slot: [u8; 32],
}

impl Bank {
    /// The state at reset, with all interrupts routed to `vcpu` of affinity `route`; `edge` holds
    /// those that are edge-triggered for good.
    pub fn new(vcpu: usize, route: u32, edge: u32) -> Self {
        Self {
            edge,
            route: [route; 32],
            routed: [vcpu as u8; 32],
            holder: [vcpu as u8; 32],
            ..Self::default()
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

    /// The vCPU to which interrupt `index` goes; `any` is that of the one-of-N kind.
    #[inline]
    pub fn target(&self, index: usize, any: usize) -> usize {
        if self.any >> (index & 31) & 1 != 0 { any } else { self.routed[index & 31].into() }
    }

    /// IROUTER of interrupt `index`: Aff3 in 39:32, IRM in 31, Aff2 to Aff0.
    pub fn router(&self, index: usize) -> u64 {
        let (route, any) = (u64::from(self.route[index & 31]), self.any >> (index & 31) & 1);
        (route & 0xff00_0000) << 8 | u64::from(any) << 31 | route & 0xff_ffff
    }

    /// Writes it; its affinity is that of vCPU `routed`.
    pub fn set_router(&mut self, index: usize, value: u64, routed: u8) {
        let bit = 1 << (index & 31);
        self.any = if value & 1 << 31 != 0 { self.any | bit } else { self.any & !bit };
        self.routed[index & 31] = routed;
        self.route[index & 31] = (value >> 8) as u32 & 0xff00_0000 | value as u32 & 0xff_ffff;
    }

    /// A list register's value for interrupt `intid` without state and source.
    #[inline]
    pub fn compose(&self, intid: u32, priority: u8) -> u64 {
        let group = u64::from(self.group >> (intid & 31) & 1) * lr::LR_GROUP1;
        lr::compose(intid, priority) | group
    }

    /// Moves interrupt `intid` into a list register and returns its value. `hw` is HW and pINTID
    /// where a physical interrupt is behind it, or 0. An active interrupt takes its latch along
    /// only with `renew`.
    #[inline(always)]
    pub fn move_out(&mut self, intid: u32, hw: u64, renew: bool) -> u64 {
        let index = intid as usize & 31;
        let bit = 1u32 << index;
        let latched = self.latch & bit;
        let was_active = self.active & bit;
        // A level is sampled again when the guest has ended the interrupt: EOI asks for the
        // maintenance interrupt. With HW=1 the physical GIC samples, and the bit is not there.
        let end = if hw != 0 {
            hw
        } else if self.edge & bit == 0 {
            lr::LR_EOI
        } else {
            0
        };
        self.in_lr |= bit;
        self.active &= !bit;
        self.was_active = self.was_active & !bit | was_active;
        let (priority, state, takes_latch) = if was_active == 0 {
            (self.priority[index], lr::LR_PENDING | end, true)
        } else if latched == 0 {
            (self.running[index], lr::LR_ACTIVE | end, false)
        } else if renew && end == 0 && self.running[index] == self.priority[index] {
            (self.running[index], lr::LR_ACTIVE | lr::LR_PENDING, true)
        } else {
            // Active and pending in one, but not in one register: have the end reported.
            (self.running[index], lr::LR_ACTIVE | lr::LR_EOI, false)
        };
        let moved = if takes_latch { latched } else { 0 };
        self.moved = self.moved & !bit | moved;
        self.latch &= !moved;
        self.compose(intid, priority) | state
    }

    /// Takes interrupt `index` back from a list register that holds `value` now.
    #[inline]
    pub fn move_in(&mut self, index: usize, value: u64) {
        let bit = 1u32 << (index & 31);
        if value & lr::LR_PENDING != 0 {
            self.latch |= self.moved & bit;
        }
        if value & lr::LR_ACTIVE != 0 && self.deactivated & bit == 0 {
            self.active |= bit;
            self.running[index & 31] = lr::priority(value);
        } else {
            // If it is active all the same, then by a register and since.
            self.unacknowledged = self.unacknowledged & !bit | self.active & bit;
        }
        self.in_lr &= !bit;
        self.was_active &= !bit;
        self.deactivated &= !bit;
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
