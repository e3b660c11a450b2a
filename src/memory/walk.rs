//! A walk of translation tables by software, for people who look on: of a guest's stage 1, or of
//! stage 2 (Arm DDI 0487 D8, "Translation process"). Tables of 4, 16 and 64 KiB granule.

use arrayvec::ArrayVec;

/// TG0 and TG1 of TCR_EL1 and VTCR_EL2: the granule, as log2 of its bytes. Reserved values are taken
/// for 4 KiB, one of the choices that the manual leaves (D24.2, "TCR_EL1").
const TG0: [u8; 4] = [12, 16, 14, 12];
const TG1: [u8; 4] = [12, 14, 12, 16];

/// Where a walk begins and how far it reaches.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Regime {
    /// The first table.
    pub root: u64,
    /// log2 of the granule's bytes.
    pub granule: u8,
    /// Bits of an input address.
    pub bits: u8,
    /// The level that the first table is of.
    pub start: u8,
    /// The top byte of an address is ignored (TBI).
    pub tagged: bool,
}

/// What translates a guest's virtual addresses: registers of EL1.
#[derive(Clone, Copy, Default, Debug)]
pub struct Stage1 {
    /// SCTLR_EL1.
    pub sctlr: u64,
    /// TCR_EL1.
    pub tcr: u64,
    /// TTBR0_EL1 and TTBR1_EL1.
    pub ttbr: [u64; 2],
}

/// A descriptor on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Step {
    /// The level that it is of.
    pub level: u8,
    /// Where it is: an IPA in stage 1, a PA in stage 2.
    pub at: u64,
    /// What is there.
    pub descriptor: u64,
}

/// How a walk ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum End {
    /// At this address, by a block or page whose size's log2 is given.
    Leaf(u64, u8),
    /// At a descriptor that is invalid, or reserved, of this level: a translation fault.
    Fault(u8),
    /// At a table that isn't in memory: its address.
    NoTable(u64),
    /// Before it has begun: the address is none of this regime's, or walks are off (TCR_EL1.EPDn).
    NotCovered,
    /// There is no translation: SCTLR_EL1.M is 0.
    Flat,
}

/// A walk, step by step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Walk {
    /// From the first level on.
    pub steps: ArrayVec<Step, 5>,
    /// How it ends.
    pub end: End,
}

impl Stage1 {
    /// Whether the high half, TTBR1_EL1's, has `va`: bit 55 says so, tagged or not.
    const fn is_high(va: u64) -> bool {
        va >> 55 & 1 != 0
    }

    /// What translates `va`. `None` where TCR_EL1 forbids walks for it.
    pub fn regime(&self, va: u64) -> Option<Regime> {
        let high = Self::is_high(va);
        // T0SZ 5:0, EPD0 7, TG0 15:14, TBI0 37; T1SZ 21:16, EPD1 23, TG1 31:30, TBI1 38.
        let (half, granule, tbi) = match high {
            false => (self.tcr, TG0[(self.tcr >> 14 & 3) as usize], 37),
            true => (self.tcr >> 16, TG1[(self.tcr >> 30 & 3) as usize], 38),
        };
        let bits = 64u8.saturating_sub((half & 0x3f) as u8).clamp(granule + 1, 52);
        let stride = granule - 3;
        let levels = (bits - granule).div_ceil(stride).clamp(1, 4);
        let walks = half >> 7 & 1 == 0;
        walks.then_some(Regime {
            // BADDR, bits 47:1; CnP below it, the ASID above.
            root: self.ttbr[usize::from(high)] & 0xffff_ffff_fffe,
            granule,
            bits,
            start: 4 - levels,
            tagged: self.tcr >> tbi & 1 != 0,
        })
    }

    /// Walks for `va`; `read` reads a descriptor in the guest's memory.
    pub fn walk(&self, va: u64, read: impl FnMut(u64) -> Option<u64>) -> Walk {
        // SCTLR_EL1.M.
        if self.sctlr & 1 == 0 {
            return Walk { steps: ArrayVec::new(), end: End::Flat };
        }
        let regime = self.regime(va);
        // Above the input address all bits are as bit 55, or the top byte is anything.
        let covered = regime.filter(|regime| {
            let shift = if regime.tagged { 8 } else { 0 };
            let above = ((va << shift) as i64) >> (shift + regime.bits).min(63);
            above == if Self::is_high(va) { -1 } else { 0 }
        });
        match covered {
            Some(regime) => regime.walk(va & ((1 << regime.bits) - 1), read),
            None => Walk { steps: ArrayVec::new(), end: End::NotCovered },
        }
    }

    /// Where `va` leads.
    pub fn translate(&self, va: u64, read: impl FnMut(u64) -> Option<u64>) -> Option<u64> {
        match self.walk(va, read).end {
            End::Leaf(ipa, _) => Some(ipa),
            End::Flat => Some(va),
            _ => None,
        }
    }
}

impl Regime {
    /// Stage 2's, by VTTBR_EL2 and VTCR_EL2: T0SZ 5:0, SL0 7:6; 4 KiB granule.
    pub const fn stage2(vttbr: u64, vtcr: u64) -> Self {
        Self {
            root: vttbr & 0xffff_ffff_fffe,
            granule: 12,
            bits: 64 - (vtcr & 0x1f) as u8,
            start: 2 - (vtcr >> 6 & 1) as u8,
            tagged: false,
        }
    }

    /// log2 of what a descriptor of `level` translates.
    pub const fn shift(&self, level: u8) -> u8 {
        self.granule + 3u8.saturating_sub(level) * (self.granule - 3)
    }

    /// The address in `descriptor`, from bit `low` on: bits 47:12; with 64 KiB granule bits 15:12
    /// are 51:48 (FEAT_LPA).
    const fn output(&self, descriptor: u64, low: u8) -> u64 {
        let address = descriptor & 0xffff_ffff_ffff & !((1 << low) - 1);
        let high = if self.granule == 16 { (descriptor >> 12 & 0xf) << 48 } else { 0 };
        address | high
    }

    /// The table that `descriptor` of `level` leads to, if it is one.
    pub const fn table(&self, level: u8, descriptor: u64) -> Option<u64> {
        match (descriptor & 3, level) {
            (3, ..3) => Some(self.output(descriptor, self.granule)),
            _ => None,
        }
    }

    /// The block or page that `descriptor` of `level` maps, if it does: at level 3, at level 2, and
    /// with 4 KiB granule at level 1.
    pub const fn leaf(&self, level: u8, descriptor: u64) -> Option<u64> {
        match (descriptor & 3, level) {
            (3, 3) | (1, 2) => Some(self.output(descriptor, self.shift(level))),
            (1, 1) if self.granule == 12 => Some(self.output(descriptor, self.shift(level))),
            _ => None,
        }
    }

    /// Walks for `address`, which has no more bits than the regime.
    pub fn walk(&self, address: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Walk {
        let mut walk = Walk { steps: ArrayVec::new(), end: End::NotCovered };
        if address >> self.bits.min(63) != 0 {
            return walk;
        }
        let mut table = self.root;
        for level in self.start..4 {
            let shift = self.shift(level);
            // The first level has the bits that are left: fewer than a page of descriptors, or with
            // stage 2's concatenated tables more.
            let index = match level == self.start {
                true => address >> shift,
                false => address >> shift & ((1 << (self.granule - 3)) - 1),
            };
            let at = table.wrapping_add(index.wrapping_mul(8));
            let Some(descriptor) = read(at) else {
                walk.end = End::NoTable(table);
                return walk;
            };
            let _ = walk.steps.try_push(Step { level, at, descriptor });
            walk.end = End::Fault(level);
            if let Some(output) = self.leaf(level, descriptor) {
                walk.end = End::Leaf(output | address & ((1 << shift) - 1), shift);
                return walk;
            }
            match self.table(level, descriptor) {
                Some(below) => table = below,
                None => return walk,
            }
        }
        walk
    }
}

#[cfg(test)]
mod tests;
