//! Stage-2 aborts: a guest's access to where it has no memory. A device of its own is emulated, by
//! the syndrome or, where there is none, by the instruction. What a change of the tables has
//! brought back is tried again, and the rest is what a bus would say: a synchronous external abort.

use aarch64_cpu::registers::{FAR_EL2, HPFAR_EL2, SCTLR_EL1, TCR_EL1};
use tock_registers::interfaces::Readable;

use super::decode;
use super::esr::{Abort, Access, Esr};
use super::guest::{Guest, Next};
use super::inject::Exception;
use super::{fault, pstate};
use crate::device::pl011::{Line, Pl011};
use crate::device::vgic::{self, Frame};
use crate::device::{Target, route};
use crate::el2::{at, cache};
use crate::memory::{Ipa, PAGE_SIZE};
use crate::platform::console;
use crate::trace;
use crate::trace::format::{Event, Record};
use crate::vm::layout::UART_INTID;

/// A load or store.
#[inline(never)]
pub fn data(guest: &mut Guest, esr: Esr) -> Next {
    let usual = Abort::new(esr).usual_access(FAR_EL2.get(), HPFAR_EL2.get());
    if let Some((access, ipa)) = usual
        && pstate::is_plain(guest.state.frame.pstate, SCTLR_EL1.get())
    {
        let target = route(ipa, guest.vm.vcpus.len());
        if target == Target::None {
            guest.state.exits.aborts += 1;
            return not_emulated(guest, esr);
        }
        guest.state.exits.devices += 1;
        guest.skip(esr);
        emulate(guest, target, access);
        return Next::Resume;
    }
    unusual(guest, esr)
}

#[inline(never)]
fn unusual(guest: &mut Guest, esr: Esr) -> Next {
    guest.state.exits.aborts += 1;
    read_or_write(guest, esr).err().unwrap_or(Next::Resume)
}

/// A load or store without a syndrome, by AArch32 or with big-endian data, or a store to read-only
/// memory. `Err` if it is not one of a device or of read-only memory, and what comes of it.
fn read_or_write(guest: &mut Guest, esr: Esr) -> Result<(), Next> {
    let (abort, pstate, vcpus) = (Abort::new(esr), guest.state.frame.pstate, guest.vm.vcpus.len());
    // What is written to read-only memory goes nowhere, as with a board's flash or ROM.
    let read_only = abort.write() && !abort.fault().is_translation();
    let is_device =
        |ipa: &Ipa| route(*ipa, vcpus) != Target::None || read_only && guest.vm.has_memory(*ipa);
    let device = ipa(abort).filter(|ipa| abort.is_access() && is_device(ipa));
    let (access, ipa) = match (abort.access(), device) {
        (Some(access), Some(ipa)) => (access, ipa),
        (None, Some(ipa)) if !pstate::is_aarch32(pstate) => decoded(guest, esr, ipa)?,
        _ => return Err(not_emulated(guest, esr)),
    };
    guest.skip(esr);
    let first = access.in_order(pstate::is_big_endian(pstate, SCTLR_EL1.get()));
    emulate(guest, route(ipa, vcpus), first);
    if let Some(second) = first.second() {
        let ipa = ipa.wrapping_add(first.bytes().into());
        emulate(guest, route(ipa, vcpus), second);
    }
    Ok(())
}

/// The access of the instruction at the guest's PC, which aborted at `ipa`, of a device; and where
/// it begins. The base register is written back.
///
/// A peer may have changed the instruction since, or the tables that lead to it. So the one that
/// is found must be able to cause this very abort: then it is carried out, as if the vCPU had come
/// to it a moment later. Else the vCPU tries again. (What stage 1 allows was looked at for the one
/// that aborted: an LDTR in place of an LDR is not held to EL0's rights. Only EL1 can do that, and
/// to itself.)
fn decoded(guest: &mut Guest, esr: Esr, ipa: Ipa) -> Result<(Access, Ipa), Next> {
    let frame = &guest.state.frame;
    // No code there any more: the vCPU's own fetch will tell it.
    let code = at::stage1(frame.pc).and_then(|at| guest.vm.read_word(at));
    let word = code.ok_or(Next::Resume)?;
    let Some(insn) = decode::decode(word, frame, guest.sp()) else {
        let other = decode::accesses_memory(word);
        return Err(if other { not_emulated(guest, esr) } else { fetch_again() });
    };
    let before = decode::distance(insn.address, FAR_EL2.get(), TCR_EL1.get());
    let bytes = insn.access.all_bytes();
    if insn.access.write() != Abort::new(esr).write() || before >= bytes {
        return Err(fetch_again());
    }
    // Either access of a pair may have aborted, and an unaligned one at the begin of a page. What
    // doesn't lie in this page as a whole is not of the device alone: refused, before any of it.
    let offset = ipa.offset_in(PAGE_SIZE).checked_sub(before);
    let Some(offset) = offset.filter(|offset| offset + bytes <= PAGE_SIZE) else {
        return Err(not_emulated(guest, esr));
    };
    match insn.writeback {
        Some((31, value)) => guest.set_sp(value),
        Some((n, value)) => guest.state.frame.set_gpr(n, value),
        None => {}
    }
    Ok((insn.access, ipa.align_down(PAGE_SIZE).wrapping_add(offset)))
}

/// The instruction in memory is not the one that aborted: memory was changed since, or the
/// I-cache still has what was there before. The next fetch is of memory.
fn fetch_again() -> Next {
    cache::ic_iallu();
    cache::dsb_nsh();
    Next::Resume
}

/// One load or store of a device register.
#[inline(always)]
fn emulate(guest: &mut Guest, target: Target, access: Access) {
    let size = u32::from(access.bytes());
    if access.write() {
        let value = access.stored(guest.state.frame.gpr(access.rt()));
        return match target {
            Target::Gic(frame, offset) => gic_write(guest, frame, offset, size, value),
            Target::Uart(offset) => uart_write(guest, offset, size, value),
            Target::None => {}
        };
    }
    let value = match target {
        Target::Gic(frame, offset) => {
            let (affinities, spis) = (&guest.vm.calls.affinities, guest.vm.spis);
            match vgic::typer(frame, offset, size, affinities, spis) {
                Some(value) => value,
                None => gic_read(guest, frame, offset, size),
            }
        }
        Target::Uart(offset) => uart_read(guest, offset, size),
        Target::None => 0,
    };
    guest.state.frame.set_gpr(access.rt(), access.loaded(value));
}

/// Where the access went. After a permission fault HPFAR_EL2 is UNKNOWN, and the guest's tables
/// are asked once more: `None` if they have been changed since.
fn ipa(abort: Abort) -> Option<Ipa> {
    let far = FAR_EL2.get();
    let known = abort.ipa(far, HPFAR_EL2.get());
    if known.is_none() && abort.fault().is_stage2() { at::stage1(far) } else { known }
}

// One function for each device and direction, none of them inlined: a short way through one does
// not save and restore the registers that the long way through another needs.

#[inline(never)]
fn gic_read(guest: &mut Guest, frame: Frame, offset: u64, size: u32) -> u64 {
    let index = guest.vcpu.index;
    let (value, others) = guest.vm.vgic.lock().read(index, frame, offset, size, &guest.lrs);
    if others.is_empty() {
        return value;
    }
    guest.settle(others);
    guest.vm.vgic.lock().read_settled(index, frame, offset, size, &guest.lrs)
}

#[inline(never)]
fn gic_write(guest: &mut Guest, frame: Frame, offset: u64, size: u32, value: u64) {
    let index = guest.vcpu.index;
    let effects = guest.vm.vgic.lock().write(index, frame, offset, size, value, &mut guest.lrs);
    if !effects.is_empty() {
        guest.settle(effects);
    }
}

#[inline(never)]
fn uart_read(guest: &mut Guest, offset: u64, size: u32) -> u64 {
    let value = with_uart(guest, |uart| uart.read(offset, size));
    // A key may fit now.
    if console::keys_wait(guest.vm.id) {
        guest.vm.take_keys();
    }
    value.into()
}

#[inline(never)]
fn uart_write(guest: &mut Guest, offset: u64, size: u32, value: u64) {
    if let Some(byte) = with_uart(guest, |uart| uart.write(offset, size, value as u32)) {
        console::vm_byte(guest.vm.id, byte);
    }
}

/// Gives `access` the UART, and the vGIC what becomes of its interrupt line. The UART's lock is held
/// all the while, so that levels reach the vGIC in the order in which they arose.
#[inline(always)]
fn with_uart<T>(guest: &Guest, access: impl FnOnce(&mut Pl011) -> (T, Line)) -> T {
    let mut uart = guest.vm.uart.lock();
    let (result, change) = access(&mut uart);
    if let Some(level) = change {
        let effects = guest.vm.vgic.lock().set_level(0, UART_INTID, level);
        // The own bit too: a wake-up of a running vCPU makes it look before it enters.
        guest.notify(effects);
    }
    result
}

/// A fetch.
#[cold]
#[inline(never)]
pub fn instruction(guest: &mut Guest, esr: Esr) -> Next {
    guest.state.exits.fetches += 1;
    let (abort, at) = (Abort::new(esr), guest.state.frame.pc);
    let ipa = ipa(abort);
    let next = not_emulated(guest, esr);
    let again = ipa.map_or(abort.fault().is_stage2(), |ipa| guest.vm.has_memory(ipa));
    // The abort's own vector is where nothing is: it would be taken for ever.
    if next == Next::Resume && guest.state.frame.pc == at && !again {
        return fault::stop(guest, esr, "the vector for this abort is itself not in memory");
    }
    next
}

#[cold]
fn not_emulated(guest: &mut Guest, esr: Esr) -> Next {
    let (abort, far) = (Abort::new(esr), FAR_EL2.get());
    let why = abort.fault();
    if why.is_external() {
        // Not stage 2's: the guest's own external abort, which HCR_EL2.TEA brought here first.
        return guest.inject(Exception::reflect(esr, far));
    }
    if !why.is_stage2() {
        return fault::stop(guest, esr, "stage 2 should not raise this");
    }
    // The tables, the guest's or ours, were changed under it, or nobody has touched this memory yet:
    // it tries again.
    let Some(ipa) = ipa(abort) else { return Next::Resume };
    if why.is_translation() && guest.vm.touch(ipa) {
        trace::note(|| Record::new(Event::Stage2Fault, guest.who(), 0, ipa.get(), 0));
        return Next::Resume;
    }
    if abort.cache_maintenance() && !abort.stage1_walk() {
        // By address, where no memory is: there is nothing to maintain (as KVM sees it too). CM is
        // set for AT as well, which stage 2 can only refuse on the walk: PAR_EL1 has no result.
        guest.skip(esr);
        return Next::Resume;
    }
    guest.inject(Exception::external_abort(esr, far))
}
