//! A vCPU's debug registers. Their accesses trap (MDCR_EL2.TDA, TDOSA), so that values are kept
//! here; they are in the hardware only while a guest that uses them runs.

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use aarch64_cpu::registers::{MDCR_EL2, MDSCR_EL1};
use tock_registers::interfaces::{Readable, Writeable};

use super::features::id_register;
use super::traps::MDCR_TDE;
use crate::exit::esr::SysReg;

/// The debug state of a vCPU.
#[derive(Default)]
pub struct Debug {
    /// MDSCR_EL1.
    mdscr: u64,
    /// DBGBVR, DBGBCR, DBGWVR, DBGWCR (the groups 0 to 3), each by number.
    numbered: [[u64; 16]; 4],
    /// OSLSR_EL1.OSLK; a CPU out of reset has it set, and guests that know it clear it.
    pub os_lock: bool,
    /// Somebody enabled something: the hardware holds values while the vCPU runs.
    in_use: bool,
    /// Whose values these are.
    owner: Owner,
}

/// Who has a vCPU's debug registers in the hardware.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub enum Owner {
    /// The guest.
    #[default]
    Guest,
    /// The operator's debugger, to which all debug exceptions go (MDCR_EL2.TDE).
    Debugger,
    /// The same, and the vCPU executes one instruction (MDSCR_EL1.SS; PSTATE.SS is the caller's).
    Stepper,
}

/// The debugger's numbered registers: of the one VM that it is attached to, so there is one set.
static DEBUGGERS: [[AtomicU64; 16]; 4] = [const { [const { AtomicU64::new(0) }; 16] }; 4];

/// Sets them: for each vCPU of the debugger's when it is next loaded.
pub fn set_debuggers(values: &[[u64; 16]; 4]) {
    for (slot, value) in DEBUGGERS.as_flattened().iter().zip(values.as_flattened()) {
        slot.store(*value, Ordering::Relaxed);
    }
}

/// MDSCR_EL1 bits by which debug exceptions happen: SS, KDE, MDE.
const ENABLES: u64 = 1 | 1 << 13 | 1 << 15;
/// SS and MDE of them: by exceptions to EL2, KDE doesn't matter.
const SS: u64 = 1;
const MDE: u64 = 1 << 15;
/// The bits that are a guest's to set: SS, TDCC, KDE, MDE.
const WRITABLE: u64 = ENABLES | 1 << 12;

macro_rules! each {
    ($number:expr, $value:expr, $op2:literal, $($n:literal)*) => {
        match $number {
            // SAFETY: breakpoint and watchpoint registers act on EL1 and EL0 only: HMC is 0 in all
            // control registers, and EL2's own debug exceptions are off (MDSCR_EL1.KDE, PSTATE.D).
            $($n => unsafe {
                asm!(concat!("msr S2_0_C0_C", $n, "_", $op2, ", {}"), in(reg) $value, options(nomem, nostack))
            },)*
            _ => {}
        }
    };
}

fn write(group: usize, number: usize, value: u64) {
    match group {
        0 => each!(number, value, "4", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
        1 => each!(number, value, "5", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
        2 => each!(number, value, "6", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
        _ => each!(number, value, "7", 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15),
    }
}

/// How many registers of a group every CPU has: ID_AA64DFR0_EL1, as guests are shown it, tells in
/// bits 15:12 how many breakpoints there are, less one, and in bits 23:20 how many watchpoints.
pub fn count(group: usize) -> usize {
    let counts = id_register(5, 0) >> if group < 2 { 12 } else { 20 };
    (counts & 0xf) as usize + 1
}

/// Whether every CPU has register `number` of a group.
fn exists(group: usize, number: usize) -> bool {
    number < count(group)
}

/// Group and number of a register, if it is a numbered one that this CPU has: op0=2, op1=0, CRn=0,
/// CRm is the number, and op2 is 4 for the first group.
fn place(register: SysReg) -> Option<(usize, usize)> {
    let (group, number) = (register.op2().checked_sub(4)?.into(), register.crm().into());
    let is_one = (register.op0(), register.op1(), register.crn()) == (2, 0, 0);
    (is_one && exists(group, number)).then_some((group & 3, number & 15))
}

/// Fills this pCPU's numbered registers, and MDSCR_EL1.
fn fill(values: &[[u64; 16]; 4], mdscr: u64) {
    for (group, values) in values.iter().enumerate() {
        for (number, value) in values.iter().enumerate().filter(|(n, _)| exists(group, *n)) {
            write(group, number, *value);
        }
    }
    MDSCR_EL1.set(mdscr);
}

impl Debug {
    /// MDSCR_EL1 as the guest reads it.
    #[inline(always)]
    pub fn mdscr(&self) -> u64 {
        self.mdscr
    }

    /// The guest writes MDSCR_EL1.
    pub fn set_mdscr(&mut self, value: u64) {
        self.mdscr = value & WRITABLE;
        self.refresh();
    }

    /// The guest reads a numbered register; `None` if this isn't one that the CPU has.
    pub fn read(&self, register: SysReg) -> Option<u64> {
        place(register).map(|(group, number)| self.numbered[group][number])
    }

    /// The guest writes a numbered register; `None` as for [`Self::read`].
    pub fn write(&mut self, register: SysReg, value: u64) -> Option<()> {
        let (group, number) = place(register)?;
        // HMC, bit 13 of a control register, would reach for EL2; SSC likewise.
        let is_control = group & 1 == 1;
        self.numbered[group][number] = if is_control { value & !(7 << 13) } else { value };
        self.refresh();
        Some(())
    }

    /// After a write by the guest that runs on this pCPU.
    fn refresh(&mut self) {
        self.put();
        self.give(self.owner);
        self.load();
    }

    /// Who the registers belong to from the next time on that the vCPU is loaded.
    pub fn give(&mut self, owner: Owner) {
        self.owner = owner;
        self.in_use = owner != Owner::Guest || self.mdscr & ENABLES != 0;
    }

    /// The vCPU is loaded.
    #[inline(always)]
    pub fn load(&self) {
        if self.in_use {
            self.load_owners();
        }
    }

    #[cold]
    fn load_owners(&self) {
        let mdscr = match self.owner {
            Owner::Guest => return fill(&self.numbered, self.mdscr),
            Owner::Debugger => MDE,
            Owner::Stepper => MDE | SS,
        };
        let mut values = [[0; 16]; 4];
        for (value, slot) in values.as_flattened_mut().iter_mut().zip(DEBUGGERS.as_flattened()) {
            *value = slot.load(Ordering::Relaxed);
        }
        fill(&values, mdscr);
        MDCR_EL2.set(MDCR_EL2.get() | MDCR_TDE);
    }

    /// The vCPU is put: nothing of it stays enabled.
    #[inline(always)]
    pub fn put(&self) {
        if self.in_use {
            fill(&[[0; 16]; 4], 0);
            MDCR_EL2.set(MDCR_EL2.get() & !MDCR_TDE);
        }
    }
}
