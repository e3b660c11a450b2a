//! The virtual CPU interface of a GICv3, as far as a guest and the hypervisor can see it: list
//! registers, priorities, EOIcount and the maintenance interrupt (IHI 0069, chapters 4.8 and 6).

use super::CpuInterface;
use super::lr::{self, LR_ACTIVE, LR_EOI, LR_HW, LR_PENDING};
use std::collections::BTreeSet;
use std::vec::Vec;

const STATE: u64 = LR_PENDING | LR_ACTIVE;

/// One pCPU's.
#[derive(Clone, PartialEq, Eq, Debug, Hash)]
pub struct Hardware {
    lrs: Vec<u64>,
    hcr: u64,
    pub vmcr: u64,
    /// ICH_AP0R and AP1R: the priorities of what runs, most recent last.
    pub running: Vec<u8>,
    /// Active physical interrupts.
    pub physical: BTreeSet<u16>,
    /// A list register forgets that this interrupt is pending: tests see that it is found out.
    pub loses: Option<u32>,
}

impl Hardware {
    pub fn new(lrs: usize) -> Self {
        Self {
            lrs: std::vec![0; lrs],
            hcr: 0,
            // Both groups enabled, all priorities let through.
            vmcr: 0xff << lr::VMCR_VPMR_SHIFT | 3,
            running: Vec::new(),
            physical: BTreeSet::new(),
            loses: None,
        }
    }

    fn eoi_mode(&self) -> bool {
        self.vmcr & lr::VMCR_VEOIM != 0
    }

    /// The list register that is signalled: the pending one of the highest priority, if it is
    /// not masked and may preempt.
    fn signalled(&self) -> Option<usize> {
        let enabled = |v: u64| self.vmcr & (1 << u32::from(v & lr::LR_GROUP1 != 0)) != 0;
        let best = (0..self.lrs.len())
            .filter(|&i| self.lrs[i] & STATE == LR_PENDING && enabled(self.lrs[i]))
            .min_by_key(|&i| lr::priority(self.lrs[i]))?;
        let value = self.lrs[best];
        let priority = lr::priority(value);
        let unmasked = lr::unmasked(self.vmcr, priority, value & lr::LR_GROUP1 != 0);
        let preempts = self.running.last().is_none_or(|&r| priority < r);
        (self.hcr & lr::HCR_EN != 0 && unmasked && preempts).then_some(best)
    }

    /// ICC_IAR0/1_EL1: what is signalled becomes active.
    pub fn acknowledge(&mut self) -> Option<u32> {
        let slot = self.signalled()?;
        let value = self.lrs[slot];
        self.lrs[slot] = value & !STATE | LR_ACTIVE;
        self.running.push(lr::priority(value));
        Some(lr::intid(value))
    }

    /// ICC_HPPIR0/1_EL1: what would be acknowledged, and its priority.
    pub fn peek(&self) -> Option<(u32, u8)> {
        let value = self.lrs[self.signalled()?];
        Some((lr::intid(value), lr::priority(value)))
    }

    /// ICC_EOIR0/1_EL1 of the interrupt that runs. It is deactivated if the list register has
    /// the priority that is dropped.
    pub fn end(&mut self, intid: u32) {
        let Some(dropped) = self.running.pop() else { return };
        let same = |&v: &u64| v & LR_ACTIVE != 0 && lr::intid(v) == intid;
        let other = |&v: &u64| lr::priority(v) != dropped;
        if !self.eoi_mode() && !self.lrs.iter().filter(|v| same(v)).any(other) {
            self.deactivate(intid);
        }
    }

    /// A list register with HW=1 has an active physical interrupt behind it.
    pub fn check_physical(&self) {
        for value in &self.lrs {
            if value & LR_HW != 0 && value & STATE != 0 {
                assert!(self.physical.contains(&((value >> 32) as u16 & 0x1fff)));
                assert_ne!(value & STATE, STATE, "active and pending with HW=1");
            }
        }
    }

    /// ICC_DIR_EL1 where it does not trap. True where it does.
    pub fn dir(&mut self, intid: u32) -> bool {
        if self.hcr & lr::HCR_TDIR != 0 {
            return true;
        }
        self.deactivate(intid);
        false
    }

    fn deactivate(&mut self, intid: u32) {
        let found = |&&mut v: &&mut u64| v & LR_ACTIVE != 0 && lr::intid(v) == intid;
        match self.lrs.iter_mut().find(found) {
            Some(value) => {
                *value &= !LR_ACTIVE;
                if *value & LR_HW != 0 {
                    self.physical.remove(&((*value >> 32) as u16 & 0x1fff));
                }
            }
            None => self.hcr = self.hcr.wrapping_add(1 << lr::HCR_EOICOUNT_SHIFT),
        }
    }

    /// Whether ICH_MISR_EL2 is not zero.
    pub fn maintenance(&self) -> bool {
        let on = |bit| self.hcr & bit != 0;
        let group = |g: u32| self.vmcr & (1 << g) != 0;
        let ended = |&v: &u64| v & (STATE | LR_HW | LR_EOI) == LR_EOI;
        let pending = |&v: &u64| v & STATE == LR_PENDING;
        self.lrs.iter().any(ended)
            || on(lr::HCR_NPIE) && !self.lrs.iter().any(pending)
            || on(lr::HCR_LRENPIE) && self.hcr >> lr::HCR_EOICOUNT_SHIFT != 0
            || (0..2).any(|g| on(lr::HCR_VGRP0_EIE << (2 * g)) && group(g))
            || (0..2).any(|g| on(lr::HCR_VGRP0_DIE << (2 * g)) && !group(g))
    }

    /// All list registers are zero and the interface is off: a vCPU may be loaded.
    pub fn is_clear(&self) -> bool {
        self.hcr == 0 && self.lrs.iter().all(|&v| v & (STATE | LR_EOI) == 0)
    }

    /// The list registers in use.
    pub fn occupied(&self) -> usize {
        self.lrs.iter().filter(|&&v| v & STATE != 0).count()
    }
}

impl CpuInterface for Hardware {
    fn lr_count(&self) -> usize {
        self.lrs.len()
    }

    fn lr(&self, index: usize) -> u64 {
        self.lrs[index]
    }

    fn set_lr(&mut self, index: usize, value: u64) {
        let lost = if self.loses == Some(lr::intid(value)) { LR_PENDING } else { 0 };
        self.lrs[index] = value & !lost;
    }

    fn elrsr(&self) -> u32 {
        let free = |v: u64| v & STATE == 0 && (v & LR_HW != 0 || v & LR_EOI == 0);
        (0..self.lrs.len()).fold(0, |mask, i| mask | u32::from(free(self.lrs[i])) << i)
    }

    fn hcr(&self) -> u64 {
        self.hcr
    }

    fn set_hcr(&mut self, value: u64) {
        self.hcr = value;
    }

    fn vmcr(&self) -> u64 {
        self.vmcr
    }

    fn set_physical_active(&mut self, pintid: u16, active: bool) {
        if active {
            self.physical.insert(pintid);
        } else {
            self.physical.remove(&pintid);
        }
    }
}
