//! Data and instruction aborts: what was accessed, where, and how to answer.

use super::{Esr, Fault};
use crate::memory::{Ipa, PAGE_SIZE};

/// HPFAR_EL2.FIPA, bits 43:4, is IPA[51:12].
const FIPA: u64 = 0xfff_ffff_fff0;

/// The ISS of a data abort (EC 0x24, 0x25) or an instruction abort (EC 0x20, 0x21), which has
/// FnV, S1PTW and the fault status of it; the other bits are 0 there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Abort(u32);

impl Abort {
    const ISV: u32 = 1 << 24;
    const CM: u32 = 1 << 8;
    const S1PTW: u32 = 1 << 7;
    /// What EL1 is told of an abort too: FnV, EA, CM, WnR and the fault status. ISV, SAS, SSE,
    /// SRT, SF and AR are for EL2 alone, as is S1PTW.
    pub const FOR_EL1: u32 = 1 << 10 | 1 << 9 | Self::CM | 1 << 6 | 0x3f;

    /// Takes the ISS of `esr`, whose class the caller has looked at.
    #[inline]
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
    #[inline]
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
    #[inline]
    pub const fn access(self) -> Option<Access> {
        let valid = self.0 & (Self::ISV | Self::S1PTW | Self::CM) == Self::ISV;
        if valid && self.fault().is_stage2() { Some(Access(self.0)) } else { None }
    }

    /// The faulting IPA of an abort from a guest, if the registers know it.
    ///
    /// FIPA gives the page; the offset in the page is FAR's, because translation does not touch
    /// the low twelve bits. After a fault on a *stage-1 table walk* (S1PTW) FIPA is the page of
    /// the descriptor, and FAR the address whose walk it was: its offset is of no use, and the
    /// page is returned. `None` for faults that leave HPFAR_EL2 UNKNOWN, above all permission
    /// faults: the caller translates FAR with AT S1E1R then.
    #[inline]
    pub const fn ipa(self, far: u64, hpfar: u64) -> Option<Ipa> {
        let page = (hpfar & FIPA) << 8;
        if self.stage1_walk() {
            return Some(Ipa::new(page));
        }
        let ipa = Ipa::new(page | far & (PAGE_SIZE - 1));
        if self.fault().sets_hpfar() { Some(ipa) } else { None }
    }
}

/// One load or store of a general-purpose register: what a device has to answer. The same bits
/// of the ISS, now known to be valid.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Access(u32);

impl Access {
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
    #[inline]
    pub const fn bytes(self) -> u8 {
        1 << self.size_log2()
    }

    /// Shift that moves the value's top bit to bit 63.
    #[inline]
    const fn shift(self) -> u32 {
        64 - (8 << self.size_log2())
    }

    /// What a load puts into Xt when the device answers `raw`: cut to the size, then extended
    /// with zeros or with the sign, to 32 bits for Wt (whose upper half becomes zero) or to 64.
    #[inline]
    pub const fn loaded(self, raw: u64) -> u64 {
        let top = raw << self.shift();
        if !self.sign_extend() {
            return top >> self.shift();
        }
        let value = (top as i64 >> self.shift()) as u64;
        if self.sixty_four() { value } else { value & 0xffff_ffff }
    }

    /// What a store of register value `register` puts on the bus: cut to the size.
    #[inline]
    pub const fn stored(self, register: u64) -> u64 {
        register << self.shift() >> self.shift()
    }
}
