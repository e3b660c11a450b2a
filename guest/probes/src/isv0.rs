//! Device accesses for which the CPU gives a hypervisor no syndrome (ESR_EL2.ISV = 0): pairs,
//! writeback, exclusives, SIMD. On the board they work. A hypervisor has to decode the instruction:
//! here those of general registers are wanted to work, and the others to work or to abort, but
//! never to put garbage into a register.
//!
//! Each runs from several places: at EL1 on each of its stack pointers, at upper addresses, with
//! translation off, by a tagged address, and at EL0.
//!
//! The UART's identification registers are good to read: one byte each in a word, at offset 0xfe0
//! 11 10 x4 00, at 0xff0 0d f0 05 b1 (Arm DDI 0183, 3.3). Its baud rate may be written freely.

use crate::{check, isv1, program, user};
use core::arch::asm;
use core::sync::atomic::Ordering;
use guest_rt::vectors::{Fault, class, expect_fault};
use guest_rt::{arch, el0, gic, head, mmio, mmu, mrs, msr, println, uart};

const ID: u64 = uart::BASE as u64 + 0xfe0;
const CELL: u64 = uart::BASE as u64 + 0xff0;
/// UARTIBRD, 16 bits, and UARTFBRD, 6 bits.
const IBRD: u64 = uart::BASE as u64 + 0x24;
const FBRD: u64 = IBRD + 4;
/// GICD_IPRIORITYR of an SPI that nothing uses.
const PRIORITY: u64 = (gic::GICD + gic::IPRIORITYR) as u64 + 40;
/// GICD_IROUTER of SPIs that nothing uses: 64 bits each.
const IROUTER: u64 = gic::GICD as u64 + 0x6000 + 8 * 40;

/// What EL0 sees of the first GiB.
const USER_ALIAS: u64 = 0x20_0000_0000;
/// What TTBR1_EL1 shows of the first GiB, with the same table as TTBR0_EL1.
const UPPER: u64 = 0xffff_ff80_0000_0000;
/// A tag, where TCR_EL1.TBI0 ignores it.
const TAG: u64 = 0x5a << 56;
/// A page of RAM, the UART, and nothing, side by side.
const SIDE_BY_SIDE: u64 = 0x28_0000_0000;

/// TCR_EL1.TBI0.
const TBI0: u64 = 1 << 37;
/// TCR_EL1 with a second half as the first: T1SZ, IRGN1, ORGN1, SH1, TG1 = 4 KiB, and no EPD1.
const TCR_BOTH: u64 = mmu::TCR & !(1 << 23) | 25 << 16 | 1 << 24 | 1 << 26 | 3 << 28 | 2 << 30;
/// SCTLR_EL1.M.
const SCTLR_M: u64 = 1;

/// A few instructions that access a device at x10, with data in x9 and x11. x12 is free. They may
/// run at any address.
pub type Code = extern "C" fn();

/// Makes [`Code`].
#[macro_export]
macro_rules! code {
    ($($line:expr),*) => {{
        #[unsafe(naked)]
        extern "C" fn code() {
            core::arch::naked_asm!(".arch_extension fp", ".arch_extension simd",
                ".arch_extension lse", $($line,)* "ret")
        }
        code as $crate::isv0::Code
    }};
}

/// x9, x10, x11.
pub type Registers = [u64; 3];
/// What they are before.
const X9: u64 = 0xffff_ffff_0000_0019;
const X11: u64 = 0xffff_ffff_0000_003b;

/// A place to run [`Code`] at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    El1,
    /// EL1 with SPSel = 0.
    Sp0,
    /// Code and device at upper addresses.
    Upper,
    /// Stage 1 is off.
    Off,
    /// The device by a tagged address.
    Tagged,
    El0,
}

const PLACES: [(Place, &str, u64); 6] = [
    (Place::El1, "el1", 0),
    (Place::Sp0, "sp0", 0),
    (Place::Upper, "upper", UPPER),
    (Place::Off, "off", 0),
    (Place::Tagged, "tagged", TAG),
    (Place::El0, "el0", USER_ALIAS),
];

/// Calls code at EL1, between the lines before and after it.
macro_rules! call {
    ($code:expr, $registers:expr, $before:literal, $after:literal $(, $name:ident = $value:expr)*) => {{
        let [mut x9, mut x10, mut x11] = $registers;
        let fault = expect_fault(|| {
            // SAFETY: code that changes a device and the registers named here.
            unsafe {
                asm!($before, "blr {code}", $after, code = in(reg) $code,
                    $($name = in(reg) $value,)* inout("x9") x9, inout("x10") x10,
                    inout("x11") x11, out("x12") _, out("x30") _);
            }
        });
        (fault, [x9, x10, x11])
    }};
}

/// Runs `code`; gives back the abort that it took, if any, and the registers.
fn execute(place: Place, code: Code, registers: Registers) -> (Option<Fault>, Registers) {
    let at = code as *const () as u64;
    match place {
        Place::El1 | Place::Tagged => execute_at(at, registers),
        Place::Upper => execute_at(UPPER + at, registers),
        Place::Sp0 => call!(at, registers, "msr SPSel, #0", "msr SPSel, #1"),
        // Between the two writes nothing but the device is accessed.
        Place::Off => call!(
            at,
            registers,
            "msr SCTLR_EL1, {off}\nisb",
            "msr SCTLR_EL1, {on}\nisb",
            off = mmu::SCTLR & !SCTLR_M,
            on = mmu::SCTLR
        ),
        Place::El0 => execute_at_el0(at, registers),
    }
}

/// Runs the code at address `code`.
pub fn execute_at(code: u64, registers: Registers) -> (Option<Fault>, Registers) {
    call!(code, registers, "", "")
}

#[unsafe(link_section = ".user")]
static mut PARAMETERS: [u64; 4] = [0; 4];

program!(call_at_el0: "ldp x16, x9, [x0]", "ldp x10, x11, [x0, #16]", "blr x16");

fn execute_at_el0(code: u64, [x9, x10, x11]: Registers) -> (Option<Fault>, Registers) {
    let mut parameters = [code, x9, x10, x11];
    if mrs!(SCTLR_EL1) & SCTLR_E0E != 0 {
        parameters = parameters.map(u64::swap_bytes);
    }
    // SAFETY: the program, which alone reads them, has not begun.
    unsafe { PARAMETERS = parameters };
    let argument = (&raw const PARAMETERS) as u64;
    let frame = user::run_with(call_at_el0, user::stack(), argument, el0::SPSR_EL0);
    let fault = (frame.class() != class::SVC).then(|| Fault {
        esr: frame.esr,
        far: frame.far,
        elr: frame.elr,
        spsr: frame.spsr,
        source: frame.source(),
        count: 1,
    });
    (fault, [frame.x[9], frame.x[10], frame.x[11]])
}

/// An access, what the registers are behind it, and what it has stored: 32-bit words.
struct Form {
    names: [&'static str; PLACES.len()],
    code: Code,
    address: u64,
    x9: u64,
    /// What is added to x10.
    step: i64,
    x11: u64,
    stored: &'static [(u64, u32)],
}

macro_rules! form {
    ($name:literal, $line:expr, $address:expr, ($x9:expr, $step:expr, $x11:expr), $stored:expr) => {
        Form {
            names: [
                concat!("isv0.el1.", $name),
                concat!("isv0.sp0.", $name),
                concat!("isv0.upper.", $name),
                concat!("isv0.off.", $name),
                concat!("isv0.tagged.", $name),
                concat!("isv0.el0.", $name),
            ],
            code: code!($line),
            address: $address,
            x9: $x9,
            step: $step,
            x11: $x11,
            stored: &$stored,
        }
    };
}

/// A line that has SP as its base.
macro_rules! on_sp {
    ($line:literal) => {
        concat!("mov x12, sp\nmov sp, x10\n", $line, "\nmov x10, sp\nmov sp, x12")
    };
}

fn forms() -> [Form; 28] {
    [
        form!("ldp-w", "ldp w9, w11, [x10]", ID, (0x11, 0, 0x10), []),
        form!("ldp-offset", "ldp w9, w11, [x10, #8]", CELL - 8, (0x0d, 0, 0xf0), []),
        form!("ldp-post", "ldp w9, w11, [x10], #8", CELL, (0x0d, 8, 0xf0), []),
        form!("ldp-pre", "ldp w9, w11, [x10, #8]!", CELL, (0x05, 8, 0xb1), []),
        form!("ldnp", "ldnp w9, w11, [x10, #-16]", CELL, (0x11, 0, 0x10), []),
        form!("ldpsw", "ldpsw x9, x11, [x10]", CELL, (0x0d, 0, 0xf0), []),
        form!("ldpsw-pre", "ldpsw x9, x11, [x10, #-16]!", CELL + 16, (0x0d, -16, 0xf0), []),
        form!("ldp-zr", "ldp wzr, w11, [x10]", ID, (X9, 0, 0x10), []),
        form!("ldp-sp", on_sp!("ldp w9, w11, [sp], #16"), CELL, (0x0d, 16, 0xf0), []),
        form!("ldr-post", "ldr w9, [x10], #4", ID, (0x11, 4, X11), []),
        form!("ldr-pre", "ldr w9, [x10, #4]!", ID, (0x10, 4, X11), []),
        form!("ldr-back", "ldr w9, [x10], #-16", CELL, (0x0d, -16, X11), []),
        form!("ldr-zr", "ldr wzr, [x10], #8", CELL, (X9, 8, X11), []),
        form!("ldr-sp", on_sp!("ldr w9, [sp, #-16]!"), CELL, (0x11, -16, X11), []),
        form!("ldrb-post", "ldrb w9, [x10], #1", CELL + 4, (0xf0, 1, X11), []),
        form!("ldrh-pre", "ldrh w9, [x10, #4]!", CELL, (0xf0, 4, X11), []),
        form!("ldrsb", "ldrsb x9, [x10], #4", CELL + 4, (0xf0_u8 as i8 as u64, 4, X11), []),
        form!("ldrsb-w", "ldrsb w9, [x10], #4", CELL + 4, (0xffff_fff0, 4, X11), []),
        form!("ldrsh", "ldrsh x9, [x10, #4]!", CELL, (0xf0, 4, X11), []),
        form!("ldrsw", "ldrsw x9, [x10], #-4", CELL + 12, (0xb1, -4, X11), []),
        form!("stp-w", "stp w9, w11, [x10]", IBRD, (X9, 0, X11), [(IBRD, 0x19), (FBRD, 0x3b)]),
        form!(
            "stp-post",
            "stp w11, w9, [x10], #-8",
            IBRD,
            (X9, -8, X11),
            [(IBRD, 0x3b), (FBRD, 0x19)]
        ),
        form!(
            "stnp-zr",
            "stnp wzr, w11, [x10, #4]",
            IBRD - 4,
            (X9, 0, X11),
            [(IBRD, 0), (FBRD, 0x3b)]
        ),
        form!("str-post", "str w9, [x10], #255", IBRD, (X9, 255, X11), [(IBRD, 0x19)]),
        form!("str-zr", "str wzr, [x10, #-256]!", IBRD + 256, (X9, -256, X11), [(IBRD, 0)]),
        form!(
            "strb-pre",
            "mov w9, #0xa0\nstrb w9, [x10, #1]!",
            PRIORITY,
            (0xa0, 1, X11),
            [(PRIORITY, 0x5050_a050)]
        ),
        form!("strh-post", "strh w11, [x10], #2", IBRD, (X9, 2, X11), [(IBRD, 0x3b)]),
        form!(
            "stp-x",
            "mov x9, #1\nstp x9, xzr, [x10], #16\nldr x11, [x10, #-16]!",
            IROUTER,
            (1, 0, 1),
            [(IROUTER, 1), (IROUTER + 4, 0), (IROUTER + 8, 0)]
        ),
    ]
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
    msr!(CPACR_EL1, 3 << 20);
    mmu::map_gib(USER_ALIAS, 0, mmu::MMIO | mmu::USER);
    msr!(TTBR1_EL1, mmu::LEVEL1.address());
    msr!(SP_EL0, user::stack() as u64);
    for (place, name, base) in PLACES {
        println!("INFO place {name}");
        set_tcr(TCR_BOTH | if place == Place::Tagged { TBI0 } else { 0 });
        for form in forms() {
            run_form(place, base, &form);
        }
        others(place, base);
        doublewords(place, base);
    }
    set_tcr(TCR_BOTH);
    big_endian();
    side_by_side();
    par_is_kept();
    isv1::run();
}

fn set_tcr(tcr: u64) {
    msr!(TCR_EL1, tcr);
    arch::isb();
    mmu::flush();
}

fn run_form(place: Place, base: u64, form: &Form) {
    let name = form.names[PLACES.iter().position(|(p, ..)| *p == place).unwrap_or(0)];
    for (address, _) in form.stored {
        mmio::write32(*address as usize, 0x5050_5050);
    }
    let x10 = base + form.address;
    let (fault, got) = execute(place, form.code, [X9, x10, X11]);
    if let Some(fault) = fault {
        return check::failed(name, format_args!("ESR_EL1 = {:#x}", fault.esr), "no abort");
    }
    let want = [form.x9, x10.wrapping_add_signed(form.step), form.x11];
    let stored = form.stored.iter().find(|(at, want)| mmio::read32(*at as usize) != *want);
    match stored {
        None => check::equal(name, got, want),
        Some((at, want)) => check::equal(name, mmio::read32(*at as usize), *want),
    }
}

/// GICR_TYPER, 64 bits, by pairs and with writeback.
fn doublewords(place: Place, base: u64) {
    let typer = gic::redistributor() as u64 + gic::GICR_TYPER as u64;
    let value = mmio::read64(typer as usize);
    let code =
        code!("ldr x9, [x10], #8", "ldp w11, w12, [x10, #-8]!", "orr x11, x11, x12, lsl #32");
    let (fault, got) = execute(place, code, [X9, base + typer, X11]);
    check::equal("isv0.gicr-typer", (fault.is_none(), got), (true, [value, base + typer, value]));
}

/// What need not be emulated: it works as on the board, or there is an external abort and nothing
/// has changed.
fn others(place: Place, base: u64) {
    let [x9, x10, x11] = [X9, base + CELL, X11];
    let lse = mrs!(ID_AA64ISAR0_EL1) >> 20 & 0xf != 0;
    let one = [0x0d, x10, x11];
    let same = [x9, x10, x11];
    for (name, code, want, write, exists) in [
        ("isv0.ldxr", code!("ldxr w9, [x10]", "clrex"), one, false, true),
        ("isv0.ldaxr", code!("ldaxr w9, [x10]", "clrex"), one, false, true),
        ("isv0.ldr-s", code!("fmov s0, w9", "ldr s0, [x10]", "fmov w9, s0"), one, false, true),
        (
            "isv0.ldr-q",
            code!("fmov d0, x9", "ldr q0, [x10]", "fmov x9, d0"),
            [0xf0_0000_000d, x10, x11],
            false,
            true,
        ),
        ("isv0.str-s", code!("fmov s0, w9", "str s0, [x10]"), same, true, true),
        ("isv0.stp-d", code!("fmov d0, x9", "stp d0, d0, [x10]"), same, true, true),
        ("isv0.ldadd", code!("ldadd wzr, w9, [x10]"), one, true, lse),
        ("isv0.swp", code!("swp w9, w9, [x10]"), one, true, lse),
        ("isv0.cas", code!("cas w9, w9, [x10]"), one, true, lse),
    ] {
        if !exists {
            continue;
        }
        // What an instruction does to w9 alone clears its upper half in any case.
        let (fault, got) = execute(place, code, same);
        let Some(fault) = fault else {
            check::equal(name, got, want);
            continue;
        };
        let from = if place == Place::El0 { 0x9200_0010 } else { 0x9600_0010 };
        // Of an atomic's abort WnR says whether it may have been a read.
        let esr = if want == one && write { fault.esr & !(1 << 6) } else { fault.esr };
        let wanted = from | if want != one && write { 1 << 6 } else { 0 };
        let kept = [got[0] as u32 as u64, got[1], got[2]];
        let before = [u64::from(x9 as u32), x10, x11];
        check::equal(name, (esr, fault.far, kept), (wanted, x10, before));
    }
}

/// SCTLR_EL1.EE, and E0E for EL0: data is big-endian, instructions are not.
const SCTLR_EE: u64 = 1 << 25;
const SCTLR_E0E: u64 = 1 << 24;

/// A guest that is big-endian sees the bytes of a little-endian device in reverse.
fn big_endian() {
    let ibrd = IBRD;
    for (name, code, address, want, stored) in [
        ("isv0.be.ldr", code!("ldr w9, [x10]"), CELL, [0x0d00_0000, 0, X11], None),
        ("isv0.be.ldrh", code!("ldrh w9, [x10]"), CELL + 4, [0xf000, 0, X11], None),
        (
            "isv0.be.ldrsh",
            code!("ldrsh x9, [x10]"),
            CELL + 4,
            [0xf000_u16 as i16 as u64, 0, X11],
            None,
        ),
        ("isv0.be.ldrb", code!("ldrb w9, [x10]"), CELL + 4, [0xf0, 0, X11], None),
        ("isv0.be.ldp", code!("ldp w9, w11, [x10], #8"), CELL, [0x0d00_0000, 8, 0xf000_0000], None),
        (
            "isv0.be.str",
            code!("mov w9, #0x34120000", "str w9, [x10]"),
            ibrd,
            [0x3412_0000, 0, X11],
            Some(0x1234),
        ),
        (
            "isv0.be.stp",
            code!("mov w9, #0x78560000", "stp w9, wzr, [x10]"),
            ibrd,
            [0x7856_0000, 0, X11],
            Some(0x5678),
        ),
        ("isv0.be.strh", code!("strh w9, [x10], #2"), ibrd, [X9, 2, X11], Some(0x1900)),
    ] {
        // At EL0 with translation on; at EL1 off, for EE is about the tables' descriptors too.
        for base in [USER_ALIAS, 0] {
            mmio::write32(ibrd as usize, 0);
            let registers = [X9, base + address, X11];
            let (fault, got) = if base == 0 {
                call!(
                    code as *const () as u64,
                    registers,
                    "msr SCTLR_EL1, {off}\nisb",
                    "msr SCTLR_EL1, {on}\nisb",
                    off = mmu::SCTLR & !SCTLR_M | SCTLR_EE,
                    on = mmu::SCTLR
                )
            } else {
                msr!(SCTLR_EL1, mmu::SCTLR | SCTLR_E0E);
                arch::isb();
                let result = execute_at_el0(code as *const () as u64, registers);
                msr!(SCTLR_EL1, mmu::SCTLR);
                arch::isb();
                result
            };
            let want = [want[0], base + address + want[1], want[2]];
            check::equal(name, (fault.map(|f| f.esr), got), (None, want));
            if let Some(value) = stored {
                check::equal(name, mmio::read32(ibrd as usize), value);
            }
        }
    }
}

static LEVEL2: mmu::Table = mmu::Table::new();
static LEVEL3: mmu::Table = mmu::Table::new();
#[repr(C, align(4096))]
struct Page([u64; 512]);
static mut PAGE: Page = Page([0x1234_5678_9abc_def0; 512]);

/// A pair of which only one half is the device's: nothing is wanted of it but that it is whole, or
/// is not done at all.
fn side_by_side() {
    let ram = (&raw const PAGE) as u64;
    for (index, entry) in
        [ram | mmu::RAM, uart::BASE as u64 | mmu::MMIO, crate::dabort::NOTHING | mmu::MMIO]
            .into_iter()
            .enumerate()
    {
        LEVEL3.0[index].store(entry | mmu::PAGE, Ordering::Relaxed);
    }
    LEVEL2.0[0].store(LEVEL3.address() | mmu::TABLE, Ordering::Relaxed);
    mmu::LEVEL1.0[(SIDE_BY_SIDE >> 30) as usize]
        .store(LEVEL2.address() | mmu::TABLE, Ordering::Relaxed);
    mmu::flush();
    let (device, nothing) = (SIDE_BY_SIDE + 0x1000, SIDE_BY_SIDE + 0x2000);
    let both = [0x1234_5678, device - 4, mmio::read32(uart::BASE).into()];
    for (name, code, x10, works, write) in [
        ("isv0.ram-and-device", code!("ldp w9, w11, [x10]"), device - 4, Some(both), false),
        ("isv0.device-and-nothing", code!("ldp w9, w11, [x10]"), nothing - 4, None, false),
        ("isv0.device-and-nothing-write", code!("stp w9, w11, [x10, #-4]!"), nothing, None, true),
    ] {
        let before = [X9, x10, X11];
        let (fault, got) = execute(Place::El1, code, before);
        match (fault, works) {
            (None, Some(works)) => check::equal(name, got, [works[0], x10, works[2]]),
            (None, None) => check::failed(name, "no abort", "one"),
            (Some(fault), _) => {
                let esr = 0x9600_0010 | u64::from(write) << 6;
                let near = fault.far == nothing - 4 || fault.far & 0xfff == 0;
                check::equal(name, (fault.esr, near, got), (esr, true, before));
            }
        }
    }
}

/// The result of the guest's own AT is still there behind an access that is emulated.
fn par_is_kept() {
    let code = code!(
        "at s1e1r, x9",
        "isb",
        "mrs x12, PAR_EL1",
        "ldp w9, w11, [x10]",
        "mrs x11, PAR_EL1",
        "sub x11, x11, x12"
    );
    let (fault, got) = execute(Place::El1, code, [FBRD, ID, X11]);
    check::equal("isv0.par", (fault.is_none(), got), (true, [0x11, ID, 0]));
}
