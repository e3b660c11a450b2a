//! Random instruction streams, each a pure function of a seed and its number: the guest `chaos` runs
//! them, and the host makes the same ones to count and to show them.
//!
//! A stream is a row of slots: an instruction of interest, and before it what puts interesting
//! values into the registers that it uses. It is position independent, and whatever it does it goes
//! on: its exceptions are skipped by the guest's handlers. Most streams are *tame*: they leave out
//! the few writes after which no handler of the guest's own can run. A *wild* one has everything.
//! (Where virtual time is counted by instructions all have to be tame: a CPU that can't fetch its
//! own vector takes one exception after the other and executes nothing, so that time stands still.)

mod memory;
mod pool;
mod system;

use pool::Rng;

/// RAM of the guest, in MiB.
pub const MEMORY_MIB: u32 = 16;
/// The end of it.
pub const RAM_END: u64 = 0x4000_0000 + ((MEMORY_MIB as u64) << 20);
/// What a stream may read and write at will.
pub const SCRATCH: u64 = 0x40c0_0000;
/// Its size in bytes.
pub const SCRATCH_SIZE: u64 = 0x1_0000;
/// Code that turns its CPU off: where CPU_ON in a stream mostly starts one.
pub const PARK: u64 = 0x40b8_0000;
/// Where each CPU has its stream, a page, and the distance from one to the next.
pub const CODE: u64 = 0x40a0_0000;
/// The distance.
pub const CODE_STRIDE: u64 = 0x1000;

/// GiB by GiB of virtual addresses, from 3 on: what is mapped there beside the identity map.
pub mod alias {
    /// RAM, read-only and executable, for EL0 too.
    pub const CODE: u64 = 3 << 30;
    /// RAM, for EL0 too.
    pub const USER: u64 = 4 << 30;
    /// Devices, for EL0 too.
    pub const DEVICES: u64 = 5 << 30;
    /// Devices as Normal memory.
    pub const CACHED: u64 = 6 << 30;
    /// The top of a 40-bit physical address space.
    pub const TOP: u64 = 7 << 30;
    /// What lies above RAM.
    pub const ABOVE: u64 = 8 << 30;
    /// RAM, not cacheable.
    pub const UNCACHED: u64 = 9 << 30;
}

/// The SVC that ends a stream.
pub const END_IMMEDIATE: u16 = 0xe0d;
/// Its instruction.
pub const END: u32 = 0xd400_0001 | (END_IMMEDIATE as u32) << 5;

/// The words that a stream has at most; the rest of its page is [`END`].
pub const MAX_WORDS: usize = 992;

/// What kinds of slots there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
pub enum Class {
    /// Loads and stores of general registers, of all addressing forms.
    Memory,
    /// Loads and stores of SIMD and FP registers.
    Simd,
    /// Exclusive, ordered and atomic accesses.
    Atomic,
    /// MSR, MRS, SYS and SYSL, of every encoding.
    Register,
    /// Writes of EL1's control registers.
    Control,
    /// Cache and TLB maintenance, address translation.
    Maintenance,
    /// Barriers.
    Barrier,
    /// HVC and SMC.
    Call,
    /// SVC, BRK, HLT, UDF.
    Exception,
    /// WFI, WFE and other hints.
    Hint,
    /// ERET.
    Return,
    /// MSR (immediate) of PSTATE.
    Pstate,
    /// Branches.
    Branch,
    /// Any word.
    Any,
}

/// All of them, with their weights.
pub const CLASSES: [(Class, u64); 14] = [
    (Class::Memory, 22),
    (Class::Simd, 8),
    (Class::Atomic, 8),
    (Class::Register, 24),
    (Class::Control, 4),
    (Class::Maintenance, 8),
    (Class::Barrier, 2),
    (Class::Call, 8),
    (Class::Exception, 3),
    (Class::Hint, 4),
    (Class::Return, 4),
    (Class::Pstate, 4),
    (Class::Branch, 3),
    (Class::Any, 1),
];

/// How a stream begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Start {
    /// Whether its stage 1 is on.
    pub mmu: bool,
    /// Bits of SCTLR_EL1 that differ from the usual.
    pub sctlr_flips: u64,
    /// PSTATE: EL0 or EL1, and what is masked.
    pub pstate: u64,
    /// What its registers hold is made from this.
    pub registers: u64,
}

/// A stream.
#[derive(Clone, Debug)]
pub struct Stream {
    /// How it begins.
    pub start: Start,
    /// Whether it is a wild one.
    pub wild: bool,
    /// How many slots of each class it has, by the order of [`CLASSES`].
    pub slots: [u32; CLASSES.len()],
    words: [u32; MAX_WORDS],
    length: usize,
    /// Branches whose ends are still to be made: where they are, and over how many slots they go.
    branches: [Option<(usize, u64)>; 4],
    rng: Rng,
}

impl Stream {
    /// The stream of this number; `wild` if it may be a wild one.
    pub fn new(seed: u64, number: u64, wild: bool) -> Self {
        let mut rng = Rng::new(seed, number);
        let wild = rng.one_in(16) && wild;
        let el0 = rng.one_in(3);
        let masked = if rng.one_in(2) { rng.below(16) << 6 } else { 0 };
        let mmu = !rng.one_in(3);
        let start = Start {
            mmu,
            sctlr_flips: pool::sctlr_flips(&mut rng, mmu),
            pstate: if el0 { masked } else { masked | 4 | u64::from(!rng.one_in(4)) },
            registers: rng.next(),
        };
        let slots = [0; CLASSES.len()];
        let (words, branches) = ([END; MAX_WORDS], [None; 4]);
        let mut stream = Stream { start, wild, slots, words, length: 0, branches, rng };
        for _ in 0..16 + stream.rng.below(40) {
            stream.land();
            stream.slot();
        }
        for _ in 0..4 {
            stream.land();
        }
        stream
    }

    /// The instructions.
    pub fn words(&self) -> &[u32] {
        &self.words[..self.length]
    }

    /// The number of instructions of interest.
    pub fn count(&self) -> u32 {
        self.slots.iter().sum()
    }

    fn slot(&mut self) {
        let total = CLASSES.iter().map(|(_, weight)| weight).sum();
        let mut at = self.rng.below(total);
        for (index, (class, weight)) in CLASSES.into_iter().enumerate() {
            if at < weight {
                self.slots[index] += 1;
                return self.instruction(class);
            }
            at -= weight;
        }
    }

    fn instruction(&mut self, class: Class) {
        match class {
            Class::Memory => memory::general(self),
            Class::Simd => memory::simd(self),
            Class::Atomic => memory::atomic(self),
            Class::Register => system::register(self),
            Class::Control => system::control(self),
            Class::Maintenance => system::maintenance(self),
            Class::Barrier => system::barrier(self),
            Class::Call => system::call(self),
            Class::Exception => system::exception(self),
            Class::Hint => system::hint(self),
            Class::Return => system::exception_return(self),
            Class::Pstate => system::pstate(self),
            Class::Branch => self.branch(),
            Class::Any => {
                // In a tame one no branch, to anywhere, and nothing of the system's.
                let word = self.rng.next() as u32;
                let system = word >> 26 & 7 == 5;
                self.push(if system && !self.wild { word ^ 1 << 26 } else { word });
            }
        }
    }

    /// A branch over a few slots, taken or not. It never ends within a slot: what a control register
    /// is to hold has to be made before it is written.
    fn branch(&mut self) {
        let (register, condition) = (self.rng.below(29) as u32, self.rng.below(16) as u32);
        let bit = self.rng.below(32) as u32;
        let word = match self.rng.below(4) {
            0 => 0x1400_0000,
            1 => 0x5400_0000 | condition,
            2 => 0x3400_0000 | (bit & 1) << 24 | (bit & 2) << 30 | register,
            _ => 0x3600_0000 | (bit & 1) << 24 | bit << 19 | register,
        };
        if let Some(free) = self.branches.iter_mut().find(|branch| branch.is_none()) {
            *free = Some((self.length, 2 + self.rng.below(3)));
            self.push(word);
        }
    }

    /// A slot begins: branches that end here learn it.
    fn land(&mut self) {
        for branch in &mut self.branches {
            *branch = match *branch {
                Some((at, 1)) => {
                    let distance = (self.length - at) as u32;
                    if let Some(word) = self.words.get_mut(at) {
                        let short = *word >> 26 != 5;
                        *word |= if short { distance << 5 } else { distance };
                    }
                    None
                }
                Some((at, slots)) => Some((at, slots - 1)),
                None => None,
            };
        }
    }

    fn push(&mut self, word: u32) {
        if let Some(slot) = self.words.get_mut(self.length) {
            *slot = word;
            self.length += 1;
        }
    }

    /// `register` = `value`, by MOVZ or MOVN and MOVK.
    fn set(&mut self, register: u32, value: u64) {
        let inverted = value >> 63 != 0;
        let fill = if inverted { 0xffff } else { 0 };
        let mut first = true;
        for at in 0..4 {
            let part = (value >> (16 * at)) as u32 & 0xffff;
            if part == fill && !(first && at == 3) {
                continue;
            }
            let (opcode, immediate) = match (first, inverted) {
                (true, true) => (0x9280_0000, !part & 0xffff),
                (true, false) => (0xd280_0000, part),
                (false, _) => (0xf280_0000, part),
            };
            self.push(opcode | at << 21 | immediate << 5 | register);
            first = false;
        }
    }
}

#[cfg(test)]
mod tests;
