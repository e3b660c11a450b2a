//! A vCPU's debug registers. Their accesses trap (MDCR_EL2.TDA, TDOSA), so that values are kept
//! here; they are in the hardware only while a guest that uses them runs.

use core::arch::asm;

use aarch64_cpu::registers::{ID_AA64DFR0_EL1, MDSCR_EL1};
use tock_registers::interfaces::{Readable, Writeable};

/// The four groups of numbered registers, by `op2` of their encoding (op0=2, op1=0, CRn=0, CRm=n).
#[derive(Clone, Copy, PartialEq, Eq)]
#[expect(missing_docs, reason = "the registers' names")]
pub enum Group {
    Bvr = 4,
    Bcr = 5,
    Wvr = 6,
    Wcr = 7,
}

/// The debug state of a vCPU.
#[derive(Default)]
pub struct Debug {
    /// MDSCR_EL1.
    mdscr: u64,
    /// DBGBVR, DBGBCR, DBGWVR, DBGWCR by number.
    numbered: [[u64; 16]; 4],
    /// OSLSR_EL1.OSLK; a CPU out of reset has it set, and guests that know it clear it.
    pub os_lock: bool,
    /// The guest enabled something: the hardware holds its values while it runs.
    in_use: bool,
}

/// MDSCR_EL1 bits by which debug exceptions happen: SS, KDE, MDE.
const ENABLES: u64 = 1 | 1 << 13 | 1 << 15;
/// The bits that are a guest's to set: SS, TDCC, KDE, MDE.
const WRITABLE: u64 = ENABLES | 1 << 12;

macro_rules! each {
    ($number:expr, $value:expr, $op2:literal, $($n:literal)*) => {
        match $number {
            // SAFETY: breakpoint and watchpoint registers act on EL1 and EL0 only: BCR.HMC is
            // masked off, and EL2's own debug exceptions are off (MDCR_EL2.TDE=0, MDSCR.KDE).
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

/// Numbers of breakpoints and watchpoints that this CPU has.
fn counts() -> (usize, usize) {
    let dfr0 = ID_AA64DFR0_EL1.get();
    (((dfr0 >> 12) & 0xf) as usize + 1, ((dfr0 >> 20) & 0xf) as usize + 1)
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

    /// The guest reads a numbered register; those that the CPU lacks read as 0 and are UNDEFINED
    /// to the caller.
    pub fn read(&self, group: Group, number: usize) -> Option<u64> {
        self.exists(group, number).then(|| self.numbered[group as usize - 4][number & 15])
    }

    /// The guest writes a numbered register.
    pub fn write(&mut self, group: Group, number: usize, value: u64) -> Option<()> {
        if !self.exists(group, number) {
            return None;
        }
        // HMC, bit 13 of a control register, would reach for EL2; SSC likewise.
        let value =
            if matches!(group, Group::Bcr | Group::Wcr) { value & !(7 << 13) } else { value };
        self.numbered[group as usize - 4][number & 15] = value;
        self.refresh();
        Some(())
    }

    fn exists(&self, group: Group, number: usize) -> bool {
        let (breakpoints, watchpoints) = counts();
        number < if matches!(group, Group::Bvr | Group::Bcr) { breakpoints } else { watchpoints }
    }

    /// After a write by the guest that runs on this pCPU.
    fn refresh(&mut self) {
        let was = self.in_use;
        self.in_use = self.mdscr & ENABLES != 0;
        if self.in_use {
            self.load();
        } else if was {
            self.in_use = true;
            self.put();
            self.in_use = false;
        }
    }

    /// The vCPU is loaded.
    #[inline(always)]
    pub fn load(&self) {
        if self.in_use {
            self.load_registers();
        }
    }

    fn load_registers(&self) {
        let (breakpoints, watchpoints) = counts();
        for (group, values) in self.numbered.iter().enumerate() {
            let count = if group < 2 { breakpoints } else { watchpoints };
            for (number, value) in values.iter().enumerate().take(count) {
                write(group, number, *value);
            }
        }
        MDSCR_EL1.set(self.mdscr);
    }

    /// The vCPU is put: nothing of it stays enabled.
    #[inline(always)]
    pub fn put(&self) {
        if self.in_use {
            for number in 0..16 {
                let (breakpoints, watchpoints) = counts();
                if number < breakpoints {
                    write(1, number, 0);
                    write(0, number, 0);
                }
                if number < watchpoints {
                    write(3, number, 0);
                    write(2, number, 0);
                }
            }
            MDSCR_EL1.set(0);
        }
    }
}
