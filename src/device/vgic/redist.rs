//! A redistributor's two frames (IHI 0069, section 12.11).

use super::dist::{IIDR, identification};
use super::{At, CpuInterface, Effects, Vgic};

/// Size of one frame, RD_base or SGI_base, in bytes.
const FRAME: u64 = 0x1_0000;
/// GICR_CTLR.RWP.
const CTLR_RWP: u64 = 1 << 3;
/// GICR_TYPER.Last.
const TYPER_LAST: u64 = 1 << 4;
/// GICR_WAKER.ProcessorSleep, and ChildrenAsleep which follows it at once.
const WAKER_SLEEP: u64 = 1 << 1;
const WAKER_CHILDREN: u64 = 1 << 2;

impl Vgic {
    /// A read of `size` bytes at `offset` into the 128 KiB of redistributor `frame` by `vcpu`,
    /// which is loaded with the list registers `ci`.
    #[inline]
    pub fn redist_read<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        frame: usize,
        offset: u64,
        size: u32,
        ci: &C,
    ) -> (u64, Effects) {
        if offset >= FRAME {
            return match (offset - FRAME, size) {
                (0xffd0..0x1_0000, 4) if offset & 3 == 0 => {
                    (identification(offset, 0x93), Effects::NONE)
                }
                (offset, _) if is_sgi_frame(offset) => {
                    self.bank_read(vcpu, At::Private(frame), offset, size, ci)
                }
                _ => (0, Effects::NONE),
            };
        }
        let Some(cpu) = self.cpus.get(frame) else {
            return (0, Effects::NONE);
        };
        let value = match (offset, size) {
            (0x8, 8) => self.redist_typer(frame),
            (0x8, 4) => self.redist_typer(frame) & 0xffff_ffff,
            (0xc, 4) => self.redist_typer(frame) >> 32,
            (0x0, 4) if frame != vcpu && cpu.is_outdated() => CTLR_RWP,
            (0x4, 4) => IIDR,
            (0x14, 4) if !cpu.awake => WAKER_SLEEP | WAKER_CHILDREN,
            (0xffd0..0x1_0000, 4) if offset & 3 == 0 => identification(offset, 0x93),
            _ => 0,
        };
        (value, Effects::NONE)
    }

    /// A write, likewise. Deliverable interrupts of `vcpu` itself are in its list registers when
    /// this returns.
    #[inline]
    pub fn redist_write<C: CpuInterface>(
        &mut self,
        vcpu: usize,
        frame: usize,
        offset: u64,
        size: u32,
        value: u64,
        ci: &mut C,
    ) -> Effects {
        match offset.checked_sub(FRAME) {
            Some(offset) if size == 4 && offset & 0x7f == 0 && (0x80..0x400).contains(&offset) => {
                self.bits_write(vcpu, At::Private(frame), offset >> 7, value as u32, ci)
            }
            Some(offset) if is_sgi_frame(offset) => {
                self.bank_write(vcpu, At::Private(frame), offset, size, value, ci)
            }
            // A sleeping redistributor still forwards, as QEMU's does: bare-metal code that
            // never wakes it works there. Only the choice of one of N heeds it.
            None if offset == 0x14 && size == 4 => {
                let Some(cpu) = self.cpus.get_mut(frame) else {
                    return Effects::NONE;
                };
                cpu.awake = value & WAKER_SLEEP == 0;
                (self.reroute() | self.settle(vcpu, ci)).without(vcpu)
            }
            _ => Effects::NONE,
        }
    }

    /// GICR_TYPER: Affinity_Value, Processor_Number, Last. No LPIs, no extended PPIs.
    fn redist_typer(&self, frame: usize) -> u64 {
        let frame64 = frame as u64;
        let last = if frame + 1 == self.cpus.len() { TYPER_LAST } else { 0 };
        frame64 << 32 | frame64 << 8 | last
    }
}

/// Whether an offset into SGI_base is that of a register of the one bank that is there.
fn is_sgi_frame(offset: u64) -> bool {
    matches!(offset, 0x80..0x400 if offset & 0x7c == 0)
        || matches!(offset, 0x400..0x420 | 0xc00..0xc08)
}
