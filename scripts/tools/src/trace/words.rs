//! A trace's numbers in words. What a syndrome says comes from the hypervisor's own decoder, so that
//! a picture never says anything else than its log.

use super::{
    devices,
    file::Trace,
    model::{Exit, Mark, Model},
};
use mezzanine::exit::{
    esr::{Abort, Ec, Esr, Report, SysRegAccess},
    pstate,
};
use mezzanine::trace::format::{Event, JOB, Kind, Left, NO_VCPU, Record, Stage};

/// The calls by their function identifiers (SMCCC, Arm DEN0028; PSCI, DEN0022; TRNG, DEN0098; PV
/// time, DEN0057). Bit 30, for 64-bit arguments, is not looked at.
const FUNCTIONS: [(u32, &str); 34] = [
    (0x8000_0000, "SMCCC_VERSION"),
    (0x8000_0001, "SMCCC_ARCH_FEATURES"),
    (0x8000_0002, "SMCCC_ARCH_SOC_ID"),
    (0x8000_3fff, "SMCCC_ARCH_WORKAROUND_3"),
    (0x8000_7fff, "SMCCC_ARCH_WORKAROUND_2"),
    (0x8000_8000, "SMCCC_ARCH_WORKAROUND_1"),
    (0x8400_0000, "PSCI_VERSION"),
    (0x8400_0001, "PSCI_CPU_SUSPEND"),
    (0x8400_0002, "PSCI_CPU_OFF"),
    (0x8400_0003, "PSCI_CPU_ON"),
    (0x8400_0004, "PSCI_AFFINITY_INFO"),
    (0x8400_0005, "PSCI_MIGRATE"),
    (0x8400_0006, "PSCI_MIGRATE_INFO_TYPE"),
    (0x8400_0007, "PSCI_MIGRATE_INFO_UP_CPU"),
    (0x8400_0008, "PSCI_SYSTEM_OFF"),
    (0x8400_0009, "PSCI_SYSTEM_RESET"),
    (0x8400_000a, "PSCI_FEATURES"),
    (0x8400_000b, "PSCI_CPU_FREEZE"),
    (0x8400_000c, "PSCI_CPU_DEFAULT_SUSPEND"),
    (0x8400_000d, "PSCI_NODE_HW_STATE"),
    (0x8400_000e, "PSCI_SYSTEM_SUSPEND"),
    (0x8400_000f, "PSCI_SET_SUSPEND_MODE"),
    (0x8400_0010, "PSCI_STAT_RESIDENCY"),
    (0x8400_0011, "PSCI_STAT_COUNT"),
    (0x8400_0012, "PSCI_SYSTEM_RESET2"),
    (0x8400_0013, "PSCI_MEM_PROTECT"),
    (0x8400_0014, "PSCI_MEM_PROTECT_CHECK_RANGE"),
    (0x8400_0050, "TRNG_VERSION"),
    (0x8400_0051, "TRNG_FEATURES"),
    (0x8400_0052, "TRNG_GET_UUID"),
    (0x8400_0053, "TRNG_RND"),
    (0x8500_0020, "PV_TIME_FEATURES"),
    (0x8500_0021, "PV_TIME_ST"),
    (0x8600_ff01, "VENDOR_HYP_UID"),
];

/// The name of a call, or its number.
pub fn function(number: u32) -> String {
    let known = FUNCTIONS.iter().find(|(function, _)| *function == number & !(1 << 30));
    known.map_or_else(|| format!("call {number:#x}"), |(_, name)| (*name).into())
}

/// What an interrupt's number says of it.
pub fn intid(number: u32) -> String {
    match number {
        0..16 => format!("SGI {number}"),
        26 => "PPI 26 (EL2's timer)".into(),
        27 => "PPI 27 (virtual timer)".into(),
        30 => "PPI 30 (physical timer)".into(),
        16..32 => format!("PPI {number}"),
        33 => "SPI 33 (UART)".into(),
        32..1020 => format!("SPI {number}"),
        1020..1024 => "no interrupt any more".into(),
        _ => format!("INTID {number}"),
    }
}

/// An exit's syndrome and addresses.
pub fn report(exit: &Exit) -> Report {
    let Record { detail, a, b, .. } = exit.record;
    let esr = Esr::new(detail.into());
    match esr.ec() {
        Ec::DATA_ABORT_LOWER | Ec::INSTRUCTION_ABORT_LOWER | Ec::WATCHPOINT_LOWER => {
            Report { esr, far: a, hpfar: b }
        }
        // FAR_EL2 is the PC.
        Ec::PC_ALIGNMENT => Report { esr, far: a, hpfar: 0 },
        _ => Report { esr, far: 0, hpfar: 0 },
    }
}

/// The address that an abort or a watchpoint is about: the virtual one, and the IPA where the registers know it.
pub fn addresses(exit: &Exit) -> Option<(u64, Option<u64>)> {
    let Report { esr, far, hpfar } = report(exit);
    match esr.ec() {
        _ if exit.event != Event::ExitSync => None,
        Ec::DATA_ABORT_LOWER | Ec::INSTRUCTION_ABORT_LOWER => {
            Some((far, Abort::new(esr).ipa(far, hpfar).map(|ipa| ipa.get())))
        }
        Ec::WATCHPOINT_LOWER => Some((far, None)),
        _ => None,
    }
}

/// The PC of the instruction that came to EL2, or of the one that was to be next.
pub fn pc(exit: &Exit) -> Option<u64> {
    addresses(exit).is_none().then_some(exit.record.a)
}

/// An exit in a line, as the hypervisor's log would have it.
pub fn sentence(exit: &Exit) -> String {
    match exit.event {
        Event::ExitIrq => format!("physical interrupt: {} is pending", intid(exit.record.detail)),
        _ => report(exit).to_string(),
    }
}

/// An exit in a few words.
pub fn title(exit: &Exit, marks: &[Mark]) -> String {
    let Report { esr, far, hpfar } = report(exit);
    if exit.event == Event::ExitIrq {
        return interrupt(exit.record.detail, marks);
    }
    match esr.ec() {
        _ if exit.event == Event::ExitSError => "SError".into(),
        Ec::HVC64 | Ec::SMC64 => {
            let name = if esr.ec() == Ec::HVC64 { "HVC" } else { "SMC" };
            let call = marks.iter().find(|mark| mark.stamped.event == Event::Call);
            let number = call.map_or(exit.record.b as u32, |mark| mark.stamped.record.detail);
            format!("{name} {}", function(number))
        }
        Ec::WFX => ["WFI", "WFE", "WFIT", "WFET"][esr.iss() as usize & 3].into(),
        Ec::SYSREG => {
            let access = SysRegAccess::new(esr);
            let (register, read) = (access.register(), access.read());
            match (register.op0(), read) {
                (1, _) => register.to_string(),
                (_, true) => format!("MRS {register}"),
                (_, false) => format!("MSR {register}"),
            }
        }
        Ec::DATA_ABORT_LOWER | Ec::INSTRUCTION_ABORT_LOWER => {
            let abort = Abort::new(esr);
            let what = match abort.access() {
                _ if esr.ec() == Ec::INSTRUCTION_ABORT_LOWER => "fetch",
                _ if abort.cache_maintenance() => "cache maintenance",
                _ if abort.stage1_walk() => "table walk",
                _ if abort.write() => "write",
                _ => "read",
            };
            match abort.ipa(far, hpfar) {
                Some(ipa) => match devices::register(ipa.get()) {
                    Some(register) => format!("{what} {register}"),
                    None => format!("{what} {ipa}"),
                },
                None => format!("{what} VA {far:#x}"),
            }
        }
        Ec::FP_ACCESS => "first use of FP".into(),
        ec => ec.name().into(),
    }
}

/// What an interrupt was for: the number that was pending, or a kick, which is an SGI.
fn interrupt(pending: u32, marks: &[Mark]) -> String {
    match marks.iter().any(|mark| mark.stamped.event == Event::Kicked) {
        true if pending < 16 => "IRQ kick".into(),
        _ => format!("IRQ {}", intid(pending)),
    }
}

/// What happened, in a line.
pub fn mark(trace: &Trace, model: &Model, mark: &Mark) -> String {
    let Record { vm, vcpu, detail, a, b, .. } = mark.stamped.record;
    let who = mark.vcpu.map_or_else(|| "?".into(), |vcpu| model.name(trace, vcpu));
    match mark.stamped.event {
        Event::Inject => {
            let report = Report { esr: Esr::new(detail.into()), far: 0, hpfar: 0 };
            let class = report.esr.ec();
            format!("inject into {who}: {class}, to vector {a:#x}, from PC {b:#x}")
        }
        Event::ListWrite => format!("LR{detail} written: {}", list_register(a)),
        Event::ListRead => format!("LR{detail} read: {}", list_register(a)),
        Event::Wake => format!("news for {who}"),
        Event::Kick => format!("kick to pCPU {detail}"),
        Event::Kicked => "kick taken".into(),
        Event::Timer => format!("timer fires: {}", intid(detail)),
        Event::Call => format!("{}({a:#x}, {b:#x})", function(detail)),
        Event::Stage2Fault => format!("stage-2 fault of {who} at IPA {a:#x}"),
        Event::Life => {
            let stage = Stage::ALL.iter().find(|(stage, _)| *stage as u32 == detail);
            let stage = stage.map_or("in an unknown state", |(_, name)| name);
            format!("{} is {stage}", trace.vm(vm).unwrap_or("?"))
        }
        other => format!("{other:?} of {vm}.{vcpu}"),
    }
}

/// The name of a kind of mark.
pub fn event(event: Event) -> &'static str {
    match event {
        Event::Inject => "injection",
        Event::ListWrite | Event::ListRead => "list register",
        Event::Wake => "news",
        Event::Kick => "kick sent",
        Event::Kicked => "kick taken",
        Event::Timer => "timer",
        Event::Call => "hypercall",
        Event::Stage2Fault => "stage-2 fault",
        Event::Life => "life cycle",
        _ => "event",
    }
}

/// The name of a kind of exit.
pub fn kind(kind: Kind) -> &'static str {
    Kind::ALL.iter().find(|(one, _)| *one == kind).map_or("?", |(_, name)| name)
}

/// Why a pCPU was given back.
pub fn left(left: Left) -> &'static str {
    Left::ALL.iter().find(|(one, _)| *one == left).map_or("?", |(_, name)| name)
}

/// A vCPU's number in words that stand alone.
pub fn vcpu(number: u8) -> String {
    match number {
        JOB => "job".into(),
        NO_VCPU => "none".into(),
        number => format!("vCPU {number}"),
    }
}

/// The exception level and stack of a PSTATE: `EL1h`.
pub fn level(bits: u64) -> String {
    match (pstate::is_aarch32(bits), pstate::level(bits)) {
        (true, _) => "EL0, AArch32".into(),
        (false, 0) => "EL0".into(),
        (false, level) => format!("EL{level}{}", if bits & pstate::SP == 0 { 't' } else { 'h' }),
    }
}

/// ICH_LR<n>_EL2 (IHI 0069, 12.4.6).
fn list_register(value: u64) -> String {
    let state = ["free", "pending", "active", "active and pending"][(value >> 62) as usize & 3];
    let number = intid(value as u32);
    let hardware = if value >> 61 & 1 == 1 { ", linked to hardware" } else { "" };
    format!("{number} {state}, priority {:#04x}{hardware}", value >> 48 & 0xff)
}
