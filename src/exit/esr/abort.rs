//! Data and instruction aborts: what was accessed, where, and how to answer.

use super::{Esr, Fault};
use crate::memory::{Ipa, PAGE_SIZE};

const ISV: u32 = 1 << 24;
const FNV: u32 = 1 << 10;
const EA: u32 = 1 << 9;
const CM: u32 = 1 << 8;
const S1PTW: u32 = 1 << 7;
const WNR: u32 = 1 << 6;

/// HPFAR_EL2.FIPA, bits 43:4, is IPA[51:12].
const FIPA: u64 = 0xfff_ffff_fff0;

/// The faulting IPA of an abort from a guest, if the registers know it.
///
/// FIPA gives the page; the offset in the page is FAR's, because translation does not touch the
/// low twelve bits. After a fault on a *stage-1 table walk* (S1PTW) FIPA is the page of the
/// descriptor, and FAR the address whose walk it was: its offset is of no use, and the page is
/// returned. `None` for faults that leave HPFAR_EL2 UNKNOWN, above all permission faults: the
/// caller translates FAR with AT S1E1R then.
#[inline]
const fn fault_ipa(iss: u32, far: u64, hpfar: u64) -> Option<Ipa> {
    let page = (hpfar & FIPA) << 8;
    if iss & S1PTW != 0 {
        return Some(Ipa::new(page));
    }
    // Address size, translation and access flag faults of levels 0 to 3 are codes 0 to 11.
    if iss & 0x3f < 0x0c || Fault::decode(iss).sets_hpfar() {
        return Some(Ipa::new(page | far & (PAGE_SIZE - 1)));
    }
    None
}

/// The ISS of a data abort (EC 0x24, 0x25).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct DataAbort(u32);

impl DataAbort {
    /// Takes the ISS of `esr`, whose class the caller has looked at.
    #[inline]
    pub const fn new(esr: Esr) -> Self {
        Self(esr.iss())
    }

    /// ISV, bit 24: bits 23:14 describe the instruction. Set only for loads and stores of one
    /// general-purpose register, without write-back, not exclusive, that faulted at stage 2.
    #[inline]
    pub const fn isv(self) -> bool {
        self.0 & ISV != 0
    }

    /// The access to emulate, where the hardware decoded the instruction for us.
    ///
    /// `None` if ISV is 0 (LDP, STP, pre- and post-index, exclusives, SIMD, DC ZVA …): the bits
    /// of the syndrome mean nothing then, and the instruction has to be read. `None` too for
    /// what isn't an access of the instruction to its address: a stage-1 walk (S1PTW), cache
    /// maintenance (CM), and any fault that stage 2 did not raise.
    #[inline]
    pub const fn access(self) -> Option<Access> {
        let stage2 = self.0 & 0x3f < 0x10 || self.fault().sets_hpfar();
        if self.0 & (ISV | S1PTW | CM) == ISV && stage2 {
            Some(Access(self.0 & Access::MASK))
        } else {
            None
        }
    }

    /// FnV, bit 10: FAR does not hold the address (only after an external abort).
    #[inline]
    pub const fn far_not_valid(self) -> bool {
        self.0 & FNV != 0
    }

    /// EA, bit 9: the external abort's type, IMPLEMENTATION DEFINED.
    #[inline]
    pub const fn external_abort_type(self) -> bool {
        self.0 & EA != 0
    }

    /// CM, bit 8: a cache maintenance or address translation instruction, not a load or store.
    #[inline]
    pub const fn cache_maintenance(self) -> bool {
        self.0 & CM != 0
    }

    /// S1PTW, bit 7: stage 2 refused the walk of the guest's own stage-1 tables.
    #[inline]
    pub const fn stage1_walk(self) -> bool {
        self.0 & S1PTW != 0
    }

    /// WnR, bit 6: a write. Also 1 for cache maintenance, which writes nothing.
    #[inline]
    pub const fn write(self) -> bool {
        self.0 & WNR != 0
    }

    /// DFSC, bits 5:0.
    #[inline]
    pub const fn fault(self) -> Fault {
        Fault::decode(self.0)
    }

    /// The faulting IPA, if known; of a stage-1 walk the page of the descriptor. `None` after a
    /// permission fault: HPFAR_EL2 is UNKNOWN then.
    #[inline]
    pub const fn ipa(self, far: u64, hpfar: u64) -> Option<Ipa> {
        fault_ipa(self.0, far, hpfar)
    }
}

/// The ISS of an instruction abort (EC 0x20, 0x21).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct InstructionAbort(u32);

impl InstructionAbort {
    /// Takes the ISS of `esr`, whose class the caller has looked at.
    #[inline]
    pub const fn new(esr: Esr) -> Self {
        Self(esr.iss())
    }

    /// FnV, bit 10: FAR does not hold the address (only after an external abort).
    #[inline]
    pub const fn far_not_valid(self) -> bool {
        self.0 & FNV != 0
    }

    /// EA, bit 9: the external abort's type, IMPLEMENTATION DEFINED.
    #[inline]
    pub const fn external_abort_type(self) -> bool {
        self.0 & EA != 0
    }

    /// S1PTW, bit 7: stage 2 refused the walk of the guest's own stage-1 tables.
    #[inline]
    pub const fn stage1_walk(self) -> bool {
        self.0 & S1PTW != 0
    }

    /// IFSC, bits 5:0.
    #[inline]
    pub const fn fault(self) -> Fault {
        Fault::decode(self.0)
    }

    /// The faulting IPA, if known: as [`DataAbort::ipa`].
    #[inline]
    pub const fn ipa(self, far: u64, hpfar: u64) -> Option<Ipa> {
        fault_ipa(self.0, far, hpfar)
    }
}

/// One load or store of a general-purpose register: what a device has to answer.
///
/// Kept in the layout of the ISS (SAS, SSE, SRT, SF, AR and WnR), so that taking it from a
/// syndrome is one AND; [`Access::compose`] builds the same from a decoded instruction.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub struct Access(u32);

impl Access {
    const MASK: u32 = 0x3ff << 14 | WNR;

    /// An access of `1 << size_log2` bytes (0 to 3) of register `rt` (31 is XZR).
    pub const fn compose(write: bool, size_log2: u8, rt: u8, sign_extend: bool, sf: bool) -> Self {
        Self(
            (size_log2 as u32 & 3) << 22
                | (sign_extend as u32) << 21
                | (rt as u32 & 31) << 16
                | (sf as u32) << 15
                | if write { WNR } else { 0 },
        )
    }

    /// SAS, bits 23:22: the size, 1, 2, 4 or 8 bytes.
    #[inline]
    pub const fn bytes(self) -> u8 {
        1 << (self.0 >> 22 & 3)
    }

    /// SSE, bit 21: a load sign-extends.
    #[inline]
    pub const fn sign_extend(self) -> bool {
        self.0 & 1 << 21 != 0
    }

    /// SRT, bits 20:16: the register, where 31 is XZR.
    #[inline]
    pub const fn rt(self) -> u8 {
        (self.0 >> 16 & 31) as u8
    }

    /// SF, bit 15: the register is Xt, not Wt.
    #[inline]
    pub const fn sixty_four(self) -> bool {
        self.0 & 1 << 15 != 0
    }

    /// AR, bit 14: load-acquire or store-release.
    #[inline]
    pub const fn acquire_release(self) -> bool {
        self.0 & 1 << 14 != 0
    }

    /// WnR, bit 6: a store.
    #[inline]
    pub const fn write(self) -> bool {
        self.0 & WNR != 0
    }

    /// Shift that moves the value's top bit to bit 63.
    #[inline]
    const fn shift(self) -> u32 {
        64 - (8 << (self.0 >> 22 & 3))
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

/// The value of Xn as an instruction reads it, `gprs` being x0 to x30: register 31 is XZR.
#[inline]
pub fn gpr(gprs: &[u64; 31], n: u8) -> u64 {
    gprs.get(usize::from(n)).copied().unwrap_or(0)
}

/// Writes Xn as an instruction does: what goes to register 31, XZR, is lost.
#[inline]
pub fn set_gpr(gprs: &mut [u64; 31], n: u8, value: u64) {
    if let Some(register) = gprs.get_mut(usize::from(n)) {
        *register = value;
    }
}
