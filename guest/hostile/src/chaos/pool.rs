//! Where the generator takes its choices and its values from.

use super::{CODE, PARK, RAM_END, SCRATCH, SCRATCH_SIZE, Start, alias};

/// A sequence of numbers (SplitMix64), by seed and stream.
#[derive(Clone, Copy, Debug)]
pub struct Rng(u64);

impl Rng {
    /// That of stream `number`.
    pub fn new(seed: u64, number: u64) -> Self {
        let mut rng = Rng(seed);
        let start = rng.next();
        Rng(start ^ number.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// The next number.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        (self.next() >> 16) % end.max(1)
    }

    /// So many random bits.
    pub fn bits(&mut self, count: u32) -> u32 {
        (self.next() >> 16) as u32 & (1_u64 << count).wrapping_sub(1) as u32
    }

    /// True once in `times`.
    pub fn one_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// One of these.
    pub fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

/// A value for a register.
pub fn value(rng: &mut Rng) -> u64 {
    match rng.below(8) {
        0 => 0,
        1 => !0,
        2 => 1 << rng.below(64),
        3 => !(1 << rng.below(64)),
        4 => rng.below(256),
        5 => rng.next() & 0xffff_ffff,
        6 => SCRATCH + rng.below(SCRATCH_SIZE),
        _ => rng.next(),
    }
}

/// A, UMA, DZE, UCT, nTWI, nTWE, E0E, EE, UCI of SCTLR_EL1: with them a handler can still put all
/// back. Not EE where stage 1 is on: the tables would be read in the other order too.
pub fn sctlr_flips(rng: &mut Rng, mmu: bool) -> u64 {
    let mut flips = 0;
    for bit in [1, 9, 14, 15, 16, 18, 26] {
        flips |= u64::from(rng.one_in(3)) << bit;
    }
    for bit in [24, 25] {
        flips |= u64::from(rng.one_in(10) && !(mmu && bit == 25)) << bit;
    }
    flips
}

const GICD: u64 = 0x0800_0000;
const GICR: u64 = 0x080a_0000;
const UART: u64 = 0x0900_0000;
const STOLEN_TIME: u64 = 0x090a_0000;

/// An address for a load, a store or a jump of a stream that began so.
pub fn address(rng: &mut Rng, start: Start, wild: bool) -> u64 {
    let distance = rng.below(33).wrapping_sub(16);
    let near = |at: u64| at.wrapping_add(distance);
    let align = if rng.one_in(4) { 0 } else { 7 };
    let ipa = match rng.below(32) {
        0..8 => SCRATCH + (rng.below(SCRATCH_SIZE) & !align),
        8 => near(SCRATCH + 0x1000 * (1 + rng.below(15))),
        9 => near(RAM_END),
        10 => near(SCRATCH + (rng.below(2) << 21)),
        11..15 => GICD + (rng.below(0x1_0000) & !align),
        15..17 => GICD + (gic_register(rng) & !align),
        // A CPU more than there are.
        17..20 => GICR + rng.below(9) * 0x2_0000 + (rng.below(0x2_0000) & !align),
        20..22 => GICR + rng.below(8) * 0x2_0000 + 0x1_0000 + (gic_register(rng) & !align),
        22 => near(GICD + 0x1_0000),
        // The data register would fill the console.
        23..25 => UART + if rng.one_in(40) { 0 } else { 4 + (rng.below(0xffc) & !align) },
        25 => near(UART + 0x1000),
        26 => STOLEN_TIME + (rng.below(0x1000) & !align),
        27 => rng.of(&[0, 0x0a00_0000, 0x1000_0000, 0x3fff_fff8, 0x5000_0000, 0x7fff_fff8]),
        28 => near(CODE + 0x1000 * rng.below(8)),
        29 => return near(1 << rng.of(&[32, 36, 39, 40, 42, 44, 48, 52, 55, 56, 63])),
        30 if wild && rng.one_in(6) => 0x4020_0000 + (rng.below(0x20_0000) & !align),
        30 => PARK + (rng.below(0x1000) & !align),
        _ => return near(rng.of(&[0, !0 << 39, !0 << 48, !0, alias::TOP, alias::ABOVE])),
    };
    translated(rng, start, ipa)
}

/// A virtual address of that IPA, mostly one that the stream may use.
fn translated(rng: &mut Rng, start: Start, ipa: u64) -> u64 {
    if !start.mmu {
        return ipa;
    }
    let user = start.pstate & 4 == 0;
    let (offset, device) = (ipa & 0x3fff_ffff, ipa < 0x4000_0000);
    match (device, user || rng.one_in(6)) {
        (true, true) => alias::DEVICES + offset,
        (true, false) if rng.one_in(8) => alias::CACHED + offset,
        (false, true) => alias::USER + offset,
        (false, false) if rng.one_in(8) => alias::UNCACHED + offset,
        (false, false) if rng.one_in(8) => alias::CODE + offset,
        _ => ipa,
    }
}

/// A register that distributor and SGI frame have.
fn gic_register(rng: &mut Rng) -> u64 {
    let group = rng.of(&[0, 0x80, 0x100, 0x180, 0x200, 0x280, 0x300, 0x380, 0x400, 0xc00, 0xd00]);
    group + rng.below(0x40)
}
