//! Family 36: bad buffers for hypercalls. No call takes one: nothing that a guest passes is an
//! address that EL2 reads or writes. What looks like one is tried all the same: each argument of
//! each function with addresses that are read-only, a device's, nobody's, the hypervisor's, another
//! VM's, at the end of a page, misaligned, or that wrap; and the entries of CPU_ON, which are.

use crate::tools::{self, doom, doomed, survived};
use crate::variant;
use core::sync::atomic::{AtomicU64, Ordering::SeqCst};
use guest_rt::{arch, gic, psci, smp, uart};
use probes::{check, irq};

/// Values, and whether code can be there. RAM is 16 MiB from 0x4000_0000 on; in physical addresses
/// the hypervisor lies in the first MiB behind that, and other VMs above.
const ADDRESSES: [(&str, u64); 20] = [
    ("zero", 0),
    ("one", 1),
    ("read-only", 0x090a_0000),
    ("read-only-end", 0x090a_0fff),
    ("uart", uart::BASE as u64),
    ("gicd", gic::GICD as u64),
    ("nothing", 0x0b00_0000),
    ("behind-ram", 0x4100_0000),
    ("page-end", 0x40ff_fffd),
    ("misaligned", 0x4020_0002),
    ("neighbour", 0x7e00_0000),
    ("far-away", 0x3f_c000_0000),
    ("top-of-ipa", 0xff_ffff_fffc),
    ("beyond-ipa", 0x100_4020_0000),
    ("hypervisor", 0xff80_0000_0000),
    ("hypervisor-heap", 0xff81_0000_0000),
    ("canonical", 0xffff_ff80_4020_0000),
    ("sign", 1 << 63 | 0x4020_0000),
    ("wraps", !3),
    ("ones", !0),
];

static CONTEXT: AtomicU64 = AtomicU64::new(0);

/// The attack.
pub fn attack() {
    match doom() {
        "" => {}
        "last-word" => return last_word(),
        _ => return survived("buffers"),
    }
    irq::init();
    let before = sum();
    for (name, address) in ADDRESSES {
        entries(name, address);
        functions(name, address);
    }
    check::equal("buffers.memory-as-it-was", sum(), before);
    // After all that it can still be started, with any context.
    for context in [0, !0, 0x090a_0000] {
        CONTEXT.store(1, SeqCst);
        check::equal("buffers.on", psci::cpu_on(1, smp::entry(), 1), psci::SUCCESS);
        smp_off(context);
    }
}

fn smp_off(context: u64) {
    let off = irq::wait_for(5000, || psci::affinity_info(1) == 1);
    check::that(&variant!("buffers.off-{context:x}"), off, "CPU 1 off again");
}

/// A sum of all memory that this program does not change.
fn sum() -> u64 {
    let mut sum = 0_u64;
    let constants = guest_rt::mmu::layout().rodata;
    for range in tools::free_ram().into_iter().chain([constants]) {
        for address in range.step_by(8) {
            // SAFETY: RAM, and aligned.
            sum = sum.rotate_left(1) ^ unsafe { (address as *const u64).read_volatile() };
        }
    }
    sum
}

/// CPU_ON and its like, at that address.
fn entries(name: &str, address: u64) {
    let on = psci::call(psci::CPU_ON, [1, address, address]);
    check::equal(&variant!("buffers.entry-{name}"), on, psci::INVALID_ADDRESS);
    // The low halves count.
    let low = address & 0xffff_ffff;
    if low != 0x4020_0000 {
        let on = psci::call(0x8400_0003, [1, address, address]);
        check::equal(&variant!("buffers.entry32-{name}"), on, psci::INVALID_ADDRESS);
    }
    let target = psci::call(psci::CPU_ON, [address | 1 << 40, smp::entry(), 0]);
    check::equal(&variant!("buffers.target-{name}"), target, psci::INVALID_PARAMETERS);
    check::equal(&variant!("buffers.still-off-{name}"), psci::affinity_info(1), 1);
}

/// All functions of PSCI but those that end something; TRNG, PV time, the architecture's, and
/// vendors' ranges. Each answers by a number that is known, and nothing else changes.
fn functions(name: &str, address: u64) {
    let psci = (0x8400_0000_u32..0x8400_0020).chain(0xc400_0000..0xc400_0020);
    let others = [
        0x8400_0050,
        0x8400_0051,
        0x8400_0052,
        0xc400_0053,
        0xc500_0020,
        0xc500_0021,
        0x8000_0000,
        0x8000_0001,
        0x8600_ff01,
        0x8600_0000,
        0xc600_0000,
        0xc600_0002,
        0xc600_0003,
        0x8200_0000,
        0xc300_0000,
        0x8700_0000,
        0xb200_0000,
        0xbf00_ff01,
        0,
        0x7fff_ffff,
        0xffff_ffff,
    ];
    let (mut odd, mut tried) = (None, 0);
    for function in psci.chain(others) {
        // CPU_SUSPEND waits, CPU_OFF, CPU_ON (above), SYSTEM_OFF, SYSTEM_RESET and SYSTEM_RESET2 act.
        if matches!(
            function & !(1 << 30),
            0x8400_0001..=0x8400_0003 | 0x8400_0008 | 0x8400_0009 | 0x8400_0012
        ) {
            continue;
        }
        let answer = psci::call(function, [address; 3]);
        tried += 1;
        let known = match function {
            // TRNG's UUID and version, PV time's address, seeds.
            0x8400_0050 | 0x8400_0052 | 0xc400_0053 | 0xc500_0021 => true,
            _ => (-9..=2).contains(&answer) || matches!(answer, 0x1_0001),
        };
        if !known {
            odd = odd.or(Some((function, answer)));
        }
    }
    let suspend = psci::call(psci::CPU_SUSPEND, [address | 1 << 31, address, address]);
    check::equal(&variant!("buffers.suspend-{name}"), suspend, psci::INVALID_PARAMETERS);
    let reset = psci::call(0xc400_0012, [address & 0x7fff_ffff | 2, address, address]);
    check::equal(&variant!("buffers.reset2-{name}"), reset, psci::INVALID_PARAMETERS);
    check::equal(&variant!("buffers.functions-{name}"), (odd, tried > 60), (None, true));
}

/// Starts the other CPU at the last word of RAM: it runs off its end, and its vector is nowhere.
fn last_word() {
    guest_rt::head::init();
    doomed("buffers");
    let end = tools::ram().end;
    // SAFETY: RAM that nobody uses. A NOP, for a CPU whose caches are off.
    unsafe {
        ((end - 4) as *mut u32).write_volatile(0xd503_201f);
        core::arch::asm!("dc civac, {}", "dsb sy", in(reg) end - 4);
    }
    psci::cpu_on(1, end - 4, 0);
    for _ in 0..200 {
        guest_rt::timer::delay_ms(10);
        arch::spin();
    }
    survived("buffers");
}
