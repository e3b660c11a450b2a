//! First touches: memory that nobody has used yet is zero, whatever comes to it first, and whoever;
//! what is written there stays. (A hypervisor may provide memory only then.)
//!
//! Takes 64 MiB of RAM. With `rom` there is read-only memory of 6 MiB at [`ROM`], of which a file
//! fills less than 2 MiB. With a second CPU both come to each frame of 2 MiB at the same time.

use crate::check;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_rt::vectors::{class, expect_fault};
use guest_rt::{arch, boot, head, mmio, mmu, mrs, smp};

/// The first frame that nobody has used.
const FIRST: u64 = 0x4080_0000;
const FRAME: u64 = 2 << 20;
const PAGE: usize = 4 << 10;
/// Where frames are that two CPUs come to, up to the end of RAM.
const SHARED: core::ops::Range<u64> = 10..28;
const ROM: usize = 0x0400_0000;
/// RAM's GiB as Normal memory that may be run.
const CODE: u64 = 0x10_0000_0000;
/// Two GiB of addresses that are translated by tables in memory that nobody has used.
const WALKED: [u64; 2] = [0x18_0000_0000, 0x1c_0000_0000];

fn frame(number: u64) -> u64 {
    FIRST + number * FRAME
}

/// The probe.
pub fn run() {
    head::init();
    by_every_instruction();
    code();
    tables();
    if boot::has("rom") {
        read_only();
    }
    if boot::cpus() > 1 {
        together();
    }
    check::end();
}

fn by_every_instruction() {
    let (mut a, mut b, mut end, failed): (u64, u64, u64, u64);
    // SAFETY: memory that nobody uses; the last two lie on both sides of a border of frames, and the
    // maintenance loses nothing.
    unsafe {
        asm!("ldp {}, {}, [{}, #16]", out(reg) a, out(reg) b, in(reg) frame(0));
        check::equal("touch.ldp", (a, b), (0, 0));

        end = frame(1) + 0x1_0000;
        asm!("str {}, [{}], #8", in(reg) 7u64, inout(reg) end);
        asm!("ldr {}, [{}, #-8]!", out(reg) a, inout(reg) end);
        check::equal("touch.str-post", (a, end), (7, frame(1) + 0x1_0000));

        asm!("2: ldxr {}, [{at}]", "stxr {f:w}, {two}, [{at}]", "cbnz {f:w}, 2b", "ldr {}, [{at}]",
            out(reg) a, out(reg) b, at = in(reg) frame(2), two = in(reg) 2u64, f = out(reg) failed);
        check::equal("touch.exclusive", (a, b, failed), (0, 2, 0));

        asm!("dc cvac, {0}", "dc civac, {0}", "ic ivau, {0}", "dsb sy", "isb", in(reg) frame(3));
        check::equal("touch.maintained", mmio::read64(frame(3) as usize), 0);
        asm!("dc zva, {}", in(reg) frame(4));
        check::equal("touch.zva", mmio::read64(frame(4) as usize), 0);

        end = frame(6) - 3;
        asm!("ldr {a}, [{at}]", "str {c}, [{at}]", "ldr {b}, [{at}]",
            a = out(reg) a, b = out(reg) b, c = in(reg) 0x0102_0304_0506_0708u64, at = in(reg) end);
        check::equal("touch.unaligned", (a, b), (0, 0x0102_0304_0506_0708));
    }
    let near = mmio::read64(frame(6) as usize - 8) >> 40;
    let far = mmio::read64(frame(6) as usize);
    check::equal("touch.unaligned-parts", (near, far), (0x06_0708, 0x01_0203_0405));
}

/// Zeros are no instructions; what is written there is, once it is.
fn code() {
    mmu::map_gib(CODE, 0x4000_0000, mmu::NORMAL | mmu::SHARED | mmu::ACCESSED);
    let at = CODE + frame(7) - 0x4000_0000 + 0x10_0000;
    let go = || {
        // SAFETY: the exception takes the CPU back here, or the `ret`.
        expect_fault(|| unsafe { asm!("blr {}", in(reg) at, clobber_abi("C")) })
    };
    let seen = go().map(|fault| (fault.class(), fault.elr));
    check::equal("touch.fetch", seen, Some((class::UNKNOWN, at)));
    mmio::write32(frame(7) as usize + 0x10_0000, 0xd65f_03c0);
    // SAFETY: maintenance of this address.
    unsafe { asm!("dc cvau, {0}", "dsb ish", "ic ivau, {0}", "dsb ish", "isb", in(reg) at) };
    check::that("touch.fetch-code", go().is_none(), "RET");
}

/// The walk itself is the first to come: it finds a descriptor that is 0.
fn tables() {
    for (at, table) in WALKED.into_iter().zip([8, 9]) {
        let slot = &mmu::LEVEL1.0[(at >> 30) as usize];
        slot.store(frame(table) | mmu::TABLE, SeqCst);
        mmu::flush();
    }
    let fault = expect_fault(|| {
        mmio::read64(WALKED[0] as usize);
    });
    // A translation fault of level 2, of the guest's own.
    check::equal("touch.walk", fault.map(|f| (f.esr, f.far)), Some((0x9600_0006, WALKED[0])));
    // SAFETY: it changes PAR_EL1 alone.
    unsafe { asm!("at s1e1r, {}", "isb", in(reg) WALKED[1]) };
    check::equal("touch.at", mrs!(PAR_EL1) & 0x37f, 1 | 0x06 << 1);
    mmio::write64(frame(9) as usize, frame(0) | mmu::RAM | mmu::BLOCK);
    arch::dsb();
    check::equal("touch.walk-on", mmio::read64(WALKED[1] as usize), 0);
}

/// Of the read-only memory the first frame has a file in it, the others nothing.
fn read_only() {
    let (at, mut end) = (ROM + FRAME as usize + 0x8_0000, ROM as u64 + FRAME + 0x8_0000);
    // SAFETY: what lies there can't be changed.
    unsafe { asm!("str {}, [{}], #8", in(reg) !0u64, inout(reg) end) };
    check::equal("touch.rom-written", (mmio::read64(at), end), (0, at as u64 + 8));
    check::equal("touch.rom-read", mmio::read64(ROM + 3 * FRAME as usize - 8), 0);
    mmio::write32(ROM + 2 * FRAME as usize, 1);
    check::equal("touch.rom-still", mmio::read32(ROM + 2 * FRAME as usize), 0);
}

/// The frame that both are to come to.
static ROUND: AtomicU64 = AtomicU64::new(0);
/// Words that were not zero, and how often a CPU was done.
static DIRTY: AtomicU64 = AtomicU64::new(0);
static DONE: AtomicU64 = AtomicU64::new(0);

/// Looks at each second page of a frame, and marks it.
fn half(number: u64, cpu: usize) {
    let start = frame(number) as usize;
    for page in (start + cpu * PAGE..start + FRAME as usize).step_by(2 * PAGE) {
        let dirty = (page..page + PAGE).step_by(8).filter(|&at| mmio::read64(at) != 0).count();
        DIRTY.fetch_add(dirty as u64, SeqCst);
        mmio::write64(page, page as u64 | cpu as u64);
    }
    DONE.fetch_add(1, SeqCst);
}

fn other(_: usize) {
    for number in SHARED {
        while ROUND.load(SeqCst) < number {
            arch::spin();
        }
        half(number, 1);
    }
}

fn together() {
    check::equal("touch.start", smp::start(1, other), 0);
    let mut lost = 0;
    for number in SHARED {
        DONE.store(0, SeqCst);
        ROUND.store(number, SeqCst);
        half(number, 0);
        while DONE.load(SeqCst) < 2 {
            arch::spin();
        }
        let start = frame(number) as usize;
        lost += (start..start + FRAME as usize)
            .step_by(8)
            .filter(|&at| {
                let mark = at as u64 | (at / PAGE % 2) as u64;
                mmio::read64(at) != if at % PAGE == 0 { mark } else { 0 }
            })
            .count();
    }
    check::equal("touch.together-zero", DIRTY.load(SeqCst), 0);
    check::equal("touch.together-kept", lost, 0);
}
