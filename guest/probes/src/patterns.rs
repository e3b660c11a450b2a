//! All state that a switch between VMs must keep: general registers, V registers, EL1's system
//! registers. Each is filled with a pattern and looked at again after the CPU was given away.
//!
//! `seed=N` makes the patterns of two VMs different. `loops=N` (default 1000): how often; by turns
//! the guest sleeps a little, makes a call, or computes.

use crate::check;
use crate::state::{
    Vectors, fp_control, load_vectors, mix, set_fp_control, store_vectors, vector_pattern,
};
use core::arch::naked_asm;
use guest_rt::{arch, boot, gic, head, mmu, mrs, msr, println, timer};

/// How the CPU is given away, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Pause {
    /// WFI, with the timer due soon.
    Sleep,
    /// HVC with an unknown function.
    Call,
    /// A loop of some thousand instructions.
    Compute,
    /// WFI, until what the caller has armed.
    Doze,
}

/// Fills x2 to x30 from `registers`, pauses, and stores them there again; so with the flags.
#[unsafe(naked)]
extern "C" fn hold(_registers: &mut [u64; 32], _pause: Pause) {
    naked_asm!(
        "stp x29, x30, [sp, #-112]!",
        "stp x19, x20, [sp, #16]",
        "stp x21, x22, [sp, #32]",
        "stp x23, x24, [sp, #48]",
        "stp x25, x26, [sp, #64]",
        "stp x27, x28, [sp, #80]",
        "str x0, [sp, #96]",
        "ldr x2, [x0, #248]",
        "msr NZCV, x2",
        "ldp x2, x3, [x0, #16]",
        "ldp x4, x5, [x0, #32]",
        "ldp x6, x7, [x0, #48]",
        "ldp x8, x9, [x0, #64]",
        "ldp x10, x11, [x0, #80]",
        "ldp x12, x13, [x0, #96]",
        "ldp x14, x15, [x0, #112]",
        "ldp x16, x17, [x0, #128]",
        "ldp x18, x19, [x0, #144]",
        "ldp x20, x21, [x0, #160]",
        "ldp x22, x23, [x0, #176]",
        "ldp x24, x25, [x0, #192]",
        "ldp x26, x27, [x0, #208]",
        "ldp x28, x29, [x0, #224]",
        "ldr x30, [x0, #240]",
        "cbz x1, 1f",
        "sub x1, x1, #1",
        "cbz x1, 2f",
        "mov x1, #0x4000",
        "0: sub x1, x1, #1",
        "cbnz x1, 0b",
        "b 3f",
        "1: wfi",
        "b 3f",
        "2: movz x0, #0x8600, lsl #16",
        "hvc #0",
        "3: ldr x0, [sp, #96]",
        "stp x2, x3, [x0, #16]",
        "stp x4, x5, [x0, #32]",
        "stp x6, x7, [x0, #48]",
        "stp x8, x9, [x0, #64]",
        "stp x10, x11, [x0, #80]",
        "stp x12, x13, [x0, #96]",
        "stp x14, x15, [x0, #112]",
        "stp x16, x17, [x0, #128]",
        "stp x18, x19, [x0, #144]",
        "stp x20, x21, [x0, #160]",
        "stp x22, x23, [x0, #176]",
        "stp x24, x25, [x0, #192]",
        "stp x26, x27, [x0, #208]",
        "stp x28, x29, [x0, #224]",
        "str x30, [x0, #240]",
        "mrs x2, NZCV",
        "str x2, [x0, #248]",
        "ldp x19, x20, [sp, #16]",
        "ldp x21, x22, [sp, #32]",
        "ldp x23, x24, [sp, #48]",
        "ldp x25, x26, [sp, #64]",
        "ldp x27, x28, [sp, #80]",
        "ldp x29, x30, [sp], #112",
        "ret",
    )
}

/// The system registers, each with the bits that the pattern may set.
macro_rules! system_registers {
    ($macro:ident) => {
        $macro! {
            TPIDR_EL0 !0, TPIDRRO_EL0 !0, TPIDR_EL1 !0, CONTEXTIDR_EL1 0xffff_ffff,
            AFSR0_EL1 0xffff_ffff, AFSR1_EL1 0xffff_ffff, AMAIR_EL1 !0,
            PAR_EL1 0x0000_ffff_ffff_f001, FAR_EL1 !0, ESR_EL1 0xffff_ffff,
            ELR_EL1 !0, SPSR_EL1 0xf000_0000, SP_EL0 !0xf,
            CNTKCTL_EL1 0x303, CSSELR_EL1 0x3, TTBR1_EL1 0xffff_ffff_f000,
            MDSCR_EL1 0x1000, DBGBVR0_EL1 0xffff_ffff_fffc, DBGWVR0_EL1 0xffff_ffff_fffc,
            CNTP_CVAL_EL0 !0, CNTP_CTL_EL0 0x2, ICC_BPR1_EL1 0x7
        }
    };
}

macro_rules! declare {
    ($($name:ident $mask:expr),*) => {
        const NAMES: &[&str] = &[$(stringify!($name)),*];

        /// Writes the pattern; gives back what the registers then hold (some bits don't exist).
        fn write_system(seed: u64) -> [u64; NAMES.len()] {
            let mut n = seed;
            $( n = mix(n); msr!($name, n & $mask); )*
            // Attributes 3 to 7 are used by no mapping.
            n = mix(n);
            msr!(MAIR_EL1, mmu::MAIR | n & !0xff_ffff);
            arch::isb();
            read_system()
        }

        fn read_system() -> [u64; NAMES.len()] {
            [$(mrs!($name)),*]
        }
    };
}
system_registers!(declare);

/// How many registers were not as they had been left.
#[derive(Debug, Default)]
pub struct Failures {
    /// So many.
    pub count: u64,
}

impl Failures {
    fn note(&mut self, what: &str, got: u64, want: u64, pause: Pause) {
        self.count += 1;
        if self.count <= 10 {
            println!("INFO patterns: {what} is {got:#x}, was {want:#x}, after {pause:?}");
        }
    }
}

/// The probe.
pub fn run() {
    checks();
    check::end();
}

/// Its checks alone.
pub fn checks() {
    head::init();
    gic::init_distributor();
    gic::init_cpu();
    gic::enable(timer::VIRTUAL_INTID);
    gic::set_priority(timer::VIRTUAL_INTID, 0x40); // more urgent than any mask that is tried
    msr!(CPACR_EL1, 3 << 20);
    arch::isb();
    let seed = boot::number("seed").unwrap_or(1);
    let loops = boot::number("loops").unwrap_or(1000);
    let start = timer::now();
    let mut failures = Failures::default();
    for n in 0..loops {
        let pause = match n % 8 {
            1 => Pause::Call,
            3 => Pause::Compute,
            _ => Pause::Sleep,
        };
        once(mix(seed) ^ n, pause, &mut failures);
    }
    println!(
        "INFO patterns seed={seed} loops={loops} ms={} cntvct={}",
        (timer::now() - start) / timer::ms(1),
        timer::now()
    );
    check::equal("patterns", failures.count, 0);
}

/// Fills all registers, pauses with IRQs masked, and notes which are not what they were.
pub fn once(seed: u64, pause: Pause, failures: &mut Failures) {
    let vectors = vector_pattern(seed);
    let (fpcr, fpsr) = (mix(seed) & 0x07c0_0000, mix(seed + 1) & 0x0800_009f);
    let mut registers: [u64; 32] = core::array::from_fn(|n| mix(seed ^ (100 + n as u64)));
    registers[31] &= 0xf000_0000; // NZCV
    let before = registers;

    let pause = if pause == Pause::Call && guest_rt::psci::conduit() != "hvc" {
        Pause::Compute
    } else {
        pause
    };
    if pause == Pause::Sleep {
        timer::arm(timer::now() + timer::frequency() / 20_000);
    }
    load_vectors(&vectors);
    set_fp_control(fpcr, fpsr);
    let system = write_system(seed);
    msr!(ICC_PMR_EL1, 0x80 | seed & 0x70);
    let others = [mrs!(MAIR_EL1), mrs!(ICC_PMR_EL1)];

    hold(&mut registers, if pause == Pause::Doze { Pause::Sleep } else { pause });

    let mut seen = Vectors([0; 32]);
    store_vectors(&mut seen);
    let control = fp_control();
    let system_after = read_system();
    let others_after = [mrs!(MAIR_EL1), mrs!(ICC_PMR_EL1)];
    if pause == Pause::Sleep {
        timer::disarm();
    }
    msr!(MDSCR_EL1, 0);

    for n in 2..32 {
        if registers[n] != before[n] {
            println!("INFO patterns: x{n} (31: NZCV)");
            failures.note("general register", registers[n], before[n], pause);
        }
    }
    for n in 0..32 {
        if seen.0[n] != vectors.0[n] {
            println!("INFO patterns: v{n}");
            failures.note("V register", seen.0[n] as u64, vectors.0[n] as u64, pause);
        }
    }
    if control != (fpcr, fpsr) {
        failures.note("FPCR and FPSR", control.0 | control.1, fpcr | fpsr, pause);
    }
    for (n, name) in NAMES.iter().enumerate() {
        if system_after[n] != system[n] {
            failures.note(name, system_after[n], system[n], pause);
        }
    }
    for (n, name) in ["MAIR_EL1", "ICC_PMR_EL1"].iter().enumerate() {
        if others_after[n] != others[n] {
            failures.note(name, others_after[n], others[n], pause);
        }
    }
}
