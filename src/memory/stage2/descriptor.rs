//! Stage-2 descriptors of the 4 KiB granule (Arm DDI 0487, "VMSAv8-64 translation table format
//! descriptors"), and the two registers that point the hardware at them.

use crate::memory::Pa;

/// Bit 0 of every descriptor. With 0 the hardware ignores all other bits.
pub(super) const VALID: u64 = 1;
/// Bit 1: a table at levels 1 and 2, a page at level 3; 0 is a block at levels 1 and 2.
const TABLE_OR_PAGE: u64 = 1 << 1;
/// MemAttr[3:0], bits 5:2: Normal, inner and outer write-back cacheable.
const MEMATTR_NORMAL_WB: u64 = 0b1111 << 2;
/// S2AP, bits 7:6: bit 6 allows reads, bit 7 writes.
const S2AP_READ: u64 = 1 << 6;
const S2AP_WRITE: u64 = 1 << 7;
/// SH[1:0], bits 9:8: inner shareable.
const SH_INNER: u64 = 0b11 << 8;
/// AF, bit 10: set by us, so that no access flag fault is ever taken.
const AF: u64 = 1 << 10;
/// XN[1], bit 54. XN[0], bit 53, stays 0: with FEAT_XNX XN = 0b10 forbids execution at EL1 and
/// EL0, and without it bit 53 is RES0 and bit 54 is all there is. The same either way.
const XN: u64 = 1 << 54;
/// Output address bits 47:12, of a table, block or page.
const ADDRESS: u64 = 0xffff_ffff_f000;

/// Bytes translated by one descriptor of `level`: 1 GiB, 2 MiB, 4 KiB for 1, 2, 3.
pub(super) const fn span(level: u8) -> u64 {
    1 << shift(level)
}

/// Its binary logarithm: 30, 21, 12.
pub(super) const fn shift(level: u8) -> u32 {
    39 - 9 * level as u32
}

/// Memory type and permissions of a mapping, as its descriptor has them: MemAttr, S2AP, SH and XN.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attributes(u64);

impl Attributes {
    const MASK: u64 = 0xff << 2 | XN;

    /// A guest's RAM: Normal memory, write-back cacheable, inner shareable, which stage 1 may
    /// weaken; for loads, stores and fetches.
    pub const RAM: Self = Self(MEMATTR_NORMAL_WB | SH_INNER | S2AP_READ | S2AP_WRITE);
    /// The same, but for loads and fetches only.
    pub const ROM: Self = Self(MEMATTR_NORMAL_WB | SH_INNER | S2AP_READ);
}

/// A descriptor, understood.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    /// Nothing there: an access faults.
    Invalid,
    /// The table of the next level.
    Table(Pa),
    /// A block or page.
    Leaf(Pa, Attributes),
}

impl Entry {
    /// Decodes `descriptor`, read from a table of `level`.
    #[inline(always)]
    pub const fn decode(level: u8, descriptor: u64) -> Self {
        let address = descriptor & ADDRESS;
        match (descriptor & VALID != 0, descriptor & TABLE_OR_PAGE != 0, level) {
            // At level 3 bit 1 = 0 is reserved, and faults like an invalid descriptor.
            (false, ..) | (true, false, 3) => Self::Invalid,
            (true, true, 1 | 2) => Self::Table(Pa::new(address)),
            (true, ..) => {
                let pa = Pa::new(address & !(span(level) - 1));
                Self::Leaf(pa, Attributes(descriptor & Attributes::MASK))
            }
        }
    }

    /// The descriptor for a table of `level`.
    pub const fn encode(self, level: u8) -> u64 {
        match self {
            Self::Invalid => 0,
            Self::Table(pa) => pa.get() & ADDRESS | TABLE_OR_PAGE | VALID,
            Self::Leaf(pa, attributes) => {
                let page = if level == 3 { TABLE_OR_PAGE } else { 0 };
                pa.get() & ADDRESS | attributes.0 | AF | page | VALID
            }
        }
    }
}

/// VTCR_EL2 for tables of this module: 4 KiB granule, start level 1.
///
/// `ipa_bits` is the guest's address size, 32 to 40; `pa_range` the machine's, as
/// ID_AA64MMFR0_EL1.PARange has it (at most 5, 48 bits, which is what DS = 0 can express); `vmid16`
/// says that ID_AA64MMFR1_EL1.VMIDBits offers 16 bits (Arm DDI 0487, VTCR_EL2).
pub const fn vtcr(ipa_bits: u8, pa_range: u64, vmid16: bool) -> u64 {
    /// SL0, bits 7:6: 1 starts a walk with 4 KiB granule at level 1.
    const SL0_LEVEL_1: u64 = 1 << 6;
    /// IRGN0 and ORGN0, bits 9:8 and 11:10: walks are write-back, write-allocate cacheable, as
    /// our own stores to the tables are, so that no cache cleaning is needed between them.
    const WALKS_WBWA: u64 = 1 << 8 | 1 << 10;
    /// SH0, bits 13:12: walks are inner shareable.
    const SH0_INNER: u64 = 3 << 12;
    /// Bit 31 is RES1.
    const RES1: u64 = 1 << 31;
    // T0SZ, bits 5:0: 64 less the input size.
    let t0sz = 64u64.saturating_sub(ipa_bits as u64) & 0x3f;
    // PS, bits 18:16: the encoding of PARange.
    let ps = (pa_range & 7) << 16;
    // Left 0: TG0, bits 15:14, 4 KiB; HA and HD, bits 21 and 22: we set AF and count no dirty
    // pages by hardware; DS, bit 32: no 52-bit addresses, output addresses lie in bits 47:12.
    // VS, bit 19: 16-bit VMIDs.
    t0sz | SL0_LEVEL_1 | WALKS_WBWA | SH0_INNER | ps | (vmid16 as u64) << 19 | RES1
}

/// VTTBR_EL2: the root table and the VMID. CnP, bit 0, stays 0.
pub const fn vttbr(vmid: u16, root: Pa) -> u64 {
    (vmid as u64) << 48 | root.get() & 0xffff_ffff_fffe
}
