//! Exception vectors (Arm DDI 0487, D1.3): where the CPU goes on an exception, what is saved, and
//! who handles it.
//!
//! All sixteen entries do the same: make room on the stack of EL1, save everything the interrupted
//! code could miss into a [`Frame`], and call a Rust handler with it. When the handler returns the
//! frame is put back, with whatever changes were made to it, and `eret` leaves the exception.

use crate::{arch, head::MAX_CPUS, mrs, msr, println, psci};
use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

/// The state that an exception interrupted.
#[repr(C, align(16))]
#[derive(Clone, Copy, Debug)]
pub struct Frame {
    /// x0 to x30.
    pub x: [u64; 31],
    /// The stack pointer of EL0, and of code at EL1 that chose it (SPSel = 0).
    pub sp_el0: u64,
    /// Where `eret` goes: the faulting instruction, or the one to be run next after a system call
    /// or an interrupt.
    pub elr: u64,
    /// PSTATE to go back to.
    pub spsr: u64,
    /// Exception syndrome: why (ESR_EL1). Meaningless for IRQ and FIQ.
    pub esr: u64,
    /// Faulting virtual address (FAR_EL1), for aborts and PC alignment faults.
    pub far: u64,
    /// Which of the sixteen vectors was taken: [`Frame::source`] and [`Frame::kind`] tell it apart.
    pub vector: u64,
    reserved: u64,
}

/// What an exception is, by its place in the vector table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Kind {
    /// Caused by the instruction itself: system call, abort, undefined instruction…
    Synchronous,
    /// Interrupt of Group 1.
    Irq,
    /// Interrupt of Group 0.
    Fiq,
    /// System error: an abort that comes late.
    SError,
}

/// Where an exception came from, by its place in the vector table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum Source {
    /// EL1 with SP_EL0 (EL1t).
    CurrentSp0,
    /// EL1 with SP_EL1 (EL1h): the usual case.
    CurrentSpx,
    /// EL0 in AArch64.
    Lower64,
    /// EL0 in AArch32.
    Lower32,
}

impl Frame {
    /// What happened.
    pub fn kind(&self) -> Kind {
        match self.vector & 3 {
            0 => Kind::Synchronous,
            1 => Kind::Irq,
            2 => Kind::Fiq,
            _ => Kind::SError,
        }
    }

    /// Where it happened.
    pub fn source(&self) -> Source {
        match self.vector >> 2 & 3 {
            0 => Source::CurrentSp0,
            1 => Source::CurrentSpx,
            2 => Source::Lower64,
            _ => Source::Lower32,
        }
    }

    /// The exception class, ESR_EL1.EC.
    pub fn class(&self) -> u64 {
        self.esr >> 26 & 0x3f
    }
}

/// Exception classes, ESR_EL1.EC (Arm DDI 0487, D17.2.37).
pub mod class {
    #![allow(missing_docs)]
    pub const UNKNOWN: u64 = 0x00;
    pub const FP_ACCESS: u64 = 0x07;
    pub const ILLEGAL_STATE: u64 = 0x0e;
    pub const SVC: u64 = 0x15;
    pub const SYSREG: u64 = 0x18;
    pub const INSTRUCTION_ABORT_LOWER: u64 = 0x20;
    pub const INSTRUCTION_ABORT: u64 = 0x21;
    pub const PC_ALIGNMENT: u64 = 0x22;
    pub const DATA_ABORT_LOWER: u64 = 0x24;
    pub const DATA_ABORT: u64 = 0x25;
    pub const SP_ALIGNMENT: u64 = 0x26;
    pub const STEP_LOWER: u64 = 0x32;
    pub const STEP: u64 = 0x33;
    pub const BRK: u64 = 0x3c;

    /// The class in words.
    pub fn name(class: u64) -> &'static str {
        match class {
            UNKNOWN => "undefined instruction",
            FP_ACCESS => "FP access",
            ILLEGAL_STATE => "illegal execution state",
            SVC => "SVC",
            SYSREG => "system register access",
            INSTRUCTION_ABORT_LOWER => "instruction abort from EL0",
            INSTRUCTION_ABORT => "instruction abort",
            PC_ALIGNMENT => "PC alignment fault",
            DATA_ABORT_LOWER => "data abort from EL0",
            DATA_ABORT => "data abort",
            SP_ALIGNMENT => "SP alignment fault",
            STEP_LOWER => "single step from EL0",
            STEP => "single step",
            BRK => "BRK",
            _ => "other",
        }
    }
}

global_asm!(
    r#"
    .macro vector number
    .balign 128
    sub     sp, sp, #{size}
    stp     x0, x1, [sp]
    mov     x0, #\number
    b       save
    .endm

    .section .vectors, "ax"
    .balign 2048
    .global vectors
vectors:
    .irp n, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15
    vector \n
    .endr

    .balign 128
save:
    stp     x2, x3, [sp, #16]
    stp     x4, x5, [sp, #32]
    stp     x6, x7, [sp, #48]
    stp     x8, x9, [sp, #64]
    stp     x10, x11, [sp, #80]
    stp     x12, x13, [sp, #96]
    stp     x14, x15, [sp, #112]
    stp     x16, x17, [sp, #128]
    stp     x18, x19, [sp, #144]
    stp     x20, x21, [sp, #160]
    stp     x22, x23, [sp, #176]
    stp     x24, x25, [sp, #192]
    stp     x26, x27, [sp, #208]
    stp     x28, x29, [sp, #224]
    str     x30, [sp, #240]
    mrs     x1, SP_EL0
    mrs     x2, ELR_EL1
    mrs     x3, SPSR_EL1
    mrs     x4, ESR_EL1
    mrs     x5, FAR_EL1
    str     x1, [sp, #{sp_el0}]
    stp     x2, x3, [sp, #{elr}]
    stp     x4, x5, [sp, #{esr}]
    str     x0, [sp, #{vector}]
    mov     x0, sp
    bl      {handler}

    ldr     x1, [sp, #{sp_el0}]
    ldp     x2, x3, [sp, #{elr}]
    msr     SP_EL0, x1
    msr     ELR_EL1, x2
    msr     SPSR_EL1, x3
    ldp     x2, x3, [sp, #16]
    ldp     x4, x5, [sp, #32]
    ldp     x6, x7, [sp, #48]
    ldp     x8, x9, [sp, #64]
    ldp     x10, x11, [sp, #80]
    ldp     x12, x13, [sp, #96]
    ldp     x14, x15, [sp, #112]
    ldp     x16, x17, [sp, #128]
    ldp     x18, x19, [sp, #144]
    ldp     x20, x21, [sp, #160]
    ldp     x22, x23, [sp, #176]
    ldp     x24, x25, [sp, #192]
    ldp     x26, x27, [sp, #208]
    ldp     x28, x29, [sp, #224]
    ldr     x30, [sp, #240]
    ldp     x0, x1, [sp]
    add     sp, sp, #{size}
    eret
    "#,
    size = const size_of::<Frame>(),
    sp_el0 = const offset_of!(Frame, sp_el0),
    elr = const offset_of!(Frame, elr),
    esr = const offset_of!(Frame, esr),
    vector = const offset_of!(Frame, vector),
    handler = sym handle,
);
const _: () = assert!(offset_of!(Frame, spsr) == offset_of!(Frame, elr) + 8);
const _: () = assert!(offset_of!(Frame, far) == offset_of!(Frame, esr) + 8);

unsafe extern "C" {
    #[link_name = "vectors"]
    static VECTORS: u8;
}

/// The address of the vector table.
pub fn table() -> u64 {
    (&raw const VECTORS) as u64
}

/// Points VBAR_EL1 of this CPU at the vector table.
pub fn install() {
    msr!(VBAR_EL1, table());
    arch::isb();
}

/// A handler of exceptions. It may change the frame. `false` says that the exception is none of
/// its business: it is then reported and the machine switched off.
pub type Handler = fn(&mut Frame) -> bool;

/// The handler of each [`Kind`], as the address of a [`Handler`], or 0.
static HANDLERS: [AtomicUsize; 4] = [const { AtomicUsize::new(0) }; 4];

/// Makes `handler` responsible for all exceptions of a kind, on all CPUs.
pub fn set_handler(kind: Kind, handler: Handler) {
    HANDLERS[kind as usize].store(handler as *const () as usize, Ordering::Release);
}

/// Takes the responsibility for a kind away again.
pub fn clear_handler(kind: Kind) {
    HANDLERS[kind as usize].store(0, Ordering::Release);
}

extern "C" fn handle(frame: &mut Frame) {
    if frame.kind() == Kind::Synchronous && record_expected(frame) {
        return;
    }
    let handler = HANDLERS[frame.kind() as usize].load(Ordering::Acquire);
    if handler != 0 {
        // SAFETY: the array holds 0 or what `set_handler` put there, a `Handler`.
        let handler: Handler = unsafe { core::mem::transmute(handler) };
        if handler(frame) {
            return;
        }
    }
    report(frame);
    psci::system_off()
}

/// Prints an exception that nobody handled.
fn report(frame: &Frame) {
    println!(
        "FAIL unexpected {:?} from {:?}: {}",
        frame.kind(),
        frame.source(),
        class::name(frame.class())
    );
    println!("  ESR_EL1  {:#018x}   FAR_EL1 {:#018x}", frame.esr, frame.far);
    println!("  ELR_EL1  {:#018x}  SPSR_EL1 {:#018x}", frame.elr, frame.spsr);
    for (row, values) in frame.x.chunks(4).enumerate() {
        for (column, value) in values.iter().enumerate() {
            crate::print!("  x{:<2} {:#018x}", row * 4 + column, value);
        }
        println!("");
    }
}

/// What [`expect_fault`] saw.
#[derive(Clone, Copy, Debug)]
pub struct Fault {
    /// ESR_EL1.
    pub esr: u64,
    /// FAR_EL1.
    pub far: u64,
    /// ELR_EL1: the faulting instruction.
    pub elr: u64,
    /// SPSR_EL1.
    pub spsr: u64,
    /// From where it came.
    pub source: Source,
    /// How many there were: more than one where the code went on and faulted again.
    pub count: u32,
}

impl Fault {
    /// The exception class.
    pub fn class(&self) -> u64 {
        self.esr >> 26 & 0x3f
    }
}

struct Expectation {
    armed: AtomicBool,
    fault: core::cell::UnsafeCell<Option<Fault>>,
}

// SAFETY: each CPU uses only its own element of the array below.
unsafe impl Sync for Expectation {}

static EXPECTED: [Expectation; MAX_CPUS] = [const {
    Expectation { armed: AtomicBool::new(false), fault: core::cell::UnsafeCell::new(None) }
}; MAX_CPUS];

/// Runs `f`. If an instruction in it raises a synchronous exception, that instruction is skipped
/// and the exception given back, as seen in the registers.
///
/// Where the CPU had gone astray (a PC outside the program's code, or misaligned) there is no
/// instruction to be skipped: the code goes on at x30, as if the bad address had been a function
/// that returned. So go there with `blr`.
pub fn expect_fault(f: impl FnOnce()) -> Option<Fault> {
    let mine = &EXPECTED[arch::cpu()];
    // SAFETY: only this CPU uses the element, and its handler only while `armed` is set.
    unsafe { *mine.fault.get() = None };
    mine.armed.store(true, Ordering::SeqCst);
    f();
    mine.armed.store(false, Ordering::SeqCst);
    // SAFETY: as above.
    unsafe { *mine.fault.get() }
}

/// Notes the exception if `expect_fault` is waiting for one, and steps over the instruction.
fn record_expected(frame: &mut Frame) -> bool {
    let mine = &EXPECTED[arch::cpu()];
    if !mine.armed.load(Ordering::SeqCst) || frame.class() == class::SVC {
        return false;
    }
    // SAFETY: only this CPU uses the element, and `expect_fault` not while `armed` is set.
    let slot = unsafe { &mut *mine.fault.get() };
    match slot {
        Some(first) => first.count += 1,
        None => {
            *slot = Some(Fault {
                esr: frame.esr,
                far: frame.far,
                elr: frame.elr,
                spsr: frame.spsr,
                source: frame.source(),
                count: 1,
            });
        }
    }
    let text = crate::mmu::layout().text;
    frame.elr = if text.contains(&frame.elr) && frame.class() != class::PC_ALIGNMENT {
        frame.elr + 4
    } else {
        frame.x[30]
    };
    frame.spsr &= !SPSR_IL;
    true
}

/// SPSR_EL1.IL: the interrupted code was in the illegal execution state.
pub const SPSR_IL: u64 = 1 << 20;

/// The stack pointer of EL0.
pub fn sp_el0() -> u64 {
    mrs!(SP_EL0)
}
