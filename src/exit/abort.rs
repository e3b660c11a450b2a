//! Stage-2 aborts: a guest's access to where it has no memory. A device of its own is emulated,
//! what a change of the tables has brought back is tried again, and the rest is what a bus would
//! say: a synchronous external abort.

use aarch64_cpu::registers::{FAR_EL2, HPFAR_EL2};
use tock_registers::interfaces::Readable;

use super::esr::{Abort, Access, Esr};
use super::fault;
use super::guest::{Guest, Next};
use super::inject::Exception;
use crate::device::{Target, route};
use crate::platform::console;
use crate::vm::layout::UART_INTID;

/// A load or store.
#[inline]
pub fn data(guest: &mut Guest, esr: Esr) -> Next {
    let abort = Abort::new(esr);
    let ipa = abort.ipa(FAR_EL2.get(), HPFAR_EL2.get());
    let (Some(ipa), Some(access)) = (ipa, abort.access()) else {
        return not_emulated(guest, esr);
    };
    match route(ipa, guest.vm.vcpus.len()) {
        Target::None => return not_emulated(guest, esr),
        target => emulate(guest, target, access),
    }
    guest.skip(esr);
    Next::Resume
}

/// One load or store of a device register.
#[inline(always)]
fn emulate(guest: &mut Guest, target: Target, access: Access) {
    let size = u32::from(access.bytes());
    if access.write() {
        let value = access.stored(guest.state.frame.gpr(access.rt()));
        write(guest, target, size, value);
    } else {
        let value = access.loaded(read(guest, target, size));
        guest.state.frame.set_gpr(access.rt(), value);
    }
}

#[inline(always)]
fn read(guest: &mut Guest, target: Target, size: u32) -> u64 {
    let index = guest.vcpu.index;
    let (value, effects) = match target {
        Target::Dist(offset) => guest.vm.vgic.lock().dist_read(index, offset, size, &guest.lrs),
        Target::Redist { vcpu, offset } => {
            guest.vm.vgic.lock().redist_read(index, vcpu, offset, size, &guest.lrs)
        }
        Target::Uart(offset) => return uart_read(guest, offset, size),
        Target::None => return 0,
    };
    guest.notify(effects);
    value
}

#[inline(always)]
fn write(guest: &mut Guest, target: Target, size: u32, value: u64) {
    let index = guest.vcpu.index;
    let effects = match target {
        Target::Dist(offset) => {
            guest.vm.vgic.lock().dist_write(index, offset, size, value, &mut guest.lrs)
        }
        Target::Redist { vcpu, offset } => {
            guest.vm.vgic.lock().redist_write(index, vcpu, offset, size, value, &mut guest.lrs)
        }
        Target::Uart(offset) => return uart_write(guest, offset, size, value),
        Target::None => return,
    };
    guest.notify(effects);
}

fn uart_read(guest: &mut Guest, offset: u64, size: u32) -> u64 {
    let mut uart = guest.vm.uart.lock();
    let (value, change) = uart.read(offset, size);
    if let Some(level) = change {
        set_uart_level(guest, level);
    }
    drop(uart);
    // A key may fit now.
    if console::keys_wait(guest.vm.id) {
        guest.vm.take_keys();
    }
    value.into()
}

fn uart_write(guest: &mut Guest, offset: u64, size: u32, value: u64) {
    let mut uart = guest.vm.uart.lock();
    let (transmit, change) = uart.write(offset, size, value as u32);
    if let Some(level) = change {
        set_uart_level(guest, level);
    }
    drop(uart);
    if let Some(byte) = transmit {
        console::vm_byte(guest.vm.id, byte);
    }
}

/// The UART's interrupt line has changed. Called with the UART's lock held, so that levels reach
/// the vGIC in the order in which they arose.
fn set_uart_level(guest: &Guest, level: bool) {
    let effects = guest.vm.vgic.lock().set_spi_level(UART_INTID, level);
    // The own bit too: a wake-up of a running vCPU makes it look before it enters.
    guest.notify(effects);
}

/// A fetch.
#[cold]
pub fn instruction(guest: &mut Guest, esr: Esr) -> Next {
    let at = guest.state.frame.pc;
    let ipa = Abort::new(esr).ipa(FAR_EL2.get(), HPFAR_EL2.get());
    let next = not_emulated(guest, esr);
    // The abort's own vector is where nothing is: it would be taken for ever.
    if next == Next::Resume && guest.state.frame.pc == at && !guest.is_mapped(ipa) {
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
    if why.is_translation() && guest.is_mapped(abort.ipa(far, HPFAR_EL2.get())) {
        return Next::Resume;
    }
    if abort.cache_maintenance() {
        // By address, where no memory is: there is nothing to maintain (as KVM sees it too).
        guest.skip(esr);
        return Next::Resume;
    }
    guest.inject(Exception::external_abort(esr, far))
}
