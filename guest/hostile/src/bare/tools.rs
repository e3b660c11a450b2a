//! What several families need.

use core::arch::asm;
use core::cell::UnsafeCell;
use core::fmt::{self, Write};
use core::ops::{Deref, Range};
use guest_rt::vectors::{Fault, expect_fault};
use guest_rt::{arch, boot, gic, mmu, println, psci, timer};
use probes::check;
use probes::scan::{self, Encoding, Name};
use probes::state::mix;

/// The variant that the boot arguments ask for, where it ends the VM.
pub fn doom() -> &'static str {
    boot::value("variant").unwrap_or("")
}

/// Says that the next thing done ends this VM.
pub fn doomed(family: &str) {
    println!("DOOM {family}.{}", doom());
}

/// Says that the VM has outlived that.
pub fn survived(family: &str) {
    println!("FAIL {family}.{}: got life, want the VM's end", doom());
}

/// RAM, as the device tree tells it.
pub fn ram() -> Range<u64> {
    let register = boot::tree().and_then(|tree| tree.property(&["memory@40000000"], "reg"));
    let number = |at: usize| {
        let bytes = register.and_then(|bytes| bytes.get(at..at + 8)?.try_into().ok());
        bytes.map_or(0, u64::from_be_bytes)
    };
    number(0)..number(0) + number(8)
}

/// RAM that holds neither this program nor, in whole words, the device tree.
pub fn free_ram() -> [Range<u64>; 2] {
    let (ram, layout) = (ram(), mmu::layout());
    let (image, tree) = (layout.text.start..layout.bss.end, boot::tree_address() as u64);
    let size = boot::tree_size() as u64;
    // The tree lies below the image on this machine and above it on the bare board.
    let below = if tree < image.start { (tree + size).next_multiple_of(8) } else { ram.start };
    let above = if tree > image.end { (tree + size).next_multiple_of(8) } else { image.end };
    [below..image.start, above..ram.end]
}

/// A short text that is put together at run time: the name of a variant.
pub struct Text {
    bytes: [u8; 64],
    length: usize,
}

impl Text {
    /// The text of these arguments, or as much as there is room for.
    pub fn new(arguments: fmt::Arguments) -> Self {
        let mut text = Text { bytes: [0; 64], length: 0 };
        let _ = text.write_fmt(arguments);
        text
    }
}

impl Write for Text {
    fn write_str(&mut self, part: &str) -> fmt::Result {
        let room = self.bytes.get_mut(self.length..self.length + part.len()).ok_or(fmt::Error)?;
        room.copy_from_slice(part.as_bytes());
        self.length += part.len();
        Ok(())
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        core::str::from_utf8(&self.bytes[..self.length]).unwrap_or("")
    }
}

/// Puts the name of a variant together.
#[macro_export]
macro_rules! variant {
    ($($argument:tt)*) => { $crate::tools::Text::new(format_args!($($argument)*)) };
}

/// Tells what was seen, for the test to compare with the bare board.
pub fn saw(variant: &str, seen: impl fmt::Display) {
    println!("SAW {variant} {seen}");
}

/// What became of a read, or of a write, as it is told.
pub struct Seen(pub Result<u64, Fault>);

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Ok(value) => write!(f, "{value:#x}"),
            Err(fault) => write!(f, "fault {:#x}", fault.esr),
        }
    }
}

/// Reads a register and tells what came of it.
pub fn saw_read(family: &str, register: Encoding) -> Option<u64> {
    let read = scan::try_read(register);
    saw(&variant!("{family}.read-{}", Name(register)), Seen(read));
    read.ok()
}

/// Writes a register and tells whether it could be written.
pub fn saw_write(family: &str, register: Encoding, value: u64) -> bool {
    let wrote = scan::try_write(register, value);
    saw(&variant!("{family}.write-{}", Name(register)), Seen(wrote.map(|()| 0)));
    wrote.is_ok()
}

/// Lets the neighbour have the CPU, in all the ways there are, by turns.
pub fn pause(n: u64) {
    match n % 4 {
        0 => {
            arch::irq_disable();
            gic::enable(timer::VIRTUAL_INTID);
            timer::arm(timer::now() + timer::ms(1));
            arch::wfi();
            timer::disarm();
            gic::disable(timer::VIRTUAL_INTID);
        }
        1 => timer::delay_ms(1),
        _ if psci::conduit() == "hvc" => {
            psci::version();
        }
        _ => {}
    }
}

/// Registers filled with patterns stay as they were while others have the CPU: one check a
/// register.
pub fn hold(family: &str, registers: &[Encoding], rounds: u64) {
    for &register in registers {
        let original = scan::try_read(register).unwrap_or(0);
        let mut lost = 0;
        for round in 0..rounds {
            let _ = scan::try_write(register, mix(round ^ register as u64));
            arch::isb();
            let written = scan::try_read(register).ok();
            pause(round);
            lost += u64::from(scan::try_read(register).ok() != written);
        }
        check::equal(&variant!("{family}.holds-{}", Name(register)), lost, 0);
        let _ = scan::try_write(register, original);
    }
}

/// An instruction and a return, where they can be executed.
#[repr(C, align(64))]
struct Code(UnsafeCell<[u32; 16]>);

// SAFETY: CPU 0 alone makes code.
unsafe impl Sync for Code {}

static CODE: Code = Code(UnsafeCell::new([0; 16]));
/// RAM as it may be executed.
const EXECUTABLE: u64 = 0x20_4000_0000;

/// Runs up to fifteen instructions with `x` in x0 to x3, and tells what is then in these and
/// which exception there was. They may change x0 to x17 and the flags.
pub fn execute(instructions: &[u32], x: [u64; 4]) -> ([u64; 4], Option<Fault>) {
    const RET: u32 = 0xd65f_03c0;
    mmu::map_gib(EXECUTABLE, 0x4000_0000, mmu::RAM & !mmu::NO_EXECUTE_EL1);
    let code = CODE.0.get().cast::<u32>();
    for (n, &instruction) in instructions.iter().chain(&[RET]).enumerate().take(16) {
        // SAFETY: within the array, which nobody else uses.
        unsafe { code.add(n).write_volatile(instruction) };
    }
    // SAFETY: maintenance by address, of one's own memory; one line, as it is aligned.
    unsafe {
        asm!("dc cvau, {0}", "dsb ish", "ic ivau, {1}", "dsb ish", "isb",
            in(reg) code, in(reg) code as u64 + EXECUTABLE - 0x4000_0000);
    }
    let [mut x0, mut x1, mut x2, mut x3] = x;
    let at = code as u64 + EXECUTABLE - 0x4000_0000;
    let fault = expect_fault(|| {
        // SAFETY: it changes what is said above. On an exception it goes on behind the call.
        unsafe {
            asm!("blr {at}", at = in(reg) at, inout("x0") x0, inout("x1") x1, inout("x2") x2,
                inout("x3") x3, clobber_abi("C"));
        }
    });
    ([x0, x1, x2, x3], fault)
}

/// Memory in which each word is known.
pub struct Pattern {
    start: u64,
    pages: u64,
}

impl Pattern {
    fn word(address: u64) -> u64 {
        mix(address)
    }

    /// Fills so many pages, which must be RAM that nobody uses.
    pub fn new(start: u64, pages: u64) -> Self {
        let pattern = Pattern { start, pages };
        for address in pattern.words() {
            // SAFETY: as the caller says.
            unsafe { (address as *mut u64).write_volatile(Self::word(address)) };
        }
        pattern
    }

    fn words(&self) -> impl Iterator<Item = u64> + use<> {
        (self.start..self.start + 4096 * self.pages).step_by(8)
    }

    /// How many words have changed.
    pub fn wrong(&self) -> usize {
        // SAFETY: RAM.
        let read = |address: u64| unsafe { (address as *const u64).read_volatile() };
        self.words().filter(|&address| read(address) != Self::word(address)).count()
    }
}
