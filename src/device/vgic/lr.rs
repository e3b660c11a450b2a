//! The layout of a list register and of the hypervisor control register (IHI 0069, chapter 12).

/// ICH_LR_EL2.State, bit 0: pending.
pub const LR_PENDING: u64 = 1 << 62;
/// ICH_LR_EL2.State, bit 1: active. Both bits: active and pending.
pub const LR_ACTIVE: u64 = 1 << 63;
/// ICH_LR_EL2.HW: deactivation by the guest also deactivates the physical interrupt `pINTID`.
pub const LR_HW: u64 = 1 << 61;
/// ICH_LR_EL2.Group: Group 1, signalled as IRQ; else Group 0, signalled as FIQ.
pub const LR_GROUP1: u64 = 1 << 60;
/// ICH_LR_EL2.EOI, where HW is 0: a maintenance interrupt when the guest has deactivated it.
pub const LR_EOI: u64 = 1 << 41;

/// ICH_HCR_EL2.En: the virtual CPU interface signals interrupts.
pub const HCR_EN: u64 = 1 << 0;
/// ICH_HCR_EL2.LRENPIE: maintenance interrupt while EOIcount is not zero.
pub const HCR_LRENPIE: u64 = 1 << 2;
/// ICH_HCR_EL2.NPIE: maintenance interrupt while no list register is pending.
pub const HCR_NPIE: u64 = 1 << 3;
/// ICH_HCR_EL2.VGrp0EIE: maintenance interrupt while the guest has Group 0 enabled.
/// The bits of Group 1 follow two places further up.
pub const HCR_VGRP0_EIE: u64 = 1 << 4;
/// ICH_HCR_EL2.VGrp0DIE: maintenance interrupt while the guest has Group 0 disabled.
pub const HCR_VGRP0_DIE: u64 = 1 << 5;
/// ICH_HCR_EL2.TDIR: the guest's writes of ICC_DIR_EL1 trap (see [`super::Vgic::dir`]).
pub const HCR_TDIR: u64 = 1 << 14;
/// Lowest bit of ICH_HCR_EL2.EOIcount, five bits wide.
pub const HCR_EOICOUNT_SHIFT: u32 = 27;

/// ICH_VMCR_EL2.VENG0: the guest's ICC_IGRPEN0_EL1. VENG1 is the next bit.
pub const VMCR_VENG0: u64 = 1 << 0;
/// ICH_VMCR_EL2.VEOIM: the guest's ICC_CTLR_EL1.EOImode.
pub const VMCR_VEOIM: u64 = 1 << 9;
/// Lowest bit of ICH_VMCR_EL2.VPMR, the guest's ICC_PMR_EL1, eight bits wide.
pub const VMCR_VPMR_SHIFT: u32 = 24;

/// ICH_LR_EL2.vINTID; the model has no identifiers past 1023.
pub const fn intid(lr: u64) -> u32 {
    lr as u32 & 0x3ff
}

/// ICH_LR_EL2.Priority.
pub const fn priority(lr: u64) -> u8 {
    (lr >> 48) as u8
}

/// A list register without its state: identifier and priority.
pub const fn compose(intid: u32, priority: u8) -> u64 {
    intid as u64 | (priority as u64) << 48
}

/// HW and pINTID of a list register with the physical interrupt `pintid` behind it.
pub const fn hw(pintid: u16) -> u64 {
    LR_HW | (pintid as u64 & 0x1fff) << 32
}

/// pINTID of such a one.
pub const fn pintid(lr: u64) -> u16 {
    (lr >> 32) as u16 & 0x1fff
}

/// Whether a *pending* interrupt of this priority and group can be signalled at all under the
/// guest's ICC_PMR_EL1 and ICC_IGRPENn_EL1, as ICH_VMCR_EL2 holds them.
pub const fn unmasked(vmcr: u64, priority: u8, group1: bool) -> bool {
    let enabled = vmcr & (VMCR_VENG0 << group1 as u32) != 0;
    enabled && (priority as u64) < (vmcr >> VMCR_VPMR_SHIFT) & 0xff
}

/// Whether a list register with this value holds an interrupt: its State is not zero.
pub const fn is_valid(lr: u64) -> bool {
    lr & (LR_PENDING | LR_ACTIVE) != 0
}

/// Whether a list register with this value may be overwritten without loss (ICH_ELRSR_EL2).
pub const fn is_empty(lr: u64) -> bool {
    !is_valid(lr) && (lr & LR_HW != 0 || lr & LR_EOI == 0)
}
