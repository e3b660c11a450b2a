//! Family 25: accesses across the borders of RAM, a device and nothing, and unaligned ones to a
//! device. Where nothing is on one side there is an abort. Else it is done as a whole or aborts; an
//! access that begins in RAM and ends in a device may give the device's part alone. In any case no
//! other register changes, no byte of RAM outside, and of those inside each is the old or the new.

use crate::variant;
use core::sync::atomic::Ordering::Relaxed;
use guest_rt::mmu::{self, LEVEL1, Table};
use guest_rt::{gic, head, mmio, msr, uart};
use probes::isv0::{self, Code};
use probes::{check, code};

/// Pages side by side, with devices as Device memory, and the same as Normal memory.
const BASE: u64 = 0x28_0000_0000;
const NORMAL: u64 = BASE + (2 << 20);
const PAGE: u64 = 4096;
const NOTHING: u64 = 0x0b00_0000;
const FILL: u8 = 0xa5;
const X9: u64 = 0x1122_3344_5566_7788;
const X11: u64 = 0x99aa_bbcc_ddee_ff00;

static LEVEL2: Table = Table::new();
static LEVEL3: [Table; 2] = [const { Table::new() }; 2];

#[repr(C, align(4096))]
struct Pages([[u8; PAGE as usize]; 3]);
static mut PAGES: Pages = Pages([[FILL; PAGE as usize]; 3]);

/// An access at x10 with x9, and of a pair x11.
struct Form {
    name: &'static str,
    code: Code,
    bytes: u64,
    write: bool,
    pair: bool,
}

macro_rules! form {
    ($name:literal, $line:literal, $bytes:literal, $write:literal, $pair:literal) => {
        Form { name: $name, code: code!($line), bytes: $bytes, write: $write, pair: $pair }
    };
}

/// The attack.
pub fn attack() {
    head::init();
    msr!(CPACR_EL1, 3 << 20);
    let forms = [
        form!("ldrh", "ldrh w9, [x10]", 2, false, false),
        form!("ldr-w", "ldr w9, [x10]", 4, false, false),
        form!("ldr-x", "ldr x9, [x10]", 8, false, false),
        form!("ldp-w", "ldp w9, w11, [x10]", 8, false, true),
        form!("ldp-x", "ldp x9, x11, [x10]", 16, false, true),
        form!("strh", "strh w9, [x10]", 2, true, false),
        form!("str-w", "str w9, [x10]", 4, true, false),
        form!("str-x", "str x9, [x10]", 8, true, false),
        form!("stp-w", "stp w9, w11, [x10]", 8, true, true),
        form!("stp-x", "stp x9, x11, [x10]", 16, true, true),
    ];
    let ram = &raw const PAGES as u64;
    let places = [
        ram,
        uart::BASE as u64,
        ram + PAGE,
        NOTHING,
        ram + 2 * PAGE,
        gic::GICD as u64,
        NOTHING,
        uart::BASE as u64,
    ];
    for (table, device) in LEVEL3.iter().zip([mmu::MMIO, mmu::RAM]) {
        for (entry, place) in table.0.iter().zip(places) {
            let attributes = if place >= 0x4000_0000 { mmu::RAM } else { device };
            entry.store(place | attributes | mmu::PAGE, Relaxed);
        }
    }
    for (entry, table) in LEVEL2.0.iter().zip(&LEVEL3) {
        entry.store(table.address() | mmu::TABLE, Relaxed);
    }
    LEVEL1.0[(BASE >> 30) as usize].store(LEVEL2.address() | mmu::TABLE, Relaxed);
    mmu::flush();
    let borders = [
        ("ram-uart", false),
        ("uart-ram", false),
        ("ram-nothing", true),
        ("nothing-ram", true),
        ("ram-gicd", false),
        // What begins in a device is taken for one of it.
        ("gicd-nothing", false),
        ("nothing-uart", true),
    ];
    for form in forms {
        for (kind, base) in [("device", BASE), ("normal", NORMAL)] {
            for (n, (border, aborts)) in borders.iter().enumerate() {
                let at = base + (n as u64 + 1) * PAGE;
                let name = variant!("straddle.{border}.{kind}.{}", form.name);
                across(&name, &form, at, *aborts);
            }
            unaligned(&variant!("straddle.unaligned.{kind}.{}", form.name), &form, base);
        }
        end_of_ram(&form);
    }
    mmio::write32(uart::IMSC, 0);
}

/// What is wrong with an access at `at`; `aborts` if it has to.
fn wrong(form: &Form, at: u64, aborts: bool) -> Option<&'static str> {
    let (fault, [x9, x10, x11]) = isv0::execute_at(form.code as *const () as u64, [X9, at, X11]);
    let bytes = if form.pair { form.bytes / 2 } else { form.bytes };
    let fits = |value: u64| bytes == 8 || value >> (8 * bytes) == 0;
    match fault {
        Some(fault) => {
            let fsc = fault.esr & 0x3f;
            let esr = fault.esr & !0x3f == 0x9600_0000 | u64::from(form.write) << 6;
            let far = (at..at + form.bytes).contains(&fault.far);
            match () {
                () if !esr || !matches!(fsc, 0x10 | 0x21) => Some("another abort"),
                () if !far => Some("FAR outside the access"),
                () if [x9, x10, x11] != [X9, at, X11] => Some("registers changed"),
                () => None,
            }
        }
        None if aborts => Some("no abort"),
        None if x10 != at || form.write && x9 != X9 => Some("registers changed"),
        None if x11 != X11 && (form.write || !form.pair) => Some("x11 changed"),
        None if !form.write && !fits(x9) => Some("more bits than were loaded"),
        None if form.pair && !form.write && !fits(x11) => Some("more bits than were loaded"),
        None => None,
    }
}

/// From each distance across the border at `border`.
fn across(name: &str, form: &Form, border: u64, aborts: bool) {
    let mut found = None;
    for before in 1..form.bytes {
        let at = border - before;
        // SAFETY: the pages are only accessed by address, here and in the accesses.
        unsafe { (&raw mut PAGES).cast::<u8>().write_bytes(FILL, size_of::<Pages>()) };
        found = found.or(wrong(form, at, aborts).map(|what| (before, what)));
        let mut changed = 0;
        for n in 0..size_of::<Pages>() {
            // SAFETY: as above.
            let byte = unsafe { (&raw const PAGES).cast::<u8>().add(n).read_volatile() };
            changed += u64::from(byte != FILL);
        }
        if changed > if form.write { form.bytes } else { 0 } {
            found = found.or(Some((before, "other bytes of RAM changed")));
        }
    }
    check::equal(name, found, None);
}

/// In the UART and the distributor.
fn unaligned(name: &str, form: &Form, base: u64) {
    // UARTIBRD and UARTFBRD, GICD_IPRIORITYR of an SPI that nothing uses.
    let places = [base + PAGE + 0x24, base + 5 * PAGE + 0x428];
    let all = places.iter().flat_map(|at| (1..8).map(move |offset| at + offset));
    let found = all.filter_map(|at| wrong(form, at, false).map(|what| (at, what))).next();
    check::equal(name, found, None);
}

/// At the end of RAM, behind which nothing is.
fn end_of_ram(form: &Form) {
    let end = crate::tools::ram().end;
    let found = (1..form.bytes).find_map(|before| wrong(form, end - before, true));
    check::equal(&variant!("straddle.end-of-ram.{}", form.name), found, None);
}
