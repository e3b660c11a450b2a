//! A guest's general registers, as an exit leaves them.

/// x0 to x30, and where and in what state the guest goes on. `src/el2/vectors.rs` stores and loads
/// it by these offsets.
#[repr(C, align(16))]
#[derive(Clone, Debug)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// ELR_EL2: the instruction to go on with.
    pub pc: u64,
    /// SPSR_EL2: PSTATE to go on in.
    pub pstate: u64,
}

impl Frame {
    /// Registers out of reset: EL1 with its own stack pointer, all interrupts masked
    /// (DDI 0487 D1.3.6.2; PSCI, DEN0022 6.4, says the same for CPU_ON).
    pub const fn reset(entry: u64, x0: u64) -> Self {
        let mut x = [0; 31];
        x[0] = x0;
        Self { x, pc: entry, pstate: 0x3c5 }
    }

    /// General register `n`; 31 is the zero register.
    #[inline(always)]
    pub fn gpr(&self, n: u8) -> u64 {
        self.x.get(usize::from(n)).copied().unwrap_or(0)
    }

    /// Writes general register `n`; 31 is the zero register.
    #[inline(always)]
    pub fn set_gpr(&mut self, n: u8, value: u64) {
        if let Some(register) = self.x.get_mut(usize::from(n)) {
            *register = value;
        }
    }
}
