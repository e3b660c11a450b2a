//! Data and instruction aborts: what was accessed, where, and how to answer.

use super::{Esr, Fault};
use crate::memory::{Ipa, PAGE_SIZE};

/// HPFAR_EL2.FIPA, bits 43:4, is IPA[51:12].
const FIPA: u64 = 0xfff_ffff_fff0;

/// The ISS of a data abort (EC 0x24, 0x25) or an instruction abort (EC 0x20, 0x21), which has
/// FnV, S1PTW and the fault status of it; the other bits are 0 there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Abort(u32);

impl Abort {
    const ISV: u32 = 1 << 24;
    const CM: u32 = 1 << 8;
    const S1PTW: u32 = 1 << 7;
    /// What EL1 is told of an abort too: FnV, EA, CM, WnR and the fault status. ISV, SAS, SSE,
    /// SRT, SF and AR are for EL2 alone, as is S1PTW.
    pub const FOR_EL1: u32 = 1 << 10 | 1 << 9 | Self::CM | 1 << 6 | 0x3f;

    /// Takes the ISS of `esr`, whose class the caller has looked at.
    pub const fn new(esr: Esr) -> Self {
        Self(esr.iss())
    }

    fields! {
        /// FnV, bit 10: FAR does not hold the address (only after an external abort).
        far_not_valid[10];
        /// CM, bit 8: a cache maintenance or address translation instruction, not a load or
        /// store.
        cache_maintenance[8];
        /// S1PTW, bit 7: stage 2 refused the walk of the guest's own stage-1 tables.
        stage1_walk[7];
        /// WnR, bit 6: a write. Also 1 for cache maintenance, which writes nothing.
        write[6];
    }

    /// DFSC or IFSC, bits 5:0.
    pub const fn fault(self) -> Fault {
        Fault::new(self.0)
    }

    /// The access to emulate, where the hardware decoded the instruction for us (ISV, bit 24):
    /// loads and stores of one general-purpose register, without write-back, not exclusive.
    ///
    /// `None` if ISV is 0 (LDP, STP, pre- and post-index, exclusives, SIMD, DC ZVA …): the bits
    /// of the syndrome mean nothing then, and the instruction has to be read. `None` too for
    /// what isn't an access of the instruction to its address: a stage-1 walk (S1PTW), cache
    /// maintenance (CM), and any fault that stage 2 did not raise.
    pub const fn access(self) -> Option<Access> {
        if self.0 & Self::ISV != 0 && self.is_access() { Some(Access(self.0)) } else { None }
    }

    /// [`Abort::access`] and [`Abort::ipa`] of nearly all exits for a device, found by one
    /// comparison: a syndrome is valid, and the fault is a translation fault of level 0 to 3.
    #[inline(always)]
    pub const fn usual_access(self, far: u64, hpfar: u64) -> Option<(Access, Ipa)> {
        let asked = Self::ISV | Self::S1PTW | Self::CM | 0x3c;
        if self.0 & asked != Self::ISV | 0x04 {
            return None;
        }
        Some((Access(self.0), Ipa::new((hpfar & FIPA) << 8 | far & (PAGE_SIZE - 1))))
    }

    /// Whether stage 2 refused the access that the instruction makes to its address: not a
    /// stage-1 walk, nor cache maintenance.
    pub const fn is_access(self) -> bool {
        self.0 & (Self::S1PTW | Self::CM) == 0 && self.fault().is_stage2()
    }

    /// The faulting IPA of an abort from a guest, if the registers know it.
    ///
    /// FIPA gives the page; the offset in the page is FAR's, because translation does not touch
    /// the low twelve bits. After a fault on a *stage-1 table walk* (S1PTW) FIPA is the page of
    /// the descriptor, and FAR the address whose walk it was: its offset is of no use, and the
    /// page is returned. `None` for faults that leave HPFAR_EL2 UNKNOWN, above all permission
    /// faults: the caller translates FAR with AT S1E1R then.
    pub const fn ipa(self, far: u64, hpfar: u64) -> Option<Ipa> {
        let page = (hpfar & FIPA) << 8;
        if self.stage1_walk() {
            return Some(Ipa::new(page));
        }
        let ipa = Ipa::new(page | far & (PAGE_SIZE - 1));
        if self.fault().sets_hpfar() { Some(ipa) } else { None }
    }
}

/// One load or store of a general-purpose register, or of a pair: what a device has to answer. The
/// bits of the ISS, now known to be valid, and above them what no syndrome says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Access(u32);

impl Access {
    /// There is a second register, in bits 29:25. Its access is like the first's, and follows it
    /// in memory.
    const PAIR: u32 = 1 << 30;
    /// The guest's data is big-endian.
    const BIG_ENDIAN: u32 = 1 << 31;

    /// An access as a syndrome would describe it, from an instruction that was decoded: SAS, SSE,
    /// SRT, SF and WnR. Numbers are cut to their fields.
    pub const fn new(sas: u32, sign_extend: bool, rt: u32, sixty_four: bool, write: bool) -> Self {
        let size = (sas & 3) << 22 | (sign_extend as u32) << 21;
        Self(size | (rt & 31) << 16 | (sixty_four as u32) << 15 | (write as u32) << 6)
    }

    /// The same access, followed by one of register `rt2`.
    pub const fn pair(self, rt2: u32) -> Self {
        Self(self.0 | Self::PAIR | (rt2 & 31) << 25)
    }

    /// The same access, of big-endian data or not.
    pub const fn in_order(self, big_endian: bool) -> Self {
        Self(self.0 | if big_endian { Self::BIG_ENDIAN } else { 0 })
    }

    /// The second access of a pair.
    pub const fn second(self) -> Option<Self> {
        if self.0 & Self::PAIR == 0 {
            return None;
        }
        let common = self.0 & !(Self::PAIR | 31 << 25 | 31 << 16);
        Some(Self(common | (self.0 >> 25 & 31) << 16))
    }

    fields! {
        /// SAS, bits 23:22: the binary logarithm of the size in bytes.
        size_log2[23:22];
        /// SSE, bit 21: a load sign-extends.
        sign_extend[21];
        /// SRT, bits 20:16: the register, where 31 is XZR.
        rt[20:16];
        /// SF, bit 15: the register is Xt, not Wt.
        sixty_four[15];
        /// WnR, bit 6: a store.
        write[6];
    }

    /// The size: 1, 2, 4 or 8 bytes.
    pub const fn bytes(self) -> u8 {
        1 << self.size_log2()
    }

    /// The bytes of both accesses of a pair, or of the one.
    pub const fn all_bytes(self) -> u64 {
        (self.bytes() as u64) << (self.0 & Self::PAIR != 0) as u32
    }

    /// Shift that moves the value's top bit to bit 63.
    const fn shift(self) -> u32 {
        64 - (8 << self.size_log2())
    }

    /// What a load puts into Xt when the device answers `raw`: cut to the size, then extended
    /// with zeros or with the sign, to 32 bits for Wt (whose upper half becomes zero) or to 64.
    #[inline(always)]
    pub const fn loaded(self, raw: u64) -> u64 {
        let top = self.ordered(raw) << self.shift();
        if !self.sign_extend() {
            return top >> self.shift();
        }
        let value = (top as i64 >> self.shift()) as u64;
        if self.sixty_four() { value } else { value & 0xffff_ffff }
    }

    /// What a store of register value `register` puts on the bus: cut to the size.
    #[inline(always)]
    pub const fn stored(self, register: u64) -> u64 {
        self.ordered(register << self.shift() >> self.shift())
    }

    /// A device's value as the guest sees it, or the guest's as the device sees it: devices are
    /// little-endian.
    const fn ordered(self, value: u64) -> u64 {
        if self.0 & Self::BIG_ENDIAN == 0 { value } else { self.reversed(value) }
    }

    #[cold]
    const fn reversed(self, value: u64) -> u64 {
        value.swap_bytes() >> self.shift()
    }
}
