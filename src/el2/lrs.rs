//! This pCPU's virtual CPU interface: the list registers, as the vGIC's model writes them.

use aarch64_cpu::registers::*;
use tock_registers::interfaces::{Readable, Writeable};

use super::regs::ICH_ELRSR_EL2;
use crate::device::vgic::CpuInterface;
use crate::platform::gic;

/// The pCPU's own. Zero-sized: it stands for the right to touch the registers, which the run loop
/// has while a vCPU is loaded.
pub struct ListRegisters;

/// The first four (most cores have no more) by two comparisons, the others by a table.
macro_rules! by_index {
    ($index:expr, $do:ident, $other:expr) => {
        if $index < 4 {
            match ($index & 2 == 0, $index & 1 == 0) {
                (true, true) => $do!(ICH_LR0_EL2),
                (true, false) => $do!(ICH_LR1_EL2),
                (false, true) => $do!(ICH_LR2_EL2),
                (false, false) => $do!(ICH_LR3_EL2),
            }
        } else {
            match $index {
                4 => $do!(ICH_LR4_EL2),
                5 => $do!(ICH_LR5_EL2),
                6 => $do!(ICH_LR6_EL2),
                7 => $do!(ICH_LR7_EL2),
                8 => $do!(ICH_LR8_EL2),
                9 => $do!(ICH_LR9_EL2),
                10 => $do!(ICH_LR10_EL2),
                11 => $do!(ICH_LR11_EL2),
                12 => $do!(ICH_LR12_EL2),
                13 => $do!(ICH_LR13_EL2),
                14 => $do!(ICH_LR14_EL2),
                15 => $do!(ICH_LR15_EL2),
                _ => $other,
            }
        }
    };
}

impl CpuInterface for ListRegisters {
    #[inline(always)]
    fn lr_count(&self) -> usize {
        // ICH_VTR_EL2.ListRegs, bits 4:0: the number less one.
        (ICH_VTR_EL2.get() as usize & 0x1f) + 1
    }

    #[inline(always)]
    fn lr(&self, index: usize) -> u64 {
        macro_rules! get {
            ($register:ident) => {
                $register.get()
            };
        }
        by_index!(index, get, 0)
    }

    #[inline(always)]
    fn set_lr(&mut self, index: usize, value: u64) {
        macro_rules! set {
            ($register:ident) => {
                $register.set(value)
            };
        }
        by_index!(index, set, ())
    }

    #[inline(always)]
    fn elrsr(&self) -> u32 {
        ICH_ELRSR_EL2.get() as u32
    }

    #[inline(always)]
    fn hcr(&self) -> u64 {
        ICH_HCR_EL2.get()
    }

    #[inline(always)]
    fn set_hcr(&mut self, value: u64) {
        ICH_HCR_EL2.set(value);
    }

    #[inline(always)]
    fn vmcr(&self) -> u64 {
        ICH_VMCR_EL2.get()
    }

    fn set_physical_active(&mut self, pintid: u16, active: bool) {
        gic::set_active(pintid.into(), active);
    }
}

/// Empties the list registers, which out of reset hold anything, and turns the interface off.
pub fn init() {
    let mut own = ListRegisters;
    for index in 0..own.lr_count() {
        own.set_lr(index, 0);
    }
    own.set_hcr(0);
}
