//! What the machine, its VMs and vCPUs are asked. What takes long returns whether there is more to come,
//! in another slice.

use alloc::format;
use alloc::string::String;
use core::fmt::{self, Display, Write};
use core::sync::atomic::Ordering;

use aarch64_cpu::registers::{CNTHCTL_EL2, CPTR_EL2, HCR_EL2, MDCR_EL2, VTCR_EL2};
use tock_registers::interfaces::Readable;

use super::answer::{self, Backtrace};
use super::command::Command;
use super::words;
use crate::el2::{percpu, traps};
use crate::memory::Ipa;
use crate::memory::walk::{End, Stage1};
use crate::platform::cmdline::{TRACE_RECORDS, is_trace_size};
use crate::trace;
use crate::vm::life::{InvalidTransition, Life, Why};
use crate::vm::{self, State, Vcpu, Vm, by_id, schedule, watch};

/// Bytes of memory that are shown in a slice.
const CHUNK: usize = 256;
/// Bytes that are shown at most.
const MOST: u64 = 4096;

/// The number of the VM with this name or number.
pub fn find(name: &str) -> Option<usize> {
    let named = vm::all().find(|vm| vm.name == name).map(|vm| vm.id);
    named.or_else(|| name.parse().ok().filter(|id| by_id(*id).is_some()))
}

/// Says what is wrong.
pub fn error(out: &mut String, why: &dyn Display) {
    let _ = writeln!(out, "error: {why}");
}

/// The vCPU that a command is about; says where there is none. Begins the answer with its name.
fn vcpu(command: &Command, out: &mut String) -> Option<(&'static Vm, &'static Vcpu)> {
    let (vm, index) = (by_id(command.vm)?, command.vcpu);
    let Some(vcpu) = vm.vcpus.get(index) else {
        let (count, name) = (vm.vcpus.len(), &vm.name);
        error(out, &format_args!("found vCPU {index}, wanted one below {count} of {name}"));
        return None;
    };
    let _ = write!(out, "vCPU {}.{index} of {}", vm.id, vm.name);
    Some((vm, vcpu))
}

/// The same, with what `look` sees of it; says where it is off.
fn look<R>(
    command: &Command,
    out: &mut String,
    look: impl FnOnce(&mut State) -> R,
) -> Option<(&'static Vm, R)> {
    let (vm, vcpu) = vcpu(command, out)?;
    let seen = vm.with_state(vcpu, look);
    if seen.is_none() {
        out.push_str(" is off: it has no registers\n");
    }
    Some((vm, seen?))
}

/// A VM's memory, piece by piece.
fn pieces(vm: &'static Vm) -> impl Display {
    fmt::from_fn(|f| {
        vm.calls.memory.iter().enumerate().try_for_each(|(n, (ipa, bytes))| {
            let before = if n == 0 { "" } else { ", " };
            let (unit, shift) = if bytes & 0xf_ffff == 0 { ("MiB", 20) } else { ("KiB", 10) };
            write!(f, "{before}{} {unit} at {ipa:#x}", bytes >> shift)
        })
    })
}

/// `vm list`, a VM a slice.
pub fn list(at: usize, out: &mut String) -> bool {
    if at == 0 {
        out.push_str("VM  name       life               vCPUs  VMID  stage-2 root  memory\n");
    }
    let Some(vm) = vm::all().nth(at) else { return false };
    let life = format!("{:?}", vm.life());
    let (vmid, root) = (vm.vttbr >> 48, vm.vttbr & 0xffff_ffff_fffe);
    let _ = write!(out, "{:<3} {:<10} {life:<18} {:<6} ", vm.id, vm.name, vm.vcpus.len());
    let _ = writeln!(out, "{vmid:<5} {root:<#13x} {}", pieces(vm));
    true
}

/// `vm show`.
pub fn show(id: usize, out: &mut String) {
    let Some(vm) = by_id(id) else { return };
    let (config, vcpus) = (vm.config(), vm.vcpus.len());
    let start = if config.autostart { "" } else { ", no-autostart" };
    let dedicated = if config.dedicated { ", dedicated" } else { "" };
    let cntvoff = vm.cntvoff.load(Ordering::Relaxed);
    let _ = writeln!(out, "VM {id} {}: {:?}, life {}{start}", vm.name, vm.life(), vm.lives());
    let _ = writeln!(out, "  {vcpus} vCPUs of share {}{dedicated}; {} SPIs", config.share, vm.spis);
    for vcpu in &vm.vcpus {
        if let Some(Ok((last, allowed))) = schedule::with(|queue| queue.allowed(vcpu.entity)) {
            let _ = writeln!(out, "  vCPU {}: pCPUs {allowed:#x}, the last {last}", vcpu.index);
        }
    }
    let _ = writeln!(out, "  VTTBR_EL2 {:#x}, CNTVOFF_EL2 {cntvoff}", vm.vttbr);
    let _ = writeln!(out, "  {}\n  bootargs {:?}", pieces(vm), config.bootargs);
}

/// A step of a VM's life.
pub fn operate(command: &Command, out: &mut String) {
    let Some(vm) = by_id(command.vm) else { return };
    let refuse =
        |operation| move |refused: InvalidTransition| InvalidTransition { operation, ..refused };
    let done = match (command.name, vm.life()) {
        ("vm create", Life::Made) | ("vm start", _) => vm.start(|| ()),
        ("vm create", from) => {
            Err(InvalidTransition { from, operation: "be created", only: "Made" })
        }
        ("vm stop", _) => vm.stop(Why::PowerOff),
        ("vm reset", _) => vm.stop(Why::Reset).map_err(refuse("reset")),
        ("vm pause", _) => vm.pause(),
        _ => vm.resume(),
    };
    match done {
        Ok(()) => out.push_str(&format!("{}: {:?}\n", vm.name, vm.life())),
        Err(refused) => error(out, &format_args!("{}: {refused}", vm.name)),
    }
}

/// `vcpu regs`.
pub fn registers(command: &Command, out: &mut String) {
    let see = |state: &mut State| (state.frame.clone(), state.context.el1.named());
    if let Some((_, (frame, el1))) = look(command, out, see) {
        out.push('\n');
        answer::registers(out, &frame, el1);
    }
}

/// `vcpu bt`, a frame a slice.
pub fn backtrace(command: &Command, begun: &mut Option<Backtrace>, out: &mut String) -> bool {
    if let Some(begun) = begun {
        let vm = by_id(command.vm);
        return begun.step(out, |ipa| vm?.descriptor(ipa));
    }
    let see = |state: &mut State| (state.frame.clone(), Stage1::from(&state.context.el1));
    let Some((_, (frame, stage1))) = look(command, out, see) else { return false };
    let _ = writeln!(out, ", at {}", words::level(frame.pstate));
    *begun = Some(Backtrace::new(out, &frame, stage1));
    true
}

/// `vcpu pin`.
pub fn pin(command: &Command, out: &mut String) {
    let Some((_, vcpu)) = vcpu(command, out) else { return };
    let mask = u8::try_from(command.number(0)).unwrap_or(0);
    match schedule::with(|queue| queue.set_affinity(vcpu.entity, mask)) {
        Some(Err(refused)) => out.push_str(&format!(": {refused}\n")),
        done => {
            done.and_then(Result::ok).into_iter().for_each(schedule::deliver);
            let _ = writeln!(out, ": pCPUs {mask:#x}");
        }
    }
}

/// `s1`.
pub fn stage1(command: &Command, out: &mut String) {
    let va = command.number(0);
    let see = |state: &mut State| (Stage1::from(&state.context.el1), state.context.el1.mair);
    let Some((vm, (registers, mair))) = look(command, out, see) else { return };
    let _ = writeln!(out, ", stage 1 for VA {va:#x}");
    let walk = registers.walk(va, |ipa| vm.descriptor(ipa));
    let pa = |ipa| match vm.walk_stage2(Ipa::new(ipa)).1.end {
        End::Leaf(pa, _) => Some(pa),
        _ => None,
    };
    if let Some(ipa) = answer::stage1(out, (&registers, mair), va, &walk, pa) {
        stage2(vm.id, ipa, out);
    }
}

/// `s2`.
pub fn stage2(id: usize, ipa: u64, out: &mut String) {
    let Some(vm) = by_id(id) else { return };
    let (regime, walk) = vm.walk_stage2(Ipa::new(ipa));
    let (vmid, granule) = (vm.vttbr >> 48, words::size(regime.granule));
    let _ = write!(out, "stage 2 of VM {id} {}, IPA {ipa:#x}: VMID {vmid}, ", vm.name);
    let _ = write!(out, "root {:#x}, {} bits, {granule} granule", regime.root, regime.bits);
    let _ = writeln!(out, ", from level {}", regime.start);
    answer::stage2(out, &regime, &walk, ipa, vm.has_memory(Ipa::new(ipa)));
}

/// `mem`, chunk by chunk.
pub fn memory(command: &Command, chunk: usize, out: &mut String) -> bool {
    let Some(vm) = by_id(command.vm) else { return false };
    let (done, length) = ((CHUNK * chunk) as u64, command.number(1).min(MOST));
    let (at, left) = (command.number(0).wrapping_add(done), length.saturating_sub(done));
    let mut bytes = [0; CHUNK];
    let wanted = CHUNK.min(left as usize);
    let read = vm.read(Ipa::new(at), bytes.get_mut(..wanted).unwrap_or_default());
    for (line, ipa) in bytes.get(..read).unwrap_or_default().chunks(16).zip((at..).step_by(16)) {
        answer::memory(out, ipa, line);
    }
    if read < wanted {
        let end = at.wrapping_add(read as u64);
        error(out, &format_args!("{} has no memory at IPA {end:#x}", vm.name));
    }
    read == wanted && left > CHUNK as u64
}

/// `hcr` and the like.
pub fn control(name: &str, out: &mut String) {
    let (value, fields) = match name {
        "hcr" => (HCR_EL2.get(), traps::HCR_FIELDS),
        "vtcr" => (VTCR_EL2.get(), traps::VTCR_FIELDS),
        "cptr" => (CPTR_EL2.get(), traps::CPTR_FIELDS),
        "mdcr" => (MDCR_EL2.get(), traps::MDCR_FIELDS),
        _ => (CNTHCTL_EL2.get(), traps::CNTHCTL_FIELDS),
    };
    let (name, pcpu) = (name.to_ascii_uppercase(), percpu::this().id.get());
    let _ = writeln!(out, "{name}_EL2 of pCPU {pcpu}: {value:#x}");
    words::fields(out, value, fields);
}

/// `gic`, part by part.
pub fn interrupts(command: &Command, part: usize, out: &mut String) -> bool {
    if part == 0 {
        return vcpu(command, out).is_some();
    }
    let Some(vm) = by_id(command.vm) else { return false };
    let vgic = vm.vgic.lock();
    if part <= vgic.report_parts() {
        let _ = vgic.report(command.vcpu, part - 1, out);
        return true;
    }
    drop(vgic);
    let see = |state: &mut State| {
        let registers = &state.context.interrupts;
        (registers.cntv_ctl, registers.cntv_cval)
    };
    if let Some((_, (ctl, cval))) = look(command, out, see) {
        let _ = writeln!(out, ": virtual timer {}, CNTV_CVAL_EL0 {cval}", words::timer(ctl));
    }
    false
}

/// `trace on` and `trace off`.
pub fn trace(command: &Command, out: &mut String) {
    let records = command.numbers.first().map_or(Some(TRACE_RECORDS), |n| u32::try_from(*n).ok());
    match (command.name, records.filter(|records| is_trace_size(*records))) {
        ("trace off", _) => watch::stop_trace(),
        (_, None) => error(out, &"wanted a number of records, a power of two from 64 to 1048576"),
        (_, Some(records)) => {
            watch::start_trace(records).err().iter().for_each(|why| error(out, why));
        }
    }
}

/// `trace dump`, piece by piece: the lines that `make trace` reads. What is all zero is left out.
pub fn dump(piece: usize, out: &mut String) -> bool {
    match trace::chunk(piece) {
        None if piece == 0 => error(out, &"no trace: `trace on` begins one"),
        None => out.push_str(&format!("trace end {}\n", 64 * piece)),
        Some((_, words)) if words.iter().all(|word| *word == 0) => {}
        Some((offset, words)) => {
            let _ = write!(out, "trace {offset:#x} ");
            words.iter().for_each(|word| out.push_str(&format!("{:016x}", word.swap_bytes())));
            out.push('\n');
        }
    }
    trace::chunk(piece).is_some()
}
